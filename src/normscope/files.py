"""The disk: what users call their files, whole ones read and written, what its errors ask for."""

import errno
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from normscope.errors import NormscopeError, RunError, UsageError

# What a process leaves that is killed while it writes a file or folder, or puts it in the place of
# another: its name, and the process, with a mark of the machine it runs on.
UNFINISHED = re.compile(
    r"\.(?P<name>.+)\.(?P<process>[1-9]\d{0,8})(@(?P<machine>[0-9a-f]{8}))?\."
    r"(?P<kind>partial|replaced)"
)
MACHINE = f"{crc32(platform.node().encode()):08x}"
ABANDONED_S = 86_400  # what another machine has not finished for so long, it will not

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


# -- reading ---------------------------------------------------------------------------------------

_WHOLE = "it may be whole: "

# What an error of reading asks for.
READING = {
    errno.EACCES: f"{_WHOLE}normscope needs the right to read it",
    errno.EPERM: f"{_WHOLE}normscope needs the right to read it",
    errno.EIO: f"{_WHOLE}look after the disk, then run the same command again",
    errno.ESTALE: f"{_WHOLE}mount its network file system again, then run the same command again",
}


class Broken(ValueError):
    """What lies on the disk is not what was written there; the message is the reason, in words."""


class Unreadable(RunError):
    """The disk does not give a file, which may be whole; `reason` and `advice` are in words."""

    def __init__(self, path: Path, reason: str, advice: str):
        super().__init__(f"cannot read {path} ({reason}); {advice}")
        self.reason, self.advice = reason, advice


class Damaged(RunError):
    """A file is `Broken` for the `reason`, or missing, and then the reason is ""."""

    def __init__(self, path: Path, what: str, reason: str, advice: str):
        super().__init__(f"{path} {what}; {advice}")
        self.reason = reason


def read(path: Path) -> bytes:
    """All of a file.

    Raises `FileNotFoundError` if nothing is there, `Broken` if it is no file of its own, which then
    is not opened, and `Unreadable` if the disk does not give it.
    """
    with reading_errors(path), _opened(path) as file:
        return file.read()


def read_in_parts(path: Path, size: int = 2**20) -> Iterator[bytes]:
    """The same, so many bytes at a time."""
    with reading_errors(path), _opened(path) as file:
        while part := file.read(size):
            yield part


def _opened(path: Path) -> BinaryIO:
    """A regular file, open for reading: no link is followed, and no pipe or device is opened."""
    _check_regular(os.lstat(path).st_mode)
    flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")]
    file = os.fdopen(os.open(path, os.O_RDONLY | sum(flags)), "rb")
    try:
        _check_regular(os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


KINDS = {stat.S_IFREG: "a file", stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder",
         stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}  # fmt: skip


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise Broken(f"it is {_kind(mode)} and no file")


def _kind(mode: int) -> str:
    return KINDS.get(stat.S_IFMT(mode), "a device")


def is_there(path: Path) -> bool:
    """Whether anything has that name; raises `Unreadable` where that cannot be told."""
    try:
        with reading_errors(path):
            os.lstat(path)
    except (FileNotFoundError, Broken):
        return False
    return True


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; nothing if it is not there.

    Raises `Broken` if it is a link or no folder, `Unreadable` if the disk does not give it.
    """
    try:
        with reading_errors(folder):
            _check_is_folder(os.lstat(folder).st_mode)
            with os.scandir(folder) as found:
                return sorted(found, key=attrgetter("name"))
    except FileNotFoundError:
        return []


def check_folder(folder: Path) -> None:
    """Raise `Broken` if anything but a folder of its own has that name."""
    if is_there(folder):
        _check_is_folder(os.lstat(folder).st_mode)


def _check_is_folder(mode: int) -> None:
    if not stat.S_ISDIR(mode):
        raise Broken(f"it is {_kind(mode)} and no folder")


@contextmanager
def damage_named(path: Path, advice: str) -> Iterator[None]:
    """Turn `Broken` into a line that names the file and says what to do: `Damaged`; if lost too."""
    try:
        yield
    except Broken as error:
        raise Damaged(path, f"is damaged ({error})", str(error), advice) from error
    except FileNotFoundError as error:
        raise Damaged(path, "is missing", "", advice) from error


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` into one line that names `path`: what cannot be read is not damaged.

    The line is `Unreadable`. A `FileNotFoundError` stays one, and a way through what is no folder,
    or through links without end, is `Broken`.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise Broken(f"its path leads nowhere ({error.strerror})") from error
        usual = f"{_WHOLE}run the same command again once it can be read"
        remedy = READING.get(error.errno or 0, usual)
        raise Unreadable(path, error.strerror or str(error), remedy) from error


# -- writing ---------------------------------------------------------------------------------------


def put(path: Path, content: bytes) -> None:
    """Write a file; `written` puts it on the disk."""
    with open(path, "wb") as file:
        file.write(content)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing, and put their names on the disk."""
    missing = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
    for each in reversed(missing):
        flush_folder(each.parent)


@contextmanager
def written(
    path: Path, advice: str, place: Callable[[Path, Path], object] = Path.replace
) -> Iterator[Path]:
    """Give another name to write a file or folder under, then put it in the place of `path`.

    It is on the disk before it gets its name, and so is its name when this ends. `place` takes the
    two names. Raises what `disk_errors` raises.
    """
    partial = unfinished_name(path, "partial")
    with disk_errors(path, advice):
        try:
            yield partial
            _flush(partial)
            place(partial, path)
            flush_folder(path.parent)
        finally:
            discard(partial)


def unfinished_name(path: Path, kind: str) -> Path:
    """A name beside `path` which tells that this process is about to give it or to take it away."""
    return path.with_name(f".{path.name}.{os.getpid()}@{MACHINE}.{kind}")


def discard(partial: Path) -> None:
    """Remove a file or folder, if it is there."""
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial)
    else:
        partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Put a file, or a folder and all in it, on the disk."""
    if path.is_dir():
        for each in path.iterdir():
            _flush(each)
        flush_folder(path)
        return
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def flush_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where that takes more than putting the files there."""
    if os.name == "nt":  # it opens no folders, and keeps their names in a journal
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def left_over(folder: Path, inside: Collection[str]) -> Iterator[Path]:
    """What processes that are gone left unfinished in a folder, and in those named inside of it."""
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            found = UNFINISHED.fullmatch(name)
            if found and _is_abandoned(Path(place, name), found):
                yield Path(place, name)
        whole = [each for each in folders if not UNFINISHED.fullmatch(each)]
        folders[:] = [each for each in whole if Path(place) != folder or each in inside]


def _is_abandoned(path: Path, found: re.Match[str]) -> bool:
    """Whether the process that made an unfinished file or folder is gone."""
    if found["machine"] in (None, MACHINE):
        return not _is_running(int(found["process"]))
    try:
        return time.time() - path.lstat().st_mtime > ABANDONED_S
    except FileNotFoundError:  # it is finished by now
        return False


def _is_running(process: int) -> bool:
    """Whether a process other than this one runs on this machine; on Windows nobody is asked."""
    if os.name == "nt" or process == os.getpid():  # a number is given again, in a container soon
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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
