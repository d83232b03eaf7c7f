"""What a user asks for: a frozen, validated value, from which every trial follows."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from normscope.errors import lookup
from normscope.experiment.frozen import Frozen, PositiveInt
from normscope.experiment.in_html import as_table
from normscope.experiment.recipe import Recipe, in_a_word
from normscope.experiment.recipes import RECIPES, default_recipe
from normscope.experiment.source import Source
from normscope.norms import canonical, title_of

# Those of the search for learning rates lie above all that an experiment may have.
Seed = Annotated[int, Field(ge=0, lt=1_000_000, strict=True)]
Protocol = Literal["drop-in", "tuned"]


DEFAULT_NORMS = ("bn", "gn", "ln")


def default_seeds(dataset: str) -> int:
    """The number of seeds used for a data set when none is given."""
    return 5 if dataset == "shapes" else 3


def default_model(dataset: str) -> str:
    """The network used for a data set when none is named: s8 takes images of 32x32 alone."""
    return "s8" if dataset in ("shapes", "cifar10", "cifar100", "svhn") else "s8-gap"


def _complete_recipe(value: Any, info: ValidationInfo) -> Any:
    """Turn a recipe's name, or a table of changes to another recipe, into a whole recipe."""
    if isinstance(value, str):
        return lookup(RECIPES, "recipe", value)
    if isinstance(value, dict):
        return whole_recipe(value, default_recipe(info.data.get("dataset", "")))
    return value


def whole_recipe(table: dict[str, Any], usual: str = "") -> dict[str, Any]:
    """The values of the recipe that a table changes, with the changes; not yet validated.

    It changes its `base`, a recipe or the name of one; without a base the one that has its name,
    and without a name the `usual` one.
    """
    changes = dict(table)
    base = changes.pop("base", changes.get("name", usual))
    if not isinstance(base, Recipe):
        base = lookup(RECIPES, "recipe", str(base))
    return base.changed(changes)


