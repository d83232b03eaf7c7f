"""Several settings that one verdict is asked for: from the command line, or from a TOML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from normscope.errors import UsageError
from normscope.experiment.experiment import Experiment
from normscope.experiment.reading import experiment_of, merge_recipe, read_toml

# What is compared is the same in every setting.
OF_SUITE = ("norms", "placement", "stat_batch")


@dataclass(frozen=True)
class Setting:
    """A data set with a network, in which all norms are compared.

    `name` is that of its folder; "" for the one that follows from data set and network.
    """

    experiment: Experiment
    name: str = ""


def settings_of(
    datasets: Sequence[str], models: Sequence[str], settings: Sequence[str] = (), **changes: Any
) -> list[Setting]:
    """Every data set with every network; none named is the usual one.

    The rest is what `read_experiment` takes, and so are the errors.
    """
    return [
        Setting(experiment_of({}, settings, dataset=dataset, model=model, **changes))
        for dataset, model in product(datasets or [None], models or [None])
    ]


def read_suite(path: Path, settings: Sequence[str] = (), **changes: Any) -> list[Setting]:
    """The settings of a TOML file, with changes to all of them; None means unchanged.

    Its keys are those of an experiment, and hold for every table ``[[settings]]`` that does not say
    otherwise; there, a recipe without a base is a change to the recipe of the file. A table may
    also give its folder a `name`. The `settings` change the recipe, such as "max_lr=0.05", and
    `changes` are those of `read_experiment`. Raises `UsageError` in one line.
    """
    values = read_toml(path, "suite file")
    tables = values.pop("settings", None)
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise UsageError(f"{path}: write a table [[settings]] for every setting")
    return [
        _setting(values, table, f"{path}, setting {number}", settings, changes)
        for number, table in enumerate(tables, 1)
    ]


def _setting(
    usual: Mapping[str, Any],
    table: Mapping[str, Any],
    where: str,
    settings: Sequence[str],
    changes: Mapping[str, Any],
) -> Setting:
    for key in OF_SUITE:
        if key in table:
            raise UsageError(f"{where}: {key} is for all settings; put it above the first of them")
    own = dict(table)
    name = own.pop("name", "")
    if not isinstance(name, str):
        raise UsageError(f"{where}: name = {name!r}: should be a text")
    recipe = own.get("recipe")
    if isinstance(recipe, dict) and not {"base", "name"} & {*recipe}:
        own["recipe"] = merge_recipe(usual.get("recipe"), None, recipe)
    return Setting(experiment_of({**usual, **own}, settings, where, **changes), name)
