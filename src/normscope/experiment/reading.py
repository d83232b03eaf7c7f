"""What a user wrote, on the command line or in a TOML file, as an experiment and a design."""

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from normscope.errors import UsageError
from normscope.experiment.design import Design
from normscope.experiment.experiment import DEFAULT_NORMS, Experiment, whole_recipe
from normscope.experiment.recipe import Misfit, Recipe
from normscope.norms import PLACEMENTS, Placement, canonical, over_sub_batches, placed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  # not installed on 3.11


# Values of the recipe that have an option of their own.
OF_RECIPE = ("epochs", "batch_size", "max_lr", "precision")


def read_experiment(
    path: Path | None = None, settings: Sequence[str] = (), **changes: Any
) -> Experiment:
    """Build an experiment from a TOML file and changes to it; None in `changes` means unchanged.

    Those of `OF_RECIPE` change the recipe, and so do the `settings`, such as "max_lr=0.05".
    `recipe` is the name of one, or the path of a file for `read_recipe`. `baseline` puts that norm
    first. `placement` is for every norm that says no place of its own: "post" the activation, "pre"
    it, or "both", once each. `stat_batch` are numbers of images: behind every bn come norms that
    take its statistics over so many of them. Raises `UsageError` in one line, in which what is in
    `changes` has the name of its option.
    """
    values = read_toml(path, "config file") if path else {}
    return experiment_of(values, settings, path, **changes)


def experiment_of(
    values: Mapping[str, Any],
    settings: Sequence[str] = (),
    source: Path | str | None = None,
    **changes: Any,
) -> Experiment:
    """The same with the values of a TOML file, which messages call `source`."""
    changes = {key: value for key, value in changes.items() if value is not None}
    texts = _read_settings(settings, changes)
    given = {**dict.fromkeys(changes), **{key: f"--set {key}={texts[key]}" for key in texts}}
    baseline, base = changes.pop("baseline", None), changes.pop("recipe", None)
    recipe = {key: changes.pop(key) for key in OF_RECIPE if key in changes}
    recipe |= {key: _number_or_text(text) for key, text in texts.items()}
    values = {**values, **changes}
    if recipe or base is not None:
        values["recipe"] = merge_recipe(values.get("recipe"), base, recipe)
    places = _places(values.pop("placement", None))
    if places and isinstance(norms := values.get("norms", list(DEFAULT_NORMS)), list | tuple):
        values["norms"] = _in_places(norms, places)
        baseline = baseline and placed(baseline, places[0])
    asked = "--stat-batch" if "stat_batch" in given else f"{source}: stat_batch"
    sizes = _statistics_batches(values.pop("stat_batch", None), asked)
    if sizes and isinstance(norms := values.get("norms", list(DEFAULT_NORMS)), list | tuple):
        values["norms"] = _over_sub_batches(norms, sizes, asked)
    try:
        experiment = Experiment.model_validate(values)
    except ValidationError as error:
        raise UsageError(explain(error, Experiment, given, source)) from error
    _check_within(experiment, sizes, asked)
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


def _statistics_batches(sizes: Any, asked: str) -> tuple[int, ...]:
    """The numbers of images that statistics are to run over; none if nothing was asked for.

    `asked`: what the user calls them, for the message of a `UsageError`.
    """
    if sizes is None:
        return ()
    if not isinstance(sizes, list | tuple) or not sizes or {*map(type, sizes)} != {int}:
        raise UsageError(f"{asked} {sizes!r}: write a list of whole numbers, such as [2, 8, 32]")
    if len({*sizes}) < len(sizes):
        raise UsageError(f"{asked} {_listed(sizes)}: names a size twice")
    if 1 in sizes:
        raise UsageError(
            f"{asked} {_listed(sizes)}: statistics over 1 image are no longer those of a batch, "
            "but of InstanceNorm (in) while it trains; write sizes from 2 on"
        )
    if min(sizes) < 1:
        raise UsageError(f"{asked} {_listed(sizes)}: write numbers of images from 2 on")
    return tuple(sizes)


def _over_sub_batches(norms: Sequence[Any], sizes: Sequence[int], asked: str) -> list[Any]:
    """Each norm and, behind bn, bn over sub-batches of each of the sizes; those named stay once."""
    named = {canonical(norm) for norm in norms if isinstance(norm, str)}
    put: list[Any] = []
    for norm in norms:
        smaller = [over_sub_batches(norm, size) for size in sizes] if isinstance(norm, str) else []
        put += [norm, *(other for other in smaller if other and other not in named)]
    if not any(over_sub_batches(norm, 2) for norm in named):
        raise UsageError(
            f"{asked} takes the statistics of bn over fewer images, and bn is not among the norms "
            f"({_listed(norms)}); add bn to --norms"
        )
    return put


