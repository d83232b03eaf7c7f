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
from normscope.training.augment import Augment
from normscope.training.average import Average
from normscope.training.graph import Graphed, GraphRoom
from normscope.training.moving import generators_of, objects_of, put_back, state_of
from normscope.training.packing import Tree
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
        self._objects = objects_of(model)

    @abstractmethod
    def __call__(self, index: torch.Tensor) -> None:
        """Take one step."""

    def close(self) -> None:  # noqa: B027 - most kinds hold nothing to give back
        """No more steps will come."""

    def wait(self) -> None:
        """Until the device has taken the steps that it was told to take."""
        if self.train.device.type == "cuda":
            torch.cuda.synchronize(self.train.device)

    def state(self) -> Tree:
        """All that moves by training, from which `put_back` lets another such object go on."""
        return {
            "network": state_of(self.model, self._objects),
            "average": None if self.average is None else self.average.values,
            "augment": [each.get_state() for each in self._augmenting],
            "sums": (self._loss_sum, self._correct),
            "learning_rate": self.learning_rate,
            "optimizer": self._state_of_optimizer(),
        }

    def put_back(self, state: Tree) -> None:
        """Go on from a `state`; raises `ValueError` if it is one of another network."""
        put_back(self.model, state["network"])
        if self.average is not None:
            self.average.values = state["average"]
        for generator, its_state in zip(self._augmenting, state["augment"], strict=True):
            generator.set_state(its_state)
        for sums, kept in zip((self._loss_sum, self._correct), state["sums"], strict=True):
            sums.copy_(kept)
        self.learning_rate = state["learning_rate"]
        self._put_optimizer_back(state["optimizer"])

    @abstractmethod
    def _state_of_optimizer(self) -> Tree:
        """What the optimizer and the schedule remember."""

    @abstractmethod
    def _put_optimizer_back(self, state: Tree) -> None:
        """Let optimizer and schedule remember that."""

    @property
    def _augmenting(self) -> Sequence[torch.Generator]:
        return self.augment.generators if self.augment is not None else ()

    def are_finite(self) -> list[bool]:
        """Whether the losses of each member are, of all steps since the last call of `totals`."""
        return self._loss_sum.isfinite().tolist()

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

    def _state_of_optimizer(self) -> Tree:
        return self.optimizer.state_dict(), self.schedule.state_dict()

    def _put_optimizer_back(self, state: Tree) -> None:
        for part, its_state in zip((self.optimizer, self.schedule), state, strict=True):
            part.load_state_dict(its_state)


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
            self._generators += self._augmenting
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

    def _state_of_optimizer(self) -> Tree:
        return self._taken, self._count, self._update.memory

    def _put_optimizer_back(self, state: Tree) -> None:
        self._taken, count, memory = state
        self._count.copy_(count)
        for values, kept in zip(self._update.memory, memory, strict=True):
            values.copy_(kept)

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
