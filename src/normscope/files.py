"""The disk: what users call their files, writing whole ones, and what an error of it says to do."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from normscope.errors import NormscopeError, RunError, UsageError

PARTIAL = ".*.partial"  # what a process that was killed while writing leaves

_ROOM = "make room, or "
_ACCESS = "normscope needs a folder it can write to: "
_LOCKS = "its file system cannot lock files, so normscope needs a local folder: "

# What an error asks for, before the advice of whoever writes. Any other only leaves that advice.
REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: _ACCESS,
    errno.ENOLCK: _LOCKS,
    errno.ENOSYS: _LOCKS,
}


def user_path(path: Path | str) -> Path:
    """What a user means by `path`: a leading ``~`` is the home folder, as in a shell.

    Raises `UsageError` if the home folder is unknown, or a name is longer than the disk allows.
    """
    try:
        meant = Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"the home folder in {path} is unknown; set HOME, or write the whole path"
        ) from error
    try:
        meant.lstat()
    except OSError as error:  # any other, such as that nothing is there, is not for here to judge
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{path}: {error.strerror}; choose a shorter name") from error
    return meant


@contextmanager
def written(path: Path, advice: str) -> Iterator[Path]:
    """Give another name to write a file or folder under, then put it in the place of `path`.

    It is on the disk before it gets its name. Raises what `disk_errors` raises.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with disk_errors(path, advice):
        try:
            yield partial
            for file in partial.iterdir() if partial.is_dir() else [partial]:
                _flush(file)
            partial.replace(path)
        finally:
            discard(partial)


def discard(partial: Path) -> None:
    """Remove a file or folder, if it is there."""
    if partial.is_dir():
        shutil.rmtree(partial)
    else:
        partial.unlink(missing_ok=True)


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


@contextmanager
def disk_errors(path: Path, advice: str) -> Iterator[None]:
    """Turn an `OSError` into one line that names `path` and says what to do, `advice` at the end.

    `advice` is what helps against any of them, such as "choose another folder with --out". The
    line is a `RunError`, but a `UsageError` for a name that is too long.
    """
    try:
        yield
    except NotImplementedError as error:  # of older filelocks, where no file can be locked
        no_locks = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        raise _cannot_write(path, no_locks, advice) from error
    except OSError as error:
        raise _cannot_write(path, error, advice) from error


def _cannot_write(path: Path, error: OSError, advice: str) -> NormscopeError:
    what = f"cannot write {path} ({error.strerror or error})"
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(f"{what}; choose a shorter name")
    return RunError(f"{what}; {_remedy(path, error)}{advice}")


def _remedy(path: Path, error: OSError) -> str:
    if error.errno in REMEDIES:
        return REMEDIES[error.errno]
    dangling = [p for p in (path, *path.parents) if p.is_symlink() and not os.path.exists(p)]
    return f"{dangling[0]} is a link that points nowhere: remove it, or " if dangling else ""
