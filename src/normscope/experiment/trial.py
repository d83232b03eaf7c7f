"""One training run, and what it leaves."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_serializer

from normscope.experiment.frozen import Frozen
from normscope.experiment.probes import Probes
from normscope.experiment.recipe import Recipe

# Raise it whenever the same trial would leave other numbers, or a record another shape.
RESULT_FORMAT = 1


class Trial(Frozen):
    """One training run: one norm, one seed, one model, one recipe, one data set."""

    dataset: str
    train_limit: int | None
    test_limit: int | None
    model: str
    norm: str
    recipe: Recipe
    seed: int
    validation: bool = False  # trained on nine tenths of the training images, tested on the rest
    source: str | None = None  # the fingerprint of a norm of the user's own
    model_source: str | None = None  # that of a network of the user's own
    images: str | None = None  # and that of images of the user's own
    folds: int | None = None  # of cross-validation, of which the seed says the one that is tested

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, write: Any) -> dict[str, Any]:
        """Ids and records were made before there was anything of a user's own, and folds."""
        since = ("source", "model_source", "images", "folds")
        return {k: v for k, v in write(self).items() if k not in since or v is not None}

    @property
    def fold(self) -> int | None:
        """The fold that it is tested on, from 0; None without cross-validation."""
        return None if self.folds is None else self.seed % self.folds

    @cached_property  # it is asked for dozens of times
    def id(self) -> str:
        """A name for the trial, such as ``bn-seed0-1f0c6e5d2a9b``: its content, and nothing else.

        The hash covers everything that can change the result, the result format included. Where a
        trial runs (device, threads, folders) is not content; its result records that.
        """
        name, before, after = _around_seed(*(getattr(self, each) for each in _BUT_SEED))
        digest = hashlib.sha256(f'{before}"seed": {self.seed}{after}'.encode()).hexdigest()
        return f"{name}-seed{self.seed}-{digest[:12]}"


_BUT_SEED = tuple(name for name in Trial.model_fields if name != "seed")


@lru_cache(maxsize=4096)
def _around_seed(*values: Any) -> tuple[str, str, str]:
    """What the norm is called in the ids of trials that differ in the seed alone.

    Then the JSON of their content, before and after the seed.
    """
    trial = Trial.model_construct(**dict(zip(_BUT_SEED, values, strict=True)), seed=0)
    content = {"result_format": RESULT_FORMAT, **trial.model_dump()}
    if trial.recipe.precision == "fp32":  # ids were made before there was another
        del content["recipe"]["precision"]
    if not trial.validation:  # likewise
        del content["validation"]
    before, _, after = json.dumps(content, sort_keys=True).partition('"seed": 0')
    return re.sub(r"[^\w.=-]+", "-", trial.norm), before, after  # what every disk takes as a name


@dataclass(frozen=True, slots=True)  # there are millions: a model takes five times the memory
class EpochRecord:
    """What is measured in one epoch; the field names are the column names of `results.csv`.

    Train figures are running means over the epoch, in training mode (dropout on, labels smoothed
    and images augmented if the recipe says so); test figures are taken after it, of the averaged
    network if the recipe averages it. `learning_rate` is that of the epoch's last step. Losses are
    mean cross entropies, in nats per image.
    """

    epoch: int
    train_loss_nats: float
    train_accuracy_percent: float
    test_loss_nats: float
    test_accuracy_percent: float
    learning_rate: float
    train_seconds: float
    test_seconds: float

    __pydantic_config__ = ConfigDict(extra="forbid")


class Environment(Frozen):
    """Where a trial ran; kept for provenance, no part of a trial's id."""

    normscope: str
    python: str
    torch: str
    numpy: str
    platform: str
    processor: str
    device: str
    threads: int
    precision: str
    kernels: str = "torch"  # what computed the network; of a trial that failed, what may have
    fleet: int = 1  # how many trials shared the device, as one network


@dataclass(frozen=True)
class Predictions:
    """What a trained network says of every test image.

    `classes`: int64, shape (N,), the predicted class. `logits`: float16, shape (N, num_classes).
    """

    classes: np.ndarray
    logits: np.ndarray

    def probabilities(self, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Softmax of the logits of the images in `index`: float64, shape (N, num_classes)."""
        exponentials = self._exponentials(index)
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def confidences(self) -> np.ndarray:
        """Softmax probability of the predicted class: float64, shape (N,)."""
        exponentials = self._exponentials()
        own = exponentials[np.arange(len(self.classes)), self.classes]
        return own / np.einsum("nk->n", exponentials)  # in a fifth of the time of `sum`

    def _exponentials(self, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Of the logits, less the largest of each image."""
        shifted = self.logits[index].astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        return np.exp(shifted, out=shifted)


Status = Literal["finished", "diverged", "collapsed", "failed"]

# A trial that ends so has run as planned, but leaves a network that guesses. It is an outcome of
# its norm, which counts as the accuracy of guessing, and it has no number for a mean.
GUESSING: tuple[Status, ...] = ("diverged", "collapsed")


class Result(Frozen):
    """What one trial leaves.

    `history` holds the epochs with finite losses. `error` says why a trial diverged or collapsed,
    or is the traceback of one that raised. `predictions` and `weights` (arrays by parameter name)
    are there when the trial was trained to the end, so when it finished or collapsed, and `probes`
    if any were taken; all are kept in files of their own, beside the record. `peak_memory_mib`:
    what a training step needs beside weights and data; None if training ended early, or in a record
    from before it was measured. `notices` are sentences for whoever waits for the trial; they are
    not kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    result_format: Literal[1] = RESULT_FORMAT
    trial: Trial
    status: Status
    history: tuple[EpochRecord, ...]
    error: str | None = None
    started: str
    seconds: float
    environment: Environment
    peak_memory_mib: float | None = None
    predictions: Predictions | None = Field(default=None, exclude=True, repr=False)
    weights: dict[str, np.ndarray] | None = Field(default=None, exclude=True, repr=False)
    probes: Probes | None = Field(default=None, exclude=True, repr=False)
    notices: tuple[str, ...] = Field(default=(), exclude=True, repr=False)

    @property
    def trained_to_the_end(self) -> bool:
        """Whether there is a record of every epoch."""
        return self.status in ("finished", "collapsed")


@dataclass(frozen=True, slots=True)
class Told:
    """What a result tells of its predictions; `seed` and `folds` say of which images they are."""

    trial_id: str
    seed: int
    folds: int | None
    test_accuracy_percent: float

    @classmethod
    def by(cls, result: Result) -> "Told":
        """Of a result with a record of every epoch."""
        trial, last = result.trial, result.history[-1]
        return cls(trial.id, trial.seed, trial.folds, last.test_accuracy_percent)


# A value for each of some trials, from their predictions; it is pickled, as are the values.
Summarise = Callable[[Sequence[Told], Sequence[Predictions]], Sequence[Any]]
