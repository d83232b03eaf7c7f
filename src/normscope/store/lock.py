"""The locks of an experiment's folder: for what its processes share, and for its report."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from normscope.errors import RunError
from normscope.files import UNFINISHED, discard, disk_errors, is_there, make_folder
from normscope.store.folder import ExperimentFolder

WAIT_S = 600.0  # for a lock that is held for moments, but while a large folder is opened


class FolderLock:
    """A context in which no other process has the same lock; it makes the folder.

    Another that has it is waited for: `wait_s` seconds, or for ever if that is None, after
    `waiting` was called. Within it the process may take the lock again. Raises `RunError` if it
    does not come, or if the folder cannot be made. Nothing depends on the lock but that no work is
    done twice.
    """

    def __init__(
        self,
        path: Path,
        advice: str,
        wait_s: float | None = WAIT_S,
        waiting: Callable[[], None] = lambda: None,
    ):
        self.path, self.advice = path, advice
        self.wait_s, self.waiting = wait_s, waiting
        self.file = FileLock(path, is_singleton=True)

    def __enter__(self) -> None:
        folder = self.path.parent
        with disk_errors(folder, self.advice):
            make_folder(folder)
            try:
                self.file.acquire(timeout=0)
                return
            except Timeout:
                self.waiting()
            try:
                self.file.acquire(timeout=-1 if self.wait_s is None else self.wait_s)
            except Timeout as error:
                raise RunError(
                    f"another normscope has been writing into {folder} for {self.wait_s:.0f} s; "
                    "run the same command again when it has ended"
                ) from error

    def __exit__(self, *exception: object) -> None:
        self.file.release()


def clear_up(files: ExperimentFolder, advice: str) -> None:
    """Remove what a process that was killed while writing left behind.

    A trial that it was about to replace is put back.
    """
    with disk_errors(files.path, advice):
        for path in list(files.left_over()):
            found = UNFINISHED.fullmatch(path.name)
            assert found is not None  # that is how it was found
            target = path.with_name(found["name"])
            if found["kind"] == "replaced" and not is_there(target):
                path.rename(target)
            else:
                discard(path)