class Experiment(Frozen):
    """What a user asks for: every norm is trained with every seed, all else equal.

    `recipe` may be given as a name ("s8"), or as a table of what to change in a named one
    (``{"name": "s8", "epochs": 3}``), which may get a name of its own (``{"base": "s8", "name":
    "mine", "epochs": 3}``). `seeds` counts blocks: 3 means the seeds 0, 1 and 2; a list of seeds,
    such as ``[1, 7, 13]``, is counted, and kept in `own_seeds`. A norm may be given with options,
    with its place and by other names, as in ``gn:groups=2:pre`` and ``BatchNorm2d``; kept is its
    one name, that of `normscope.norms.canonical`. The first norm is the baseline that the others
    are compared with. The limits keep the first N images of a split. With
    several `batch_sizes` everything is trained with each of them, the learning rate scaled with it.
    `model` is a name, or ``net.py:build`` for a network of the user's own. `sources` tells of norms
    of the user's own by name, `model_source` of the network, `images` of the images; `compare`
    fills them in. `dataset` is a name, or a folder or file of images, which become squares of
    `image_size` pixels; with `skip_bad` images that cannot be used are left out. With `folds` there
    is no test set of its own: all images are dealt out, and seed s is trained without fold s modulo
    `folds` and tested on it, so that the number of seeds is a multiple of that of the folds.
    The protocol "drop-in" trains every norm by the recipe, "tuned" with the learning rate that is
    best for it on images held out from the training set.

    Raises `pydantic.ValidationError` on a wrong type or value, `UsageError` on an unknown recipe.

    >>> from normscope import Experiment
    >>> Experiment(dataset="cifar10", norms=("BatchNorm2d", "gn:size=4"))
    Experiment(dataset='cifar10', norms=('bn', 'gn:size=4'), seeds=3)
    >>> Experiment(recipe={"epochs": 5}, seeds=[1, 7]).slug
    'shapes-s8-quick-epochs5'
    """

    dataset: str = "shapes"
    model: str = Field(default_factory=lambda data: default_model(data["dataset"]))
    norms: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_NORMS
    recipe: Annotated[Recipe, BeforeValidator(_complete_recipe)] = Field(
        default_factory=lambda data: RECIPES[default_recipe(data["dataset"])]
    )
    folds: Annotated[int, Field(ge=2, strict=True)] | None = None
    seeds: PositiveInt = Field(
        default_factory=lambda data: data["folds"] or default_seeds(data["dataset"])
    )
    train_limit: PositiveInt | None = None
    test_limit: PositiveInt | None = None
    batch_sizes: tuple[PositiveInt, ...] = Field(
        default_factory=lambda data: (data["recipe"].batch_size,)
    )
    protocol: Protocol = "drop-in"
    own_seeds: tuple[Seed, ...] = ()  # none: 0, 1, 2, ...
    sources: dict[str, Source] = Field(default_factory=dict)
    model_source: Source | None = None
    image_size: PositiveInt | None = None
    skip_bad: bool = False
    images: Source | None = None

    @model_validator(mode="before")
    @classmethod
    def _count_own_seeds(cls, values: Any) -> Any:
        seeds = values.get("seeds") if isinstance(values, dict) else None
        if not isinstance(seeds, list | tuple | range) or not seeds:
            return values
        usual = list(seeds) == list(range(len(seeds)))
        return {**values, "seeds": len(seeds), "own_seeds": () if usual else tuple(seeds)}

    @model_validator(mode="after")
    def _seeds_agree(self) -> "Experiment":
        if self.own_seeds and len(self.own_seeds) != self.seeds:
            raise ValueError("give seeds of your own as the list `seeds`, and leave own_seeds out")
        return self

    @model_validator(mode="after")
    def _folds_agree(self) -> "Experiment":
        if self.folds is None:
            return self
        if self.seeds % self.folds or self.own_seeds:
            some = ", ".join(str(self.folds * times) for times in (1, 2, 3))
            raise ValueError(
                f"each of {self.folds} folds is tested equally often: leave seeds out, or write "
                f"{some}, ..."
            )
        if self.train_limit or self.test_limit:
            raise ValueError("folds are of all images; leave the limits out")
        if self.protocol == "tuned":
            raise ValueError("folds leave no images to search learning rates on; set max_lr")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, write: Any) -> dict[str, Any]:
        """Folders were written before there was anything of a user's own, and folds."""
        values = write(self)
        for since in (
            "own_seeds",
            "sources",
            "model_source",
            "image_size",
            "skip_bad",
            "images",
            "folds",
        ):
            if not getattr(self, since):
                values.pop(since, None)
        return values

    @model_validator(mode="wrap")
    @classmethod
    def _no_errors_that_follow_from_others(cls, values: Any, handler: Any) -> Any:
        """A field whose default follows from a wrong one is not reported as wrong itself."""
        try:
            return handler(values)
        except ValidationError as error:
            causes = [
                InitErrorDetails(
                    type=each["type"], loc=each["loc"], input=each["input"], ctx=each.get("ctx", {})
                )
                for each in error.errors()
                if each["type"] != "default_factory_not_called"
            ]
            raise ValidationError.from_exception_data(cls.__name__, causes) from None

    @field_validator("seeds", mode="before")
    @classmethod
    def _some_seed(cls, seeds: Any) -> Any:
        if isinstance(seeds, list | tuple | range):  # the others are counted by now
            raise ValueError("names no seed")
        return seeds

    @field_validator("norms")
    @classmethod
    def _each_norm_once(cls, norms: tuple[str, ...]) -> tuple[str, ...]:
        if not all(norms):
            raise ValueError("holds an empty name")
        named = tuple(map(canonical, norms))
        if len(set(named)) < len(named):
            raise ValueError("names a norm twice")
        return named

    @field_validator("batch_sizes")
    @classmethod
    def _each_batch_size_once(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes:
            raise ValueError("names no batch size")
        if len(set(sizes)) < len(sizes):
            raise ValueError("names a batch size twice")
        return tuple(sorted(sizes))

    @field_validator("own_seeds")
    @classmethod
    def _each_seed_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("names a seed twice")
        return seeds

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Data set, norms and seeds, and what else is not as usual: what makes the same again.

        `compare` fills the sources in.
        """
        usual = Experiment(dataset=self.dataset, recipe=self.recipe)
        always, filled_in = {"dataset", "norms", "seeds"}, {"sources", "model_source", "images"}
        asked = {**dict(self), "seeds": self.own_seeds or self.seeds, "own_seeds": ()}
        for name, value in asked.items():
            if name == "recipe":
                if self.recipe != RECIPES[default_recipe(self.dataset)]:
                    yield name, _as_asked(self.recipe)
            elif name in always or (name not in filled_in and value != getattr(usual, name)):
                yield name, value

    def _repr_html_(self) -> str:
        """The same for people, with the network, full names, and all that the recipe does."""
        titles = {norm: title_of(norm) for norm in self.norms}
        rows = {
            "dataset": self.dataset,
            "model": self.model,
            "norms": "; ".join(f"{n}: {name}" if name != n else n for n, name in titles.items()),
            "recipe": f"{self.recipe.name}: {self.recipe.describe()}",
        }
        for name, value in self.__repr_args__():
            if name not in rows:
                several = isinstance(value, tuple)
                rows[name.replace("_", " ")] = ", ".join(map(str, value)) if several else str(value)
        return as_table("Experiment", rows)

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds themselves, in the order of the blocks."""
        return self.own_seeds or tuple(range(self.seeds))

    def with_seeds(self, count: int) -> "Experiment":
        """The first so many seeds; beyond those there are, the smallest that are not among them."""
        known = self.seed_numbers
        others = (seed for seed in itertools.count() if seed not in known)
        return self._with_seed_numbers((*known, *itertools.islice(others, count))[:count])

    def with_seeds_of(self, other: "Experiment") -> "Experiment":
        """With the seeds of another experiment, and behind them those of its own that it lacks."""
        mine = [seed for seed in self.seed_numbers if seed not in other.seed_numbers]
        return self._with_seed_numbers((*other.seed_numbers, *mine))

    def _with_seed_numbers(self, seeds: Sequence[int]) -> "Experiment":
        usual = tuple(seeds) == tuple(range(len(seeds)))
        own = () if usual else tuple(seeds)
        return self.model_copy(update={"seeds": len(seeds), "own_seeds": own})

    @property
    def baseline(self) -> str:
        return self.norms[0]

    @property
    def main_batch_size(self) -> int:
        """The batch size that curves and mistakes are shown for: the recipe's, or the largest."""
        usual = self.recipe.batch_size
        return usual if usual in self.batch_sizes else self.batch_sizes[-1]

    def recipe_for(self, batch_size: int) -> Recipe:
        """The recipe with another batch size, its learning rate scaled in proportion."""
        return self.recipe.with_batch_size(batch_size)

    @property
    def slug(self) -> str:
        """A folder name such as ``cifar10-s8-s8`` or ``shapes-s8-quick-epochs2-train1000``."""
        model = self.model
        if self.model_source is not None:  # what is edited is another network
            model += "-" + self.model_source.fingerprint.replace(" ", "-")
        dataset = self.dataset
        if self.images is not None:
            dataset += "-" + self.images.fingerprint[:8]
        parts = [dataset, model, self.recipe.name, *self._changes_to_recipe()]
        if self.folds:
            parts.append(f"folds{self.folds}")
        if self.train_limit:
            parts.append(f"train{self.train_limit}")
        if self.test_limit:
            parts.append(f"test{self.test_limit}")
        if self.protocol != "drop-in":
            parts.append(self.protocol)
        return "-".join(parts)

    def _changes_to_recipe(self) -> list[str]:
        """``epochs2``: what differs from the recipe of that name, or from all that is usual."""
        return [
            f"{key.replace('_', '')}{in_a_word(value).replace(',', '+')}"
            for key, value in _changes(self.recipe).items()
        ]

    def extended_by(self, asked: "Experiment") -> "Experiment":
        """This experiment with the norms, seeds and batch sizes of another added to its own.

        Nothing is taken away: the number of seeds never shrinks. Seeds and batch sizes that nobody
        named are this experiment's own.
        """
        named_sizes = asked.batch_sizes if "batch_sizes" in asked.model_fields_set else ()
        new_norms = [norm for norm in asked.norms if norm not in self.norms]
        named_seeds = asked.seed_numbers
        if self.own_seeds and "seeds" not in asked.model_fields_set:
            named_seeds = ()
        new_seeds = [seed for seed in named_seeds if seed not in self.seed_numbers]
        wider = self._with_seed_numbers((*self.seed_numbers, *new_seeds))
        return wider.model_copy(
            update={
                "norms": (*self.norms, *new_norms),
                "sources": {**self.sources, **asked.sources},
                "batch_sizes": tuple(sorted({*self.batch_sizes, *named_sizes})),
            }
        )

    def difference_to(self, other: "Experiment") -> str:
        """What of another experiment no extension reaches: ``recipe.epochs 3, not 4``; or ""."""
        mine, others = _flat(self), _flat(other)
        return ", ".join(
            f"{key} {in_a_word(mine[key])}, not {in_a_word(others[key])}"
            for key in mine
            if mine[key] != others[key]
        )


def _changes(recipe: Recipe) -> dict[str, Any]:
    """What differs from the recipe of that name or, if there is none, from all that is usual."""
    named = RECIPES.get(recipe.name)
    if named is None:
        usual: dict[str, Any] = {key: f.default for key, f in Recipe.model_fields.items()}
    else:  # the rate that follows from the batch size goes without saying
        scaled = named.with_batch_size(recipe.batch_size)
        usual = {**dict(scaled), "batch_size": named.batch_size}
    return {key: value for key, value in recipe if key != "name" and value != usual[key]}


def _as_asked(recipe: Recipe) -> str | dict[str, Any] | Recipe:
    """A recipe as a user may give it: its name, the changes to it, or a whole one."""
    if recipe.name not in RECIPES:
        return recipe
    changes = _changes(recipe)
    return {"name": recipe.name, **changes} if changes else recipe.name


def _flat(experiment: Experiment) -> dict[str, Any]:
    """Everything but the size of an experiment: its norms, seeds and batch sizes.

    What images are read with is in their fingerprint, and where a source lies says nothing.
    """
    size = {"norms", "sources", "seeds", "own_seeds", "batch_sizes"}
    own = {"images", "model_source"}
    values = experiment.model_dump(exclude={*size, *own, "recipe", "image_size", "skip_bad"})
    for name in own:
        source = getattr(experiment, name)
        values[name] = source.fingerprint if source else None
    recipe = {f"recipe.{key}": value for key, value in experiment.recipe}
    return {**values, **recipe}
