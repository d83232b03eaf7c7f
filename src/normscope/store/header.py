"""The head of an experiment's folder: what was asked for, and every time it was asked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError

from normscope.errors import RunError, UsageError
from normscope.experiment import RESULT_FORMAT, Experiment, Frozen, Recipe, Request
from normscope.files import Broken, read
from normscope.seals import open_text, sha256
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

    @property
    def origin(self) -> str:
        """What tells the experiment from others: when and by what it was first asked for.

        Whatever is asked for later, it stays the same, and copies of the folder have it too.
        """
        return sha256(*(f"{first.date} {first.command}".encode() for first in self.requests[:1]))


@dataclass(frozen=True)
class Kept:
    """The header of a folder, and how it was found.

    `sealed`: whether the folder has seals; those of format 1 have none. `earlier`: the check sum of
    its `earlier.json`, if it has one. `trouble` says why `experiment.json` was not read, but the
    copy of it; "" if it was.
    """

    header: Header
    sealed: bool
    earlier: str | None = None
    trouble: str = ""


def read_header(folder: Path) -> Kept:
    """The header of a folder; if it is lost or damaged, from its copy.

    Raises `UsageError` if the folder holds no experiment, or one in another result format, and
    `RunError` if header and copy are damaged or cannot be read.
    """
    files = ExperimentFolder(folder)
    kept, trouble = _read(files.experiment, folder)
    if kept and kept.sealed:
        return kept
    copy, trouble_of_copy = _read(files.experiment_copy, folder)
    if copy and copy.sealed:
        return Kept(copy.header, True, copy.earlier, trouble or "its seal is gone")
    if kept and trouble_of_copy == GONE:
        return kept  # of format 1
    if trouble == trouble_of_copy == GONE and not files.stored_trials():
        raise UsageError(f"{folder} holds no normscope experiment")
    if trouble == trouble_of_copy == GONE:
        raise RunError(
            f"{folder} holds trials, but its experiment.json, which says what they are and how "
            "verdicts on them are reached, is gone, and so is its copy; restore that file, or "
            "choose another folder with --out"
        )
    raise RunError(
        f"{files.experiment} is damaged ({trouble or trouble_of_copy}), and there is no whole copy "
        "of it; restore it from elsewhere, or choose another folder with --out"
    )


GONE = "it is gone"


def _read(path: Path, folder: Path) -> tuple[Kept | None, str]:
    """What a file holds, or why it does not hold a header."""
    try:
        text, about = open_text(read(path))
        values = json.loads(text)
        found = values.get("result_format")
        if found != RESULT_FORMAT:
            raise UsageError(
                f"{folder} was written in result format {found}, this normscope reads "
                f"{RESULT_FORMAT}; choose another folder with --out"
            )
        header, earlier = Header.model_validate(values), (about or {}).get("earlier")
        return Kept(header, sealed=about is not None, earlier=earlier), ""
    except FileNotFoundError:
        return None, GONE
    except Broken as error:
        return None, str(error)
    except (ValueError, AttributeError, KeyError, ValidationError):
        return None, "it is no header"


def is_repeated(earlier: Request, request: Request) -> bool:
    """Whether a request repeats the one before it, whenever it was made."""
    now = {"date": request.date, "results_before": request.results_before}
    return earlier.model_copy(update=now) == request
