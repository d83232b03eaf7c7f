"""How a network is trained, and the recipes that have a name."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from normscope.experiment.frozen import Frozen, PositiveInt

Precision = Literal["fp32", "bf16"]

Momentum = Annotated[float, Field(ge=0, lt=1, strict=True)]


class Recipe(Frozen):
    """How to train: everything but the norm and the model.

    The optimizer "sgd" is `torch.optim.SGD` without Nesterov's momentum. `weight_decay` times each
    parameter, those of norms included, is added to its gradient.

    The schedule "one-cycle" is `torch.optim.lr_scheduler.OneCycleLR` with torch's defaults, stepped
    after every batch: the learning rate (per step) climbs from max_lr/25 to `max_lr` over the first
    30 % of the steps and falls to max_lr/250000; momentum runs the other way, from `max_momentum`
    to `min_momentum` and back. The last batch of an epoch may be smaller.

    The loss in training is cross entropy with the labels smoothed: a share of `label_smoothing` is
    spread evenly over all classes. In the test nothing is smoothed. With precision "bf16",
    activations and convolutions are in bfloat16; parameters, their gradients, statistics of norms
    and the loss stay in float32.
    """

    name: str
    epochs: PositiveInt
    batch_size: PositiveInt
    max_lr: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
    precision: Precision = "fp32"
    optimizer: Literal["sgd"] = "sgd"
    min_momentum: Momentum = 0.85
    max_momentum: Momentum = 0.95
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] = 0.0
    schedule: Literal["one-cycle"] = "one-cycle"
    augmentation: Literal["none"] = "none"
    label_smoothing: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0

    @model_validator(mode="after")
    def _momentum_in_order(self) -> "Recipe":
        if self.min_momentum > self.max_momentum:
            raise ValueError(
                f"min_momentum {self.min_momentum} is above max_momentum {self.max_momentum}"
            )
        return self

    @model_serializer(mode="wrap")
    def _later_fields_only_if_changed(
        self, handler: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        """Trials got their ids, and folders their files, before there were these fields."""
        usual = {name: type(self).model_fields[name].default for name in _LATER}
        return {k: v for k, v in handler(self).items() if k not in usual or v != usual[k]}

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

    def describe(self) -> str:
        """The whole recipe but for its name, in sentences for people."""
        epochs = f"{self.epochs:,} epoch{'' if self.epochs == 1 else 's'}"
        loss = [
            _amount("label smoothing", self.label_smoothing),
            _amount("weight decay", self.weight_decay),
            _IN_WORDS[self.augmentation],
        ]
        return (
            f"{epochs} with batches of {self.batch_size:,} images, precision {self.precision}. "
            f"{_IN_WORDS[self.optimizer]} with {_IN_WORDS[self.schedule]}: the learning rate "
            f"rises to {self.max_lr:g} over the first 30 % of the steps and then falls to almost "
            f"0, while {self._momentum()}. Cross entropy, {', '.join(loss)}."
        )

    def _momentum(self) -> str:
        if self.min_momentum == self.max_momentum:
            return f"momentum stays at {self.min_momentum:g}"
        return f"momentum falls from {self.max_momentum:g} to {self.min_momentum:g} and rises again"


def _amount(what: str, value: float) -> str:
    return f"{what} {value:g}" if value else f"no {what}"


_IN_WORDS = {"sgd": "SGD", "one-cycle": "OneCycleLR", "none": "no augmentation"}

_LATER = (
    "optimizer", "min_momentum", "max_momentum", "weight_decay", "schedule", "augmentation",
    "label_smoothing",
)  # fmt: skip

RECIPES = {
    # The published experiment; OneCycleLR replaced the lr=0.01 and momentum=0.9 of its SGD.
    "s8": Recipe(name="s8", epochs=15, batch_size=512, max_lr=0.02),
    # The first run: a verdict on the embedded data in a few minutes on two CPU cores.
    "quick": Recipe(name="quick", epochs=3, batch_size=64, max_lr=0.1),
}


def default_recipe(dataset: str) -> str:
    """The recipe used for a data set when none is named."""
    return "quick" if dataset == "shapes" else "s8"
