"""The files in an archive of any usual kind, read in place.

Nothing is extracted, so no path or link in an archive can lead astray, and no more of a file is
read than was asked for, however far it unpacks. What an archive says of its files, in headers and
in a directory, is limited as well: tarfile and zipfile would take it into memory whole.
"""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from normscope.errors import NormscopeError, RunError

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".zip")
MAX_FILES = 10_000
MAX_UNPACKED_BYTES = 4 << 30  # of all files that are read or passed over; CIFAR has 0.2 billion
MAX_HEADER_BYTES = 1 << 16  # of one file in a tar: its name, its attributes, its holes
MAX_DIRECTORY_BYTES = 1 << 22  # of all files in a zip, with room for `MAX_FILES`

# By its first bytes, whatever it is called; anything else is a tar without compression.
_STARTS = {b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ": ".tar.xz", b"PK\3\4": ".zip"}
_FOREIGN = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar", b"\x28\xb5\x2f\xfd": "Zstandard"}
_UNPACKERS = {".tar.gz": "gzip", ".tar.bz2": "bz2", ".tar.xz": "lzma"}  # not every Python has all


class Damaged(Exception):
    """An archive cannot be read to its end; ``str`` completes "the archive is ..."."""


def suffix_of(archive: Path) -> str:
    """The one of `SUFFIXES` that tells what kind of archive this is, by its content."""
    return _kind(archive, _STARTS) or ".tar"


def contents(archive: Path, limit: Callable[[str], int | None]) -> Iterator[tuple[str, bytes]]:
    """Name and first ``limit(name)`` bytes of each regular file; None passes over it.

    One is in memory at a time. Raises `Damaged`, or `RunError` for an archive of a kind that
    cannot be read in place or that the disk does not give.
    """
    try:
        yield from (_in_zip if suffix_of(archive) == ".zip" else _in_tar)(archive, limit)
    except NormscopeError:
        raise
    except Exception as error:
        # A damaged archive breaks its reader in open-ended ways: zlib.error, struct.error,
        # OSError without a number, LZMAError, which not every Python has, and more.
        raise _failure(archive, error) from error


def _in_tar(archive: Path, limit: Callable[[str], int | None]) -> Iterator[tuple[str, bytes]]:
    kind = suffix_of(archive)
    opened = import_module(_UNPACKERS[kind]).open(archive) if kind in _UNPACKERS else None
    with opened or archive.open("rb") as unpacked:
        stream = _Rationed(unpacked, MAX_HEADER_BYTES)
        with tarfile.open(fileobj=stream, mode="r:") as tar:  # which reads the first header
            for _ in range(MAX_FILES + 1):  # and its end
                member = tar.next()
                if member is None:
                    return
                if tar.offset > MAX_UNPACKED_BYTES:
                    raise _beyond(archive, f"unpacks to more than {MAX_UNPACKED_BYTES >> 30} GB")
                size = limit(member.name)
                if size is not None and member.isreg() and not member.issparse():
                    stream.allow(MAX_UNPACKED_BYTES)
                    content = tar.extractfile(member)
                    assert content is not None  # as it is a regular file
                    yield member.name, content.read(size)
                # tarfile keeps all files with their headers, and what holds for all of them.
                tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
                tar.pax_headers = {}
                stream.allow(MAX_HEADER_BYTES)
    raise _beyond(archive, f"holds more than {MAX_FILES:,} files")


class _Rationed(io.RawIOBase):
    """A stream of which only so many bytes are read until more are allowed; seeking is free.

    Raises `tarfile.ReadError` for a read beyond: of the headers between two files, or of the
    directory of all files.
    """

    def __init__(self, stream: BinaryIO, ration: int):
        self.stream, self.left = stream, ration

    def allow(self, ration: int) -> None:
        """Start to count again, to so many bytes."""
        self.left = ration

    def read(self, size: int = -1) -> bytes:
        most = self.left + 1
        content = self.stream.read(most if size < 0 else min(size, most))
        self.left -= len(content)
        if self.left < 0:
            raise tarfile.ReadError("it says more of its files than can be true")
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def seekable(self) -> bool:
        return True


def _beyond(archive: Path, what: str) -> RunError:
    return RunError(f"{archive} {what}; unpack it and name the folder")


def _in_zip(archive: Path, limit: Callable[[str], int | None]) -> Iterator[tuple[str, bytes]]:
    unpacked_bytes = 0
    with archive.open("rb") as file:
        stream = _Rationed(file, MAX_DIRECTORY_BYTES)
        with zipfile.ZipFile(stream) as members:
            if len(members.infolist()) > MAX_FILES:
                raise _beyond(archive, f"holds more than {MAX_FILES:,} files")
            for member in members.infolist():
                name = member.filename.replace("\\", "/")  # older Windows programs write these
                size = limit(name)
                if size is None or member.is_dir():
                    continue
                if (unpacked_bytes := unpacked_bytes + size) > MAX_UNPACKED_BYTES:
                    raise _beyond(archive, f"unpacks to more than {MAX_UNPACKED_BYTES >> 30} GB")
                stream.allow(MAX_UNPACKED_BYTES)
                try:
                    content = members.open(member)
                except RuntimeError as error:  # a password, or an unusual compression
                    raise RunError(f"{archive}: {error}; unpack it and name the folder") from error
                with content:
                    yield name, content.read(size)


def _failure(archive: Path, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno is not None:
        return RunError(f"cannot read {archive} ({error.strerror})")
    if foreign := _kind(archive, _FOREIGN):
        return RunError(
            f"{archive} is a {foreign} archive, and tar and zip are read; unpack it and name the "
            "folder"
        )
    known = _kind(archive, _STARTS) or _begins_as_tar(archive)
    return Damaged("cut short or altered" if known else "neither a tar nor a zip archive")


def _begins_as_tar(archive: Path) -> bool:
    with archive.open("rb") as stream:
        block = stream.read(tarfile.BLOCKSIZE)
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _kind(archive: Path, starts: dict[bytes, str]) -> str | None:
    with archive.open("rb") as stream:
        start = stream.read(8)
    return next((kind for magic, kind in starts.items() if start.startswith(magic)), None)
