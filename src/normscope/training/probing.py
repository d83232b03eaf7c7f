"""Probes of networks while they train: taken from copies, so that the training stays what it is."""

import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from normscope.experiment import Precision, ProbePlan, Probes, Recipe, Series, Trial
from normscope.experiment.probes import TEST_IMAGES
from normscope.probes import PROBES, Probe
from normscope.probes.moment import Batch, Moment, copied
from normscope.training.forward import with_fastest_forward
from normscope.training.loop import Looking
from normscope.training.moving import generators_of
from normscope.training.packing import Tree
from normscope.training.schedule import rates_and_momenta
from normscope.training.seeds import generator
from normscope.training.split import Split, Splits
from normscope.training.steps import Steps

TRAIN_IMAGES = 1024  # for precise statistics, whose error is then below that of 1,000 test images
IMAGES_SEED = 0  # of which images these are: the same in every trial


@dataclass(frozen=True)
class Built:
    """A network, and its norm layers that normalize maps, in the order of the forward pass."""

    model: nn.Module
    norms: Sequence[nn.Module]


class Probing(Looking):
    """Takes the probes of a plan from trials that train together.

    `built` are the networks of the trials, to which `give_back` gives the weights that they have by
    now. A probe that raises is a failure of its own and not of the trial.
    """

    def __init__(
        self,
        plan: ProbePlan,
        trials: Sequence[Trial],
        built: Sequence[Built],
        splits: Splits,
        give_back: Callable[[], None],
    ):
        self.trials, self.built, self.give_back = trials, built, give_back
        self._set = ProbeSet.of(splits, trials[0].recipe, plan) if plan.names else None
        self._taken = [Taken(splits.train.device) for _ in trials]
        recipe, images = trials[0].recipe, len(splits.train)
        self._per_epoch = recipe.steps_per_epoch(images)
        self._at = moments(plan, recipe, self._per_epoch)
        self._rates = rates_and_momenta(recipe, images)[0] if plan.names else []

    def __call__(self, step: Steps, taken: int) -> None:
        """Take what is due after so many steps."""
        due = self._at.get(taken)
        if not due:
            return
        with step.as_tested():
            self.give_back()
            for member in range(len(self.trials)):
                self._probe(member, due, taken)

    def state(self) -> Tree:
        return [taken.state() for taken in self._taken]

    def put_back(self, state: Tree) -> None:
        for taken, its_state in zip(self._taken, state, strict=True):
            taken.put_back(its_state)

    def _probe(self, member: int, due: Sequence[str], taken: int) -> None:
        assert self._set is not None  # or nothing would be due
        built, trial = self.built[member], self.trials[member]
        rate = self._rates[min(taken, len(self._rates) - 1)]
        taken_of = self._taken[member]
        images = self._set
        taken_of.take(due, lambda: images.moment(built, trial, rate), taken / self._per_epoch)

    def outcomes(self) -> list[Probes | None]:
        """What was taken of each trial; None if no probes were asked for."""
        return [taken.probes() if self._at else None for taken in self._taken]


def moments(plan: ProbePlan, recipe: Recipe, per_epoch: int) -> dict[int, list[str]]:
    """The probes that are due after each number of steps, of which an epoch has `per_epoch`."""
    last = recipe.epochs * per_epoch
    chosen = range(recipe.epochs + 1) if plan.epochs is None else plan.epochs
    at = {
        "chosen": {round(epoch * per_epoch) for epoch in chosen},
        "four": {round(last * part / 3) for part in range(4)},
        "start": {0},
        "end": {last},
        "ends": {0, last},
    }
    due: dict[int, list[str]] = defaultdict(list)
    for name in plan.names:
        for step in sorted(at[PROBES[name].when]):
            if step <= last:
                due[step].append(name)
    return dict(due)


