"""One process at a time writes into an experiment's folder."""

from filelock import FileLock, Timeout

from normscope.errors import RunError
from normscope.files import UNFINISHED, discard, disk_errors, is_there, left_over, make_folder
from normscope.store.folder import ExperimentFolder


class FolderLock:
    """A context in which no other process trains into the folder, which it makes.

    Raises `RunError` if another process does, or if the folder cannot be made. What a process that
    was killed while writing left behind is removed, and a trial that it was about to replace is put
    back. Nothing depends on the lock but that no trial is trained twice.
    """

    def __init__(self, files: ExperimentFolder, advice: str):
        self.files, self.advice = files, advice
        self.file = FileLock(files.lock, timeout=0)

    def __enter__(self) -> None:
        with disk_errors(self.files.path, self.advice):
            make_folder(self.files.path)
            try:
                self.file.acquire()
            except Timeout as error:
                raise RunError(
                    f"another normscope is training into {self.files.path}; wait for it"
                ) from error
        try:
            with disk_errors(self.files.path, self.advice):
                self._clear_up()
        except BaseException:
            self.file.release()
            raise

    def _clear_up(self) -> None:
        for path in list(left_over(self.files.path)):
            found = UNFINISHED.fullmatch(path.name)
            assert found is not None  # that is how it was found
            target = path.with_name(found["name"])
            if found["kind"] == "replaced" and not is_there(target):
                path.rename(target)
            else:
                discard(path)

    def __exit__(self, *exception: object) -> None:
        self.file.release()
