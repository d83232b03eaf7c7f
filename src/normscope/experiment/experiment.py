"""What an experiment is made of: frozen, validated values that travel through the whole program.

An `Experiment` is what a user asks for, a `Trial` is one training run of it, and a `Result` is what
that run leaves. Every knob lives here, once; the command line reads its defaults from here.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from normscope.errors import lookup

# Raise it whenever the same trial would leave other numbers, or a record another shape.
RESULT_FORMAT = 1

PositiveInt = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class Frozen(BaseModel):
    """A value that cannot change, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Precision = Literal["fp32", "bf16"]
Protocol = Literal["drop-in", "tuned"]


class Recipe(Frozen):
    """How to train: everything but the norm and the model.

    SGD with Nesterov off and no weight decay, cross entropy, no augmentation, and
    `torch.optim.lr_scheduler.OneCycleLR` with its defaults, stepped after every batch: the learning
    rate (per step) climbs from max_lr/25 to max_lr over the first 30 % of the steps and falls to
    max_lr/250000; momentum runs the other way, 0.95 to 0.85 and back. The last batch of an epoch
    may be smaller. With precision "bf16", activations and convolutions are in bfloat16; parameters,
    their gradients, statistics of norms and the loss stay in float32.
    """

    name: str
    epochs: PositiveInt
    batch_size: PositiveInt
    max_lr: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
    precision: Precision = "fp32"


RECIPES = {
    # The published experiment; OneCycleLR replaced the lr=0.01 and momentum=0.9 of its SGD.
    "s8": Recipe(name="s8", epochs=15, batch_size=512, max_lr=0.02),
    # The first run: a verdict on the embedded data in a few minutes on two CPU cores.
    "quick": Recipe(name="quick", epochs=3, batch_size=64, max_lr=0.1),
}


def default_recipe(dataset: str) -> str:
    """The recipe used for a data set when none is named."""
    return "quick" if dataset == "shapes" else "s8"


def default_seeds(dataset: str) -> int:
    """The number of seeds used for a data set when none is given."""
    return 5 if dataset == "shapes" else 3


def _complete_recipe(value: Any, info: ValidationInfo) -> Any:
    """Turn a recipe's name, or a table of changes to a named recipe, into a whole recipe."""
    if isinstance(value, str):
        return lookup(RECIPES, "recipe", value)
    if isinstance(value, dict):
        usual = default_recipe(info.data.get("dataset", ""))
        base = lookup(RECIPES, "recipe", str(value.get("name", usual)))
        return {**base.model_dump(), **value}
    return value


