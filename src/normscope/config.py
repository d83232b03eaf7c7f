"""What an experiment is made of: frozen, validated values that travel through the whole program.

An `Experiment` is what a user asks for, a `Trial` is one training run of it, and a `Result` is what
that run leaves. Every knob lives here, once; the command line reads its defaults from here.
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from normscope.errors import UsageError, lookup

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  # not installed on 3.11

# Raise it whenever the same trial would leave other numbers, or a record another shape.
RESULT_FORMAT = 1

PositiveInt = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class Frozen(BaseModel):
    """A value that cannot change, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Precision = Literal["fp32", "bf16"]


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
    of a split.

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

    @field_validator("norms")
    @classmethod
    def _each_norm_once(cls, norms: tuple[str, ...]) -> tuple[str, ...]:
        if not all(norms):
            raise ValueError("holds an empty name")
        if len(set(norms)) < len(norms):
            raise ValueError("names a norm twice")
        return norms

    @property
    def baseline(self) -> str:
        return self.norms[0]

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
        return "-".join(parts)

    def same_but_for_size(self, other: "Experiment") -> bool:
        """Whether the two differ in nothing but their norms and their number of seeds."""
        size = {"norms": self.norms, "seeds": self.seeds}
        return self == other.model_copy(update=size)


def read_experiment(path: Path | None = None, **changes: Any) -> Experiment:
    """Build an experiment from a TOML file and changes to it; None in `changes` means unchanged.

    `epochs`, `batch_size` and `precision` in `changes` change the recipe. Raises `UsageError` in
    one line.
    """
    values = _read_toml(path) if path else {}
    recipe = {key: changes.pop(key, None) for key in ("epochs", "batch_size", "precision")}
    recipe["name"] = changes.pop("recipe", None)
    recipe = {key: value for key, value in recipe.items() if value is not None}
    values |= {key: value for key, value in changes.items() if value is not None}
    if recipe:
        values["recipe"] = _merge_recipe(values.get("recipe"), recipe)
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        source = f"{path}: " if path else ""
        raise UsageError(f"{source}{explain(error, Experiment)}") from error


def _merge_recipe(from_file: Any, changes: dict[str, Any]) -> Any:
    """Put the command line's changes over the file's recipe, which may be a name or a table."""
    if from_file is None or "name" in changes:
        return changes
    if isinstance(from_file, str):
        return {"name": from_file, **changes}
    if isinstance(from_file, dict):
        return {**from_file, **changes}
    return from_file  # neither; its validation says so


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what is wrong with each field, and which keys there are if one is unknown."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = Recipe if item["loc"][0] == "recipe" else model
            lines.append(f"unknown key {where!r}; known: {', '.join(known.model_fields)}")
        elif item["type"] == "tuple_type":
            lines.append(f"{where} = {item['input']!r}: Input should be a list")
        elif item["type"] != "default_factory_not_called":
            lines.append(
                f"{where} = {item['input']!r}: {item['msg'].removeprefix('Value error, ')}"
            )
    return "; ".join(lines)


class Request(Frozen):
    """One time that a user asked for (more of) the experiment; seeds were fixed then."""

    date: str
    command: str
    norms: tuple[str, ...]
    seeds: int


class Trial(Frozen):
    """One training run: one norm, one seed, one model, one recipe, one data set."""

    dataset: str
    train_limit: int | None
    test_limit: int | None
    model: str
    norm: str
    recipe: Recipe
    seed: int

    @property
    def id(self) -> str:
        """A name for the trial, such as ``bn-seed0-1f0c6e5d2a9b``: its content, and nothing else.

        The hash covers everything that can change the result, the result format included. Where a
        trial runs (device, threads, folders) is not content; its result records that.
        """
        content = {"result_format": RESULT_FORMAT, **self.model_dump()}
        if self.recipe.precision == "fp32":  # ids were made before there was another
            del content["recipe"]["precision"]
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