@dataclass(frozen=True)
class ProbeSet:
    """The images that probes look with: those of a test split at an index, and training batches."""

    split: Split
    index: torch.Tensor
    train: Sequence[Batch]

    @classmethod
    def of(cls, splits: Splits, recipe: Recipe, plan: ProbePlan) -> "ProbeSet":
        count = max(TRAIN_IMAGES // recipe.batch_size, 1)
        index = _some(splits.train, count * recipe.batch_size)
        batches = [splits.train.batch(some) for some in index.split(recipe.batch_size)]
        whole = [batch for batch in batches if len(batch[1]) == len(batches[0][1])]
        return cls(splits.test, _some(splits.test, plan.images), whole)

    def moment(self, built: Built, trial: Trial, rate: float) -> Moment:
        """A copy of the network, at a learning rate, whose layers draw from streams of its own."""
        streams = {
            each: generator(trial.seed, "probes", each.device)
            for each in generators_of(built.model)
        }
        network = copied(built.model, streams)
        names = {layer: name for name, layer in built.model.named_modules()}
        modules = dict(network.named_modules())
        norms = {names[layer]: modules[names[layer]] for layer in built.norms if layer in names}
        return Moment(
            network=network.eval(),
            norms=norms,
            test=self.split.batch(self.index),
            test_pixels=self.split.images_NHWC[self.index].numpy(force=True),
            normalized=self.split.normalized,
            train=self.train,
            learning_rate=rate,
            generators=tuple(streams.values()),
            fastest=partial(_fastest, self.split.device),
            precision=trial.recipe.precision,
        )


def _fastest(device: torch.device, network: nn.Module, precision: Precision) -> nn.Module:
    return with_fastest_forward(network, device, precision)


def _some(split: Split, count: int) -> torch.Tensor:
    """The index of so many images, or of all: the same ones whenever the split is the same.

    Those that are taken by default come first, so that probes of fewer images see the same ones.
    """
    order = torch.randperm(len(split), generator=generator(IMAGES_SEED, "probes"))
    parts = order[:count].tensor_split([TEST_IMAGES])
    return torch.cat([part.sort().values for part in parts]).to(split.device)


class Taken:
    """What the probes of one trial have read so far."""

    def __init__(self, device: torch.device) -> None:
        self.devices = [device] if device.type == "cuda" else []
        self.readings: dict[str, list[tuple[float, np.ndarray]]] = defaultdict(list)
        self.names: Mapping[str, tuple[str, ...]] = {}
        self.failures: dict[str, str] = {}
        self.seconds = 0.0

    def take(self, names: Sequence[str], make_moment: Callable[[], Moment], epoch: float) -> None:
        """Take the probes of these names, but for those that have failed before."""
        started = time.perf_counter()
        left = [name for name in names if name not in self.failures]
        # A layer of a user's own may draw from the global state, and raise whatever it likes.
        with torch.random.fork_rng(self.devices):
            try:
                moment = make_moment()
                self.names = {"norm": tuple(moment.norms), "weight": moment.weighted}
            except Exception as error:
                self.failures |= dict.fromkeys(left, _reason(error))
            else:
                for name in left:
                    if moment.has_running_statistics or not PROBES[name].needs_running:
                        self._take(name, moment, epoch)
        self.seconds += time.perf_counter() - started

    def _take(self, name: str, moment: Moment, epoch: float) -> None:
        try:
            found = PROBES[name](moment)
        except Exception as error:
            self.failures[name] = _reason(error)
            return
        for measure, values in found.items():
            self.readings[f"{name}.{measure}"].append((epoch, values))

    def state(self) -> Tree:
        """All that was read, from which `put_back` goes on."""
        return {
            "readings": dict(self.readings),
            "names": dict(self.names),
            "failures": self.failures,
            "seconds": self.seconds,
        }

    def put_back(self, state: Tree) -> None:
        self.readings.update(state["readings"])
        self.names, self.failures = state["names"], state["failures"]
        self.seconds = state["seconds"]

    def probes(self) -> Probes:
        series = {}
        for name, readings in self.readings.items():
            probe = PROBES[name.partition(".")[0]]
            epochs, values = zip(*readings, strict=True)
            stacked = np.stack(values)
            axes = probe.axes if stacked.ndim > 1 else ()
            lengths = zip(axes, stacked.shape[1:], strict=True)
            names = tuple(self._names_along(probe, axis, length) for axis, length in lengths)
            series[name] = Series(np.array(epochs), stacked, axes, names)
        return Probes(series, self.seconds, dict(self.failures))

    def _names_along(self, probe: Probe, axis: str, size: int) -> tuple[str, ...]:
        return self.names.get(axis) or probe.positions.get(axis) or tuple(map(str, range(size)))


def _reason(error: Exception) -> str:
    return traceback.format_exception_only(error)[-1].strip()
