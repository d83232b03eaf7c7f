"""The training step: forward, backward and update of all members of a folded network.

`EagerSteps` is the plain one: torch's optimizer and schedule, one operation after the other.
`DeviceSteps` computes the same without ever asking the device for a number, so that a GPU can
replay a whole step as one CUDA graph (`normscope.training.graph`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from normscope.experiment import Recipe
from normscope.models.layers import Dropout
from normscope.models.own import lent_generator
from normscope.training.augment import Augment
from normscope.training.average import Average
from normscope.training.graph import Graphed, GraphRoom
from normscope.training.schedule import is_penalized, optimizer_of, rates_and_momenta
from normscope.training.split import Split
from normscope.training.update import UPDATES


class Steps(ABC):
    """Takes steps on batches of a split, and adds up what the members' losses and answers were.

    `index` of a step is int64, (M, N): the images of each member. `augment` holds a generator for
    each member, on the device of the images, if the recipe augments them. Sums stay on the device
    until `totals` asks for them.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Split,
        recipe: Recipe,
        members: int,
        augment: Sequence[torch.Generator] = (),
    ):
        self.model, self.train, self.recipe, self.members = model, train, recipe, members
        self.augment = Augment(recipe.augmentation, augment) if recipe.augmentation else None
        self.average = Average(model, recipe.ema) if recipe.ema is not None else None
        self._l1_on = [p for p in model.parameters() if recipe.l1 and is_penalized(p, recipe)]
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

    @contextmanager
    def as_tested(self) -> Iterator[None]:
        """Within it the network is what the recipe tests: itself, or its average."""
        if self.average is None:
            yield
        else:
            with self.average.in_place():
                yield

    def end(self) -> None:
        """Training is over: what the recipe tests is what stays of the network."""
        if self.average is not None:
            self.average.put_in_place()

    def _objective(self, index: torch.Tensor) -> torch.Tensor:
        """The sum of what the members minimize, which no member shares with another."""
        x_NCHW, labels = self.train.batch(index, self.augment)
        logits = by_member(self.model(x_NCHW), self.members)
        mean_losses = losses(logits, labels, self.recipe.label_smoothing).mean(dim=1)
        self._loss_sum += mean_losses.detach() * index.shape[1]
        self._correct += (logits.argmax(dim=2) == labels).sum(dim=1)
        objective = mean_losses.sum()
        for parameter in self._l1_on:
            objective = objective + self.recipe.l1 * parameter.abs().sum()
        return objective


class EagerSteps(Steps):
    """Steps with torch's own optimizer and schedule."""

    def __init__(
        self,
        model: nn.Module,
        train: Split,
        recipe: Recipe,
        members: int,
        augment: Sequence[torch.Generator] = (),
    ):
        super().__init__(model, train, recipe, members, augment)
        self.optimizer, self.schedule = optimizer_of(model.parameters(), recipe, len(train))

    def __call__(self, index: torch.Tensor) -> None:
        objective = self._objective(index)
        self.optimizer.zero_grad()
        objective.backward()
        self.learning_rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update()


class DeviceSteps(Steps):
    """Steps whose every number lives on the device: learning rate, momentum, count of steps."""

    def __init__(
        self,
        model: nn.Module,
        train: Split,
        recipe: Recipe,
        members: int,
        augment: Sequence[torch.Generator] = (),
    ):
        super().__init__(model, train, recipe, members, augment)
        self.parameters: list[torch.Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.rates, momenta = rates_and_momenta(recipe, len(train))
        self._update = UPDATES[recipe.optimizer](self.parameters, recipe, self.rates, momenta)
        self._count = torch.zeros((), dtype=torch.long, device=train.device)
        self._taken = 0
        self._generators = generators_of(model)
        if self.augment is not None:
            self._generators += self.augment.generators
        self._room = GraphRoom(train.device)
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
        objective = self._objective(index)
        gradients = torch.autograd.grad(objective, self.parameters, materialize_grads=True)
        with torch.no_grad():
            self._update([*gradients], self._count)
            self._count += 1
        if self.average is not None:
            self.average.update()


def generators_of(model: nn.Module) -> list[torch.Generator]:
    """The generators from which a model draws: dropout's, those of norms, and a lent one."""
    dropouts = [layer for layer in model.modules() if isinstance(layer, Dropout)]
    drawn = [each for dropout in dropouts for each in dropout.generators]
    norms = [getattr(layer, "generator", None) for layer in model.modules()]
    lent = [lent_generator(layer) for layer in model.modules()]
    others = [each for each in (*norms, *lent) if isinstance(each, torch.Generator)]
    return list(dict.fromkeys([*drawn, *others]))


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