class Experiment(Frozen):
    """What a user asks for: every norm is trained with every seed, all else equal.

    `recipe` may be given as a name ("s8"), or as a table of what to change in a named one
    (``{"name": "s8", "epochs": 3}``). `seeds` counts blocks: 3 means the seeds 0, 1 and 2. The
    first norm is the baseline that the others are compared with. The limits keep the first N images
    of a split. With several `batch_sizes` everything is trained with each of them, the learning
    rate scaled with it. The protocol "drop-in" trains every norm by the recipe, "tuned" with the
    learning rate that is best for it on images held out from the training set.

    Raises `pydantic.ValidationError` on a wrong type or value, `UsageError` on an unknown recipe.
    """

    dataset: str = "shapes"
    model: str = "s8"
    norms: Annotated[tuple[str, ...], Field(min_length=1)] = ("bn", "gn", "ln")
    recipe: Annotated[Recipe, BeforeValidator(_complete_recipe)] = Field(
        default_factory=lambda data: RECIPES[default_recipe(data["dataset"])]
    )
    seeds: PositiveInt = Field(default_factory=lambda data: default_seeds(data["dataset"]))
    train_limit: PositiveInt | None = None
    test_limit: PositiveInt | None = None
    batch_sizes: tuple[PositiveInt, ...] = Field(
        default_factory=lambda data: (data["recipe"].batch_size,)
    )
    protocol: Protocol = "drop-in"

    @field_validator("norms")
    @classmethod
    def _each_norm_once(cls, norms: tuple[str, ...]) -> tuple[str, ...]:
        if not all(norms):
            raise ValueError("holds an empty name")
        if len(set(norms)) < len(norms):
            raise ValueError("names a norm twice")
        return norms

    @field_validator("batch_sizes")
    @classmethod
    def _each_batch_size_once(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes:
            raise ValueError("names no batch size")
        if len(set(sizes)) < len(sizes):
            raise ValueError("names a batch size twice")
        return tuple(sorted(sizes))

    @property
    def baseline(self) -> str:
        return self.norms[0]

    @property
    def main_batch_size(self) -> int:
        """The batch size that curves and mistakes are shown for: the recipe's, or the largest."""
        usual = self.recipe.batch_size
        return usual if usual in self.batch_sizes else self.batch_sizes[-1]

    def recipe_for(self, batch_size: int) -> Recipe:
        """The recipe with another batch size, its learning rate scaled in proportion.

        Source of the rule: Goyal et al. 2017, arXiv 1706.02677; the GroupNorm paper used it too.
        """
        if batch_size == self.recipe.batch_size:
            return self.recipe
        rate = self.recipe.max_lr * batch_size / self.recipe.batch_size
        return self.recipe.model_copy(update={"batch_size": batch_size, "max_lr": rate})

    @property
    def slug(self) -> str:
        """A folder name such as ``cifar10-s8-s8`` or ``shapes-s8-quick-epochs2-train1000``."""
        parts = [self.dataset, self.model, self.recipe.name]
        usual = RECIPES.get(self.recipe.name)
        for key, value in self.recipe:
            if usual is None or value != getattr(usual, key):
                parts.append(f"{key.replace('_', '')}{value}")
        if self.train_limit:
            parts.append(f"train{self.train_limit}")
        if self.test_limit:
            parts.append(f"test{self.test_limit}")
        if self.protocol != "drop-in":
            parts.append(self.protocol)
        return "-".join(parts)

    def same_but_for_size(self, other: "Experiment") -> bool:
        """Whether the two differ in nothing but their norms, seeds and batch sizes."""
        size = {"norms": self.norms, "seeds": self.seeds, "batch_sizes": self.batch_sizes}
        return self == other.model_copy(update=size)


LEAST_SEEDS = 6  # before a design until decided may stop


class Design(Frozen):
    """How verdicts are reached; to be chosen before anything is seen.

    `alpha` is the chance of a false claim that is accepted for the family of all comparisons. Two
    norms are equivalent when they differ by less than `margin_points` percentage points.
    `until_decided` makes the design sequential: seeds are added until every comparison is decided,
    or there are `max_seeds`. `levels_percent` are the test accuracies whose first reaching measures
    speed.
    """

    until_decided: bool = False
    max_seeds: PositiveInt = 30
    margin_points: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.5
    alpha: Annotated[float, Field(ge=1e-6, lt=0.5)] = 0.05
    levels_percent: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = (60.0,)

    @field_validator("levels_percent")
    @classmethod
    def _each_level_once(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not levels:
            raise ValueError("names no level")
        if min(levels) < 1:
            raise ValueError("is in percent: 60, not 0.6")
        if len(set(levels)) < len(levels):
            raise ValueError("names a level twice")
        return levels


class Request(Frozen):
    """One time that a user asked for (more of) the experiment.

    `seeds` is the number that was fixed then; in a design until decided, the number to begin with.
    `results_before` counts the results there were to look at; None in older records, which do not
    name the `batch_sizes` either, with those that were there already.
    """

    date: str
    command: str
    norms: tuple[str, ...]
    seeds: int
    design: Design = Design()
    results_before: int | None = None
    batch_sizes: tuple[int, ...] = ()


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

    @property
    def id(self) -> str:
        """A name for the trial, such as ``bn-seed0-1f0c6e5d2a9b``: its content, and nothing else.

        The hash covers everything that can change the result, the result format included. Where a
        trial runs (device, threads, folders) is not content; its result records that.
        """
        content = {"result_format": RESULT_FORMAT, **self.model_dump()}
        if self.recipe.precision == "fp32":  # ids were made before there was another
            del content["recipe"]["precision"]
        if not self.validation:  # likewise
            del content["validation"]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.norm}-seed{self.seed}-{digest[:12]}"


class EpochRecord(Frozen):
    """What is measured in one epoch; the field names are the column names of `results.csv`.

    Train figures are running means over the epoch, in training mode (dropout on); test figures are
    taken after it. `learning_rate` is that of the epoch's last step. Losses are mean cross
    entropies, in nats per image.
    """

    epoch: int
    train_loss_nats: float
    train_accuracy_percent: float
    test_loss_nats: float
    test_accuracy_percent: float
    learning_rate: float
    train_seconds: float
    test_seconds: float


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
    kernels: str = "torch"  # what computed the norms
    fleet: int = 1  # how many trials shared the device, as one network


@dataclass(frozen=True)
class Predictions:
    """What a trained network says of every test image.

    `classes`: int64, shape (N,), the predicted class. `logits`: float16, shape (N, num_classes).
    """

    classes: np.ndarray
    logits: np.ndarray

    def confidences(self) -> np.ndarray:
        """Softmax probability of the predicted class: float64, shape (N,)."""
        shifted = self.logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        return probabilities[np.arange(len(self.classes)), self.classes]


Status = Literal["finished", "diverged", "failed"]


class Result(Frozen):
    """What one trial leaves.

    `history` holds the epochs with finite losses. `error` says why a trial diverged, or is the
    traceback of one that raised. `predictions` and `weights` (arrays by parameter name) are there
    when the trial finished; they are kept in files of their own, beside the record.
    `peak_memory_mib`: what a training step needs beside weights and data; None if unfinished, or in
    a record from before it was measured.
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


class DatasetFacts(Frozen):
    """What a report says of a data set; it stays true when the data set itself is not at hand."""

    name: str
    description: str
    synthetic: bool
    class_names: tuple[str, ...]
    train_size: int
    test_size: int
    image_shape: tuple[int, int, int]
    checksums: dict[str, str]


class LayerSummary(Frozen):
    """One layer: its type, output shape without the batch, trainable parameters, multiply-adds."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


class ModelSummary(Frozen):
    """The layers of a model in the order they run, for one image of `input_shape` (C, H, W)."""

    model: str
    norm: str
    input_shape: tuple[int, int, int]
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    def size_mib(self) -> dict[str, float]:
        """Estimated memory for one image in float32, in MiB, counted as torchsummary counts it.

        Every layer's output is kept once forward and once backward.
        """
        floats_per_mib = 2**20 / 4
        activations = sum(int(np.prod(layer.output_shape)) for layer in self.layers)
        sizes = {
            "input": int(np.prod(self.input_shape)) / floats_per_mib,
            "forward and backward": 2 * activations / floats_per_mib,
            "parameters": self.parameters / floats_per_mib,
        }
        return {**sizes, "total": sum(sizes.values())}