def _check_within(experiment: Experiment, sizes: Sequence[int], asked: str) -> None:
    """Raise `UsageError` for statistics over a whole batch or more."""
    batch = min(experiment.batch_sizes)
    if sizes and max(sizes) >= batch:
        raise UsageError(
            f"{asked} {_listed(sizes)}: {max(sizes)} images are a whole batch of {batch} or more, "
            f"and bn itself takes its statistics over whole batches; write sizes below {batch}"
        )


def _listed(values: Sequence[Any]) -> str:
    return ",".join(map(str, values))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file, whose keys are the recipe's fields, and `base`.

    With a base the file holds what to change in that recipe; without one it holds a whole recipe.
    The name is the file's, unless it gives another. Raises `UsageError` in one line.
    """
    values = {"name": path.stem, **read_toml(path, "recipe file")}
    try:
        return Recipe.model_validate(whole_recipe(values) if "base" in values else values)
    except UsageError as error:
        raise UsageError(f"{path}: base: {error}") from error
    except ValidationError as error:
        raise UsageError(explain(error, Recipe, {}, path)) from error


def _read_settings(settings: Sequence[str], options: Collection[str]) -> dict[str, str]:
    """``max_lr=0.05`` as key and text; a key is set once, and not by an option of its own too."""
    read: dict[str, str] = {}
    known = [key for key in Recipe.model_fields if key != "name"]
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: write KEY=VALUE, such as --set max_lr=0.05")
        if key not in known:
            raise UsageError(f"--set {setting}: unknown key {key!r}; known: {', '.join(known)}")
        if key in options:
            raise UsageError(f"--set {setting} and {option_of(key)} set the same; leave one out")
        if key in read:
            raise UsageError(f"--set {setting}: {key} is set twice")
        read[key] = value
    return read


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
        raise UsageError(explain(error, Design, dict.fromkeys(given))) from error


def _number_or_text(text: str) -> int | float | str:
    """The number that a text writes, else the text."""
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def merge_recipe(from_file: Any, base: str | Path | None, changes: Mapping[str, Any]) -> Any:
    """Put changes over the recipe of the command line, or the file's, a name or a table."""
    if isinstance(base, Path):
        return {"base": read_recipe(base), **changes}
    if base is not None:
        return {"base": base, **changes}
    if from_file is None:
        return changes
    if isinstance(from_file, str):
        return {"base": from_file, **changes}
    if isinstance(from_file, dict):
        return {**from_file, **changes}
    return from_file  # neither; its validation says so


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """What a TOML file holds; `what` it is to be goes into the message of a `UsageError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Notepad writes a mark
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def explain(
    error: ValidationError,
    model: type[BaseModel],
    given: Mapping[str, str | None],
    path: Path | str | None = None,
) -> str:
    """Say in one line what is wrong with each value, and which keys there are if one is unknown.

    A value that was `given` as an option is called by that: as it was written, or if this is None
    by the option's name and the value. Others are called by their key in the file at `path`.
    """
    return "; ".join(_explain_one(item, model, given, path) for item in error.errors())


def _explain_one(
    item: Any, model: type[BaseModel], given: Mapping[str, str | None], path: Path | str | None
) -> str:
    where, value = [str(part) for part in item["loc"]], item["input"]
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    misfit = item.get("ctx", {}).get("error")
    if isinstance(misfit, Misfit):
        where.append(misfit.field)
    if item["type"] == "tuple_type":
        message = "should be a list"
    option = next((part for part in where if part.removeprefix("own_") in given), None)
    if option is not None:
        shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
        as_written = given[option.removeprefix("own_")]
        return f"{as_written or f'{option_of(option)} {shown!r}'}: {message}"
    source, key = f"{path}: " if path else "", ".".join(where).removeprefix("own_")
    if not where:  # of several values together
        return f"{source}{message}"
    if item["type"] == "extra_forbidden":
        known = [*model.model_fields]
        if model is Recipe or where[0] == "recipe":
            known = [*Recipe.model_fields, "base"]
        return f"{source}unknown key {key!r}; known: {', '.join(known)}"
    if item["type"] == "missing":
        return f"{source}{key} is missing"
    if isinstance(misfit, Misfit):
        return f"{source}{key}: {message}"
    return f"{source}{key} = {value!r}: {message}"


def option_of(field: str) -> str:
    """The option that sets a field: ``--margin`` for `margin_points`."""
    name = field.removeprefix("own_").removesuffix("_points").removesuffix("s_percent")
    return f"--{name.replace('_', '-')}"
