"""How a network is trained, and the recipes that have a name."""

from typing import Annotated, Literal

from pydantic import Field

from normscope.experiment.frozen import Frozen, PositiveInt

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

    def with_batch_size(self, batch_size: int) -> "Recipe":
        """The recipe with another batch size, its learning rate scaled in proportion.

        Source of the rule: Goyal et al. 2017, arXiv 1706.02677; the GroupNorm paper used it too.
        """
        if batch_size == self.batch_size:
            return self
        rate = self.max_lr * batch_size / self.batch_size
        return self.model_copy(update={"batch_size": batch_size, "max_lr": rate})


RECIPES = {
    # The published experiment; OneCycleLR replaced the lr=0.01 and momentum=0.9 of its SGD.
    "s8": Recipe(name="s8", epochs=15, batch_size=512, max_lr=0.02),
    # The first run: a verdict on the embedded data in a few minutes on two CPU cores.
    "quick": Recipe(name="quick", epochs=3, batch_size=64, max_lr=0.1),
}


def default_recipe(dataset: str) -> str:
    """The recipe used for a data set when none is named."""
    return "quick" if dataset == "shapes" else "s8"
