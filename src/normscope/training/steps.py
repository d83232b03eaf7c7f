"""The training step: forward, backward and update of all members of a folded network.

`EagerSteps` is the plain one: torch's optimizer and schedule, one operation after the other.
`DeviceSteps` computes the same without ever asking the device for a number, so that a GPU can
replay a whole step as one CUDA graph (`normscope.training.graph`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR

from normscope.experiment import Recipe
from normscope.models.layers import Dropout
from normscope.training.graph import Graphed, GraphRoom
from normscope.training.split import Split

# What the choices of a recipe stand for.
OPTIMIZERS = {"sgd": torch.optim.SGD}
SCHEDULES = {"one-cycle": OneCycleLR}
AUGMENTATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"none": lambda x_NCHW: x_NCHW}


class Steps(ABC):
    """Takes steps on batches of a split, and adds up what the members' losses and answers were.

    `index` of a step is int64, (M, N): the images of each member. Sums stay on the device until
    `totals` asks for them.
    """

    def __init__(self, model: nn.Module, train: Split, recipe: Recipe, members: int):
        self.model, self.train, self.recipe, self.members = model, train, recipe, members
        self.learning_rate = math.nan  # of the last step
        self._loss_sum = torch.zeros(members, device=train.device)
        self._correct = torch.zeros(members, dtype=torch.long, device=train.device)

    @abstractmethod
    def __call__(self, index: torch.Tensor) -> None:
        """Take one step."""

    def close(self) -> None:  # noqa: B027 - most kinds hold nothing to give back
        """No more steps will come."""

    def totals(self) -> tuple[list[float], list[int]]:
        """Since the last call: sum of losses and number of right answers of each member."""
        sums = self._loss_sum.tolist(), self._correct.tolist()
        self._loss_sum.zero_()
        self._correct.zero_()
        return sums

    def _loss(self, index: torch.Tensor) -> torch.Tensor:
        """The sum of the members' mean losses, which no member shares with another."""
        x_NCHW, labels = self.train.batch(index)
        x_NCHW = AUGMENTATIONS[self.recipe.augmentation](x_NCHW)
        logits = by_member(self.model(x_NCHW), self.members)
        mean_losses = losses(logits, labels, self.recipe.label_smoothing).mean(dim=1)
        self._loss_sum += mean_losses.detach() * index.shape[1]
        self._correct += (logits.argmax(dim=2) == labels).sum(dim=1)
        return mean_losses.sum()


class EagerSteps(Steps):
    """Steps with torch's own optimizer and schedule."""

    def __init__(self, model: nn.Module, train: Split, recipe: Recipe, members: int):
        super().__init__(model, train, recipe, members)
        self.optimizer, self.schedule = optimizer_of(model.parameters(), recipe, len(train))

    def __call__(self, index: torch.Tensor) -> None:
        loss = self._loss(index)
        self.optimizer.zero_grad()
        loss.backward()
        self.learning_rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.schedule.step()


class DeviceSteps(Steps):
    """Steps whose every number lives on the device: learning rate, momentum, count of steps."""

    def __init__(self, model: nn.Module, train: Split, recipe: Recipe, members: int):
        super().__init__(model, train, recipe, members)
        device = train.device
        self.parameters: list[torch.Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.velocities = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.rates, momenta = rates_and_momenta(recipe, len(train))
        dtype = self.parameters[0].dtype
        self._rates = torch.tensor(self.rates, dtype=dtype, device=device)
        self._momenta = torch.tensor(momenta, dtype=dtype, device=device)
        self._count = torch.zeros((), dtype=torch.long, device=device)
        self._taken = 0
        self._generators = generators_of(model)
        self._room = GraphRoom(device)
        self._by_size: dict[int, tuple[torch.Tensor, Graphed]] = {}

    def __call__(self, index: torch.Tensor) -> None:
        size = index.shape[1]
        if size not in self._by_size:  # the last batch of an epoch may be smaller
            fixed = index.clone()
            self._by_size[size] = fixed, self._graphed(fixed)
        fixed, step = self._by_size[size]
        fixed.copy_(index)
        step()
        self.learning_rate = self.rates[self._taken]
        self._taken += 1

    def close(self) -> None:
        for _, step in self._by_size.values():
            step.close()
        self._by_size.clear()

    def _graphed(self, index: torch.Tensor) -> Graphed:
        return Graphed(lambda: self._step(index), self._room, self._generators)

    def _step(self, index: torch.Tensor) -> None:
        """SGD: v = momentum * v + gradient + decay * parameter, then parameter -= rate * v."""
        loss = self._loss(index)
        gradients = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
        # One kernel for all parameters; torch's own optimizers are built of these.
        multiply_, add_ = torch._foreach_mul_, torch._foreach_add_  # pyright: ignore
        multiply, subtract_ = torch._foreach_mul, torch._foreach_sub_  # pyright: ignore
        with torch.no_grad():
            if self.recipe.weight_decay:
                add = torch._foreach_add  # pyright: ignore
                gradients = add(gradients, self.parameters, alpha=self.recipe.weight_decay)
            multiply_(self.velocities, self._momenta.take(self._count))
            add_(self.velocities, gradients)
            subtract_(self.parameters, multiply(self.velocities, self._rates.take(self._count)))
            self._count += 1


def optimizer_of(parameters, recipe: Recipe, images: int) -> tuple[torch.optim.SGD, OneCycleLR]:
    """The recipe's optimizer and its schedule, which is stepped after every batch."""
    optimizer = OPTIMIZERS[recipe.optimizer](
        parameters,
        lr=recipe.max_lr,
        momentum=recipe.max_momentum,
        weight_decay=recipe.weight_decay,
    )
    schedule = SCHEDULES[recipe.schedule](
        optimizer,
        max_lr=recipe.max_lr,
        epochs=recipe.epochs,
        steps_per_epoch=recipe.steps_per_epoch(images),
        base_momentum=recipe.min_momentum,
        max_momentum=recipe.max_momentum,
    )
    return optimizer, schedule


def rates_and_momenta(recipe: Recipe, images: int) -> tuple[list[float], list[float]]:
    """Learning rate and momentum of every step of a training, as torch's schedule has them."""
    optimizer, schedule = optimizer_of([nn.Parameter(torch.zeros(()))], recipe, images)
    rates, momenta = [], []
    for _ in range(schedule.total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if len(rates) < schedule.total_steps:
            schedule.step()
    return rates, momenta


def generators_of(model: nn.Module) -> list[torch.Generator]:
    """The generators from which the layers of a model draw."""
    dropouts = [layer for layer in model.modules() if isinstance(layer, Dropout)]
    return list(dict.fromkeys(each for dropout in dropouts for each in dropout.generators))


def by_member(logits: torch.Tensor, members: int) -> torch.Tensor:
    """(N, M*K) as (M, N, K)."""
    return logits.unflatten(1, (members, -1)).transpose(0, 1)


def losses(
    logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross entropy of each image, (M, N), from logits (M, N, K) and labels (M, N)."""
    flat = cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return flat.unflatten(0, labels.shape)
