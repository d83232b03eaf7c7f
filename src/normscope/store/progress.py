"""The signs of life of the processes that train into a folder. Nothing else depends on them."""

from pathlib import Path

from pydantic import ValidationError

from normscope.errors import RunError
from normscope.experiment.progress import Progress
from normscope.files import Broken, entries, read, written
from normscope.store.folder import ExperimentFolder, ProcessFolder


def write_progress(process: ProcessFolder, progress: Progress) -> None:
    """Put it in the place of the last one; raises `RunError` if the disk does not take it."""
    with written(process.progress, "") as partial:
        partial.write_text(progress.model_dump_json(indent=2), encoding="utf-8")


def read_progress(folder: Path) -> list[Progress]:
    """What each process said last; nothing of those whose word cannot be read."""
    files, found = ExperimentFolder(folder), []
    for entry in entries(files.processes):
        try:
            text = read(files.process(entry.name).progress)
            found.append(Progress.model_validate_json(text))
        except (FileNotFoundError, Broken, RunError, ValidationError):
            continue
    return found
