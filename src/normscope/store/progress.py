"""The sign of life of the process that trains into a folder. Nothing else depends on it."""

from pathlib import Path

from pydantic import ValidationError

from normscope.experiment.progress import Progress
from normscope.files import written
from normscope.store.folder import ExperimentFolder


def write_progress(folder: Path, progress: Progress) -> None:
    """Put it in the place of the last one; raises `RunError` if the disk does not take it."""
    with written(ExperimentFolder(folder).progress, "") as partial:
        partial.write_text(progress.model_dump_json(indent=2), encoding="utf-8")


def read_progress(folder: Path) -> Progress | None:
    """What was last said; None if nothing was, or it cannot be read, as while it is replaced."""
    try:
        text = ExperimentFolder(folder).progress.read_text(encoding="utf-8")
        return Progress.model_validate_json(text)
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
