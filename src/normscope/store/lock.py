"""One process at a time writes into an experiment's folder."""

from filelock import FileLock, Timeout

from normscope.errors import RunError
from normscope.files import discard, disk_errors
from normscope.store.folder import ExperimentFolder


class FolderLock:
    """A context in which no other process trains into the folder, which it makes.

    Raises `RunError` if another process does, or if the folder cannot be made. What a process that
    was killed while writing left behind is removed.
    """

    def __init__(self, files: ExperimentFolder, advice: str):
        self.files, self.advice = files, advice
        self.file = FileLock(files.lock, timeout=0)

    def __enter__(self) -> None:
        with disk_errors(self.files.path, self.advice):
            self.files.path.mkdir(parents=True, exist_ok=True)
            try:
                self.file.acquire()
            except Timeout as error:
                raise RunError(
                    f"another normscope is training into {self.files.path}; wait for it"
                ) from error
        for partial in self.files.partial_trials():
            discard(partial)

    def __exit__(self, *exception: object) -> None:
        self.file.release()
