"""The files in an archive of any usual kind, read in place.

Nothing is extracted, so no path or link in an archive can lead astray, and no more of a file is
read than was asked for, however far it unpacks.
"""

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from normscope.errors import NormscopeError, RunError

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".zip")
MAX_HEADER_BYTES = 1 << 20  # of a long name or the like, which tarfile reads whole

# By its first bytes, whatever it is called; anything else is a tar without compression.
_STARTS = {b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ": ".tar.xz", b"PK\3\4": ".zip"}
_FOREIGN = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar", b"\x28\xb5\x2f\xfd": "Zstandard"}


_READ_WHOLE = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


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
    with tarfile.open(archive, "r:*", tarinfo=_Header) as tar:
        for member in tar:
            size = limit(member.name)
            if size is None or not member.isreg():
                continue
            if stream := tar.extractfile(member):
                yield member.name, stream.read(size)


class _Header(tarfile.TarInfo):
    """Refuses a name so long that it would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in _READ_WHOLE and header.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


def _in_zip(archive: Path, limit: Callable[[str], int | None]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            name = member.filename.replace("\\", "/")  # older Windows programs write these
            size = limit(name)
            if size is not None and not member.is_dir():
                try:
                    stream = members.open(member)
                except RuntimeError as error:  # a password, or an unusual compression
                    raise RunError(f"{archive}: {error}; unpack it and name the folder") from error
                with stream:
                    yield name, stream.read(size)


def _failure(archive: Path, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno is not None:
        return RunError(f"cannot read {archive} ({error.strerror})")
    if foreign := _kind(archive, _FOREIGN):
        return RunError(
            f"{archive} is a {foreign} archive, and tar and zip are read; unpack it and name the "
            "folder"
        )
    known = _kind(archive, _STARTS) or tarfile.is_tarfile(archive)
    return Damaged("cut short or altered" if known else "neither a tar nor a zip archive")


def _kind(archive: Path, starts: dict[bytes, str]) -> str | None:
    with archive.open("rb") as stream:
        start = stream.read(8)
    return next((kind for magic, kind in starts.items() if start.startswith(magic)), None)
