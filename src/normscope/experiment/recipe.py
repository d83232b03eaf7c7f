"""How a network is trained: everything but the norm and the model."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from normscope.experiment.frozen import Frozen, PositiveInt

Precision = Literal["fp32", "bf16"]
Optimizer = Literal["sgd", "sgd-nesterov", "adamw"]
Schedule = Literal["one-cycle", "cosine", "linear", "constant", "step"]
Augmentation = Literal["flip", "crop", "cutout"]

Momentum = Annotated[float, Field(ge=0, lt=1, strict=True)]
Share = Annotated[float, Field(ge=0, lt=1, strict=True)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]

CROP_PADDING = 4  # pixels on every side of an image
CUTOUT_SIDE = 8  # pixels

NONE = "none"  # what is written, in TOML and on the command line, for a choice that is not made


def _named(value: Any) -> Any:
    """A list of names may be one text: "flip,crop"."""
    if isinstance(value, str):
        return () if value == NONE else tuple(name.strip() for name in value.split(","))
    return value


def _optional(value: Any) -> Any:
    return None if value == NONE else value


class Misfit(ValueError):
    """Values of a recipe that do not go together; `field` is the one to change."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


class Recipe(Frozen):
    """How to train: everything but the norm and the model.

    Optimizers are torch's: "sgd", "sgd-nesterov" (SGD with Nesterov's momentum) and "adamw", whose
    beta1 is what is called momentum here, with beta2 0.999 and eps 1e-8. `weight_decay` times a
    parameter is added to its gradient by SGD, and AdamW takes learning rate times `weight_decay` of
    the parameter away. `l1` times the sum of the absolute values of the parameters is part of what
    is minimized, but not of the losses that are reported. Both are for all parameters, or with
    `weight_decay_on` "weights" for those with two or more dimensions: no norms, no biases.

    The learning rate is per step, and `max_lr` is its highest value. The schedule "one-cycle" is
    `torch.optim.lr_scheduler.OneCycleLR` with torch's defaults, stepped after every batch: the
    learning rate climbs from max_lr/25 to `max_lr` over the first 30 % of the steps and falls to
    max_lr/250000; momentum runs the other way, from `max_momentum` to `min_momentum` and back.
    The others start with `warmup`, a share of the steps in which the rate rises in a straight line
    to `max_lr`. Over the remaining steps it falls to 0 along half a cosine ("cosine") or in a
    straight line ("linear"), stays ("constant"), or is divided by 10 after half and again after
    three quarters of them ("step"); momentum stays at `max_momentum`. The last batch of an epoch
    may be smaller.

    The loss in training is cross entropy with the labels smoothed: a share of `label_smoothing` is
    spread evenly over all classes. In the test nothing is smoothed. `augmentation` names what is
    done to the training images, in this order: "flip" mirrors half of them, "crop" shifts by up to
    4 pixels either way and fills with black, "cutout" sets a square of 8x8 pixels to the mean. They
    are drawn anew in every epoch. "none" and "flip,crop" are other ways to write () and a list.

    With `ema`, what is tested after every epoch, and kept, is not the network itself but an
    exponential moving average of its parameters and buffers: after every step the average moves by
    1 - `ema` of the way to the network. None, which may be written "none", is for no average.

    `dropout` is the share of elements that dropout layers zero, in place of the network's own;
    0 switches dropout off. None, which may be written "none", leaves the network as it is.

    With precision "bf16", activations and convolutions are in bfloat16; parameters, their
    gradients, statistics of norms and the loss stay in float32.

    Values that are usual are left out where a recipe is written, so that the ids of trials and the
    files of folders stay what they were before there were these fields.

    >>> from normscope import RECIPES, Recipe
    >>> Recipe(name="mine", epochs=3, batch_size=64, max_lr=0.01, augmentation="flip,crop")
    Recipe(name='mine', epochs=3, batch_size=64, max_lr=0.01, augmentation=('flip', 'crop'))
    >>> RECIPES["s8"].epochs, RECIPES["s8"].max_lr
    (15, 0.02)
    """

    name: str
    epochs: PositiveInt
    batch_size: PositiveInt
    max_lr: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
    precision: Precision = "fp32"
    optimizer: Optimizer = "sgd"
    min_momentum: Momentum = 0.85
    max_momentum: Momentum = 0.95
    weight_decay: Strength = 0.0
    weight_decay_on: Literal["all", "weights"] = "all"
    l1: Strength = 0.0
    schedule: Schedule = "one-cycle"
    warmup: Share = 0.0
    augmentation: Annotated[tuple[Augmentation, ...], BeforeValidator(_named)] = ()
    label_smoothing: Share = 0.0
    ema: Annotated[
        Annotated[float, Field(gt=0, lt=1, strict=True)] | None, BeforeValidator(_optional)
    ] = None
    dropout: Annotated[Share | None, BeforeValidator(_optional)] = None

    @field_validator("name")
    @classmethod
    def _may_name_a_folder(cls, name: str) -> str:
        if not name or set(name) & set("/\\"):
            raise ValueError("should name a folder, without a slash")
        return name

    @field_validator("augmentation")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("names an augmentation twice")
        return names

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        if self.schedule == "one-cycle":
            if self.min_momentum > self.max_momentum:
                raise Misfit(
                    "min_momentum",
                    f"min_momentum {self.min_momentum:g} is above max_momentum "
                    f"{self.max_momentum:g}",
                )
            if self.warmup:
                raise Misfit(
                    "warmup",
                    "the schedule one-cycle has a warm-up of its own; leave warmup out, or choose "
                    "another schedule",
                )
        elif self.min_momentum not in (self.max_momentum, USUAL["min_momentum"]):
            raise Misfit(
                "min_momentum",
                f"the schedule {self.schedule} keeps momentum at max_momentum, "
                f"{self.max_momentum:g}; only one-cycle changes it",
            )
        if self.optimizer == "sgd-nesterov" and self.max_momentum == 0:
            raise Misfit("max_momentum", "sgd-nesterov needs a momentum above 0")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {
            key: value
            for key, value in write(self).items()
            if key not in USUAL or getattr(self, key) != USUAL[key]
        }

    def with_batch_size(self, batch_size: int) -> "Recipe":
        """The recipe with another batch size, its learning rate scaled in proportion.

        Source of the rule: Goyal et al. 2017, arXiv 1706.02677; the GroupNorm paper used it too.
        """
        if batch_size == self.batch_size:
            return self
        rate = self.max_lr * batch_size / self.batch_size
        return self.model_copy(update={"batch_size": batch_size, "max_lr": rate})

    def steps_per_epoch(self, images: int) -> int:
        """How many steps an epoch takes on so many training images."""
        return math.ceil(images / self.batch_size)

    def changed(self, changes: dict[str, Any]) -> dict[str, Any]:
        """The values of the recipe with these changed, not yet validated.

        Another batch size changes the learning rate with it, unless that is among the changes too.
        """
        size, scaled = changes.get("batch_size"), self
        if isinstance(size, int) and size > 0:  # or the validation says what is wrong with it
            scaled = self.with_batch_size(size)
        return {**dict(self), "max_lr": scaled.max_lr, **changes}

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """What is not as usual, from which the same recipe can be made."""
        fields = type(self).model_fields
        return ((name, value) for name, value in self if value != fields[name].default)

    # -- in words ----------------------------------------------------------------------------------

    def describe(self) -> str:
        """The whole recipe but for its name, in sentences for people."""
        epochs = f"{self.epochs:,} epoch{'' if self.epochs == 1 else 's'}"
        loss = [
            _amount("label smoothing", self.label_smoothing),
            _amount("weight decay", self.weight_decay) + self._where(self.weight_decay),
            *([f"l1 penalty {self.l1:g}{self._where(self.l1)}"] if self.l1 else []),
            self._augmentation(),
            *([] if self.dropout is None else [_amount("dropout", self.dropout)]),
        ]
        return (
            f"{epochs} with batches of {self.batch_size:,} images, precision {self.precision}. "
            f"{_OPTIMIZERS[self.optimizer]} with {_SCHEDULES[self.schedule]}: the learning rate "
            f"{self._rate()}, while {self._momentum()}. Cross entropy, {', '.join(loss)}."
            f"{self._average()}"
        )

    def _where(self, strength: float) -> str:
        """What a penalty is for, where that is not every parameter."""
        weights_only = strength and self.weight_decay_on == "weights"
        return " (not on norms and biases)" if weights_only else ""

    def _rate(self) -> str:
        highest = f"{self.max_lr:g}"
        if self.schedule == "one-cycle":
            return f"rises to {highest} over the first 30 % of the steps and then falls to almost 0"
        at_once, after_warmup = _COURSES[self.schedule]
        if not self.warmup:
            return at_once.format(highest)
        share = f"the first {100 * self.warmup:g} % of the steps"
        return f"rises in a straight line to {highest} over {share} and then {after_warmup}"

    def _momentum(self) -> str:
        name = "beta1" if self.optimizer == "adamw" else "momentum"
        low, high = f"{self.min_momentum:g}", f"{self.max_momentum:g}"
        if self.schedule != "one-cycle" or low == high:
            return f"{name} stays at {high}"
        return f"{name} falls from {high} to {low} and rises again"

    def _augmentation(self) -> str:
        if not self.augmentation:
            return "no augmentation"
        steps = [_AUGMENTATIONS[name] for name in self.augmentation]
        return f"training images augmented ({', then '.join(steps)})"

    def _average(self) -> str:
        if self.ema is None:
            return ""
        return (
            " What is tested and kept is an exponential moving average of the network, with decay "
            f"{self.ema:g} per step."
        )


