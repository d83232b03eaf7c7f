"""Which trials each process has taken, where several train into one folder."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence

from filelock import FileLock, lock_descriptor

from normscope.experiment import Trial
from normscope.files import disk_errors, entries, is_there, make_folder
from normscope.store.folder import ExperimentFolder, ProcessFolder

# Where no file can be locked, nobody is known to live.
UNLOCKABLE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class Claims:
    """The trials that this process has taken, so that others in the same folder take others.

    Within it as a context this process has a folder in ``processes/``, whose lock it holds as long
    as it lives. The trials it has taken are files in it. Whoever finds the folder of a process that
    has ended removes it, with what it had taken. Enter it, `take`, and ask whether it is `alone`
    with the lock of the experiment's folder held. Results do not depend on any of it: where locks
    do nothing, trials are trained twice, and one of the two results is kept.

    Raises `RunError` if the disk takes no such folder.
    """

    def __init__(self, files: ExperimentFolder, advice: str):
        self.files, self.advice = files, advice
        self.own = files.process(f"{os.getpid()}-{secrets.token_hex(4)}")
        self.lock = FileLock(self.own.lock, timeout=0)

    def __enter__(self) -> "Claims":
        with disk_errors(self.own.path, self.advice):
            for gone in [each for each in self._others() if not self._lives(each)]:
                shutil.rmtree(gone.path, ignore_errors=True)  # another may be about to, too
            make_folder(self.own.path)
            self.lock.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.own.path, ignore_errors=True)  # what is left of it is nobody's
        self.lock.release()

    def alone(self) -> bool:
        """Whether no other process trains into the folder."""
        return not any(self._lives(each) for each in self._others())

    def take(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those of some trials that no other process has; they are this one's from now on."""
        free = self.free(trials)
        with disk_errors(self.own.path, self.advice):
            self.own.taken.mkdir(parents=True, exist_ok=True)
            for trial in free:
                self.own.claim(trial.id).touch()
        return free

    def free(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those of some trials that no other process has."""
        others = [each for each in self._others() if self._lives(each)]
        return [t for t in trials if not any(is_there(each.claim(t.id)) for each in others)]

    def leave(self, trials: Iterable[Trial]) -> None:
        """These have ended, or were taken for nothing."""
        with disk_errors(self.own.path, self.advice):
            for trial in trials:
                self.own.claim(trial.id).unlink(missing_ok=True)

    def _others(self) -> Sequence[ProcessFolder]:
        found = [self.files.process(entry.name) for entry in entries(self.files.processes)]
        return [each for each in found if each.path != self.own.path]

    def _lives(self, process: ProcessFolder) -> bool:
        """Whether the process that made a folder still holds its lock."""
        with disk_errors(process.lock, self.advice):
            try:
                file = os.open(process.lock, os.O_RDWR)
            except FileNotFoundError:
                return False
            try:
                return not lock_descriptor(file, blocking=False)
            except OSError as error:
                if error.errno in UNLOCKABLE:
                    return False
                raise
            finally:
                os.close(file)
