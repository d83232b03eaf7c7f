"""What a user wrote, on the command line or in a TOML file, as an experiment and a design."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from normscope.errors import UsageError
from normscope.experiment.design import Design
from normscope.experiment.experiment import DEFAULT_NORMS, Experiment
from normscope.experiment.recipe import Recipe
from normscope.norms import PLACEMENTS, Placement, canonical, placed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  # not installed on 3.11


OF_RECIPE = ("epochs", "batch_size", "max_lr", "precision")


def read_experiment(path: Path | None = None, **changes: Any) -> Experiment:
    """Build an experiment from a TOML file and changes to it; None in `changes` means unchanged.

    Those of `OF_RECIPE` change the recipe, and `baseline` puts that norm first. `placement` is for
    every norm that says no place of its own: "post" the activation, "pre" it, or "both", once each.
    Raises `UsageError` in one line, in which what is in `changes` has the name of its option.
    """
    given = {key for key, value in changes.items() if value is not None}
    values = _read_toml(path) if path else {}
    baseline = changes.pop("baseline", None)
    recipe = {key: changes.pop(key, None) for key in OF_RECIPE}
    recipe["name"] = changes.pop("recipe", None)
    recipe = {key: value for key, value in recipe.items() if value is not None}
    values |= {key: value for key, value in changes.items() if value is not None}
    if recipe:
        values["recipe"] = _merge_recipe(values.get("recipe"), recipe)
    places = _places(values.pop("placement", None))
    if places and isinstance(norms := values.get("norms", list(DEFAULT_NORMS)), list | tuple):
        values["norms"] = _in_places(norms, places)
        baseline = baseline and placed(baseline, places[0])
    try:
        experiment = Experiment.model_validate(values)
    except ValidationError as error:
        raise UsageError(explain(error, Experiment, given, path)) from error
    return experiment if baseline is None else _with_baseline(experiment, baseline)


def _places(placement: Any) -> tuple[Placement, ...]:
    """The places of every norm that says none; none if nothing was asked for."""
    if placement is None:
        return ()
    known: dict[Any, tuple[Placement, ...]] = {"post": ("post",), "pre": ("pre",)}
    known["both"] = PLACEMENTS
    if placement not in known:
        raise UsageError(f"--placement {placement!r}: write post, pre or both")
    return known[placement]


def _in_places(norms: Sequence[Any], places: Sequence[Placement]) -> list[Any]:
    """Each norm at each of the places; once, if it has none or says one itself."""
    put = [placed(n, place) if isinstance(n, str) else n for n in norms for place in places]
    return list(dict.fromkeys(put))


def _with_baseline(experiment: Experiment, baseline: str) -> Experiment:
    baseline = canonical(baseline)
    if baseline not in experiment.norms:
        named = ", ".join(experiment.norms)
        raise UsageError(f"the baseline {baseline!r} is not among the norms ({named})")
    others = [norm for norm in experiment.norms if norm != baseline]
    return experiment.model_copy(update={"norms": (baseline, *others)})


def read_design(base: Design, **values: Any) -> Design:
    """Build a design from changes to `base`; None means unchanged. Raises `UsageError`."""
    given = {key: value for key, value in values.items() if value is not None}
    try:
        return Design.model_validate({**base.model_dump(exclude_unset=True), **given})
    except ValidationError as error:
        raise UsageError(explain(error, Design, set(given))) from error


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
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Notepad writes a mark
    except OSError as error:
        raise UsageError(f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def explain(
    error: ValidationError, model: type[BaseModel], given: Collection[str], path: Path | None = None
) -> str:
    """Say in one line what is wrong with each value, and which keys there are if one is unknown.

    A value that was `given` as an option is called by the option's name, others by their key in the
    file at `path`.
    """
    return "; ".join(_explain_one(item, model, given, path) for item in error.errors())


def _explain_one(
    item: Any, model: type[BaseModel], given: Collection[str], path: Path | None
) -> str:
    where, value = [str(part) for part in item["loc"]], item["input"]
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if item["type"] == "tuple_type":
        message = "should be a list"
    field = next((part for part in where if part.removeprefix("own_") in given), None)
    if field is not None:
        shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
        return f"{option_of(field)} {shown!r}: {message}"
    source = f"{path}: " if path else ""
    if item["type"] == "extra_forbidden":
        known = Recipe if where[0] == "recipe" else model
        keys = ", ".join(known.model_fields)
        return f"{source}unknown key {'.'.join(where)!r}; known: {keys}"
    return f"{source}{'.'.join(where).removeprefix('own_')} = {value!r}: {message}"


def option_of(field: str) -> str:
    """The option that sets a field: ``--margin`` for `margin_points`."""
    name = field.removeprefix("own_").removesuffix("_points").removesuffix("s_percent")
    return f"--{name.replace('_', '-')}"
