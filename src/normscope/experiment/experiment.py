"""What a user asks for: a frozen, validated value, from which every trial follows."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from normscope.errors import lookup
from normscope.experiment.frozen import Frozen, PositiveInt
from normscope.experiment.recipe import RECIPES, Recipe, default_recipe

Protocol = Literal["drop-in", "tuned"]


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
