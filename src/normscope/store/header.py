"""The head of an experiment's folder: what was asked for, and every time it was asked."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError

from normscope.errors import UsageError
from normscope.experiment import RESULT_FORMAT, Experiment, Frozen, Recipe, Request
from normscope.store.folder import ExperimentFolder


def _with_whole_recipe(experiment: Any) -> Any:
    """What a folder holds of a recipe is all of it, where a user writes changes to a named one."""
    if isinstance(experiment, dict):
        return {**experiment, "recipe": Recipe.model_validate(experiment["recipe"])}
    return experiment


class Header(Frozen):
    """The content of `experiment.json`."""

    result_format: int
    experiment: Annotated[Experiment, BeforeValidator(_with_whole_recipe)]
    requests: tuple[Request, ...]


def read_header(folder: Path) -> Header:
    """The header of a folder.

    Raises `UsageError` if it holds no experiment, one in another result format, or a damaged one.
    """
    path = ExperimentFolder(folder).experiment
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = values.get("result_format")
        if found != RESULT_FORMAT:
            raise UsageError(
                f"{folder} was written in result format {found}, this normscope reads "
                f"{RESULT_FORMAT}; choose another folder with --out"
            )
        return Header.model_validate(values)
    except OSError as error:
        raise UsageError(f"{folder} holds no normscope experiment") from error
    except (ValueError, AttributeError, KeyError, ValidationError) as error:
        raise UsageError(f"{path} is damaged; restore it or choose another folder") from error


def is_repeated(earlier: Request, request: Request) -> bool:
    """Whether a request repeats the one before it, whenever it was made."""
    now = {"date": request.date, "results_before": request.results_before}
    return earlier.model_copy(update=now) == request