# Fields that came later than ids and files: left out of them at these values.
USUAL = {
    name: field.default
    for name, field in Recipe.model_fields.items()
    if not field.is_required() and name != "precision"
}


def _amount(what: str, value: float) -> str:
    return f"{what} {value:g}" if value else f"no {what}"


def in_a_word(value: object) -> str:
    """A value of a recipe as a user writes it: "none" for None and no names, "flip,crop"."""
    if value is None or value == ():
        return NONE
    return ",".join(value) if isinstance(value, tuple) else str(value)


_OPTIMIZERS: dict[Optimizer, str] = {
    "sgd": "SGD",
    "sgd-nesterov": "Nesterov SGD",
    "adamw": "AdamW",
}
_SCHEDULES: dict[Schedule, str] = {
    "one-cycle": "OneCycleLR",
    "cosine": "a cosine schedule",
    "linear": "a linear schedule",
    "constant": "a constant schedule",
    "step": "a step schedule",
}
# What the learning rate does from its highest value on: from the start, and after a warm-up.
_COURSES: dict[Schedule, tuple[str, str]] = {
    "cosine": (
        "falls from {} along half a cosine to almost 0",
        "falls along half a cosine to almost 0",
    ),
    "linear": (
        "falls from {} in a straight line to almost 0",
        "falls in a straight line to almost 0",
    ),
    "constant": ("stays at {}", "stays there"),
    "step": (
        "starts at {} and is divided by 10 after half and again after three quarters of the steps",
        "is divided by 10 after half and again after three quarters of the rest",
    ),
}
_AUGMENTATIONS: dict[Augmentation, str] = {
    "flip": "half of them mirrored",
    "crop": f"shifted by up to {CROP_PADDING} pixels",
    "cutout": f"a square of {CUTOUT_SIDE}x{CUTOUT_SIDE} pixels cut out",
}
