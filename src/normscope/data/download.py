"""A file from the network into the user cache: resumable, verified, one process at a time."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import URLError
from urllib.parse import urlsplit

import platformdirs
from filelock import AcquireReturnProxy, FileLock, Timeout

from normscope.data.server import Useless, open_url
from normscope.errors import RunError, UsageError
from normscope.files import disk_errors
from normscope.words import visible

Progress = Callable[[int, int], None]  # downloaded bytes, total bytes
Notice = Callable[[str], None]

TIMEOUT_S = 30.0  # without a byte from the server, or with hardly any: see `server`
ATTEMPTS = 50  # per source; each one resumes where the last was cut, and must bring something
LOOK_S = 1.0  # between two looks at how far another process is
CHUNK_BYTES = 1 << 18
ADVICE = "set XDG_CACHE_HOME to another folder"


@dataclass(frozen=True)
class RemoteFile:
    """A file by what it must be, and the addresses that serve it, best first."""

    name: str
    size: int
    sha256: str
    sources: tuple[str, ...]


def cache_dir() -> Path:
    """Where data sets are kept for this user, whatever the project they are used in.

    Raises `UsageError` if this user has no home folder.
    """
    folder = cache_dir_if_known()
    if folder is None:
        raise UsageError(
            "this user has no home folder to keep data sets in; set XDG_CACHE_HOME to a folder "
            "for them, or NORMSCOPE_DATA to the one that has them"
        )
    return folder


def cache_dir_if_known() -> Path | None:
    """`cache_dir`, or None for a user without a home folder."""
    try:  # platformdirs raises there, and older ones return the path with its ~
        return Path(platformdirs.user_cache_dir("normscope")).expanduser() / "data"
    except RuntimeError:
        return None


def download(
    remote: RemoteFile,
    folder: Path,
    progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
    notice: Notice | None = None,
) -> Path:
    """Bring `remote` into `folder` from the first source that serves it intact.

    What a cut connection leaves stays as ``NAME.part`` and is continued, by the same call or a
    later one. Another process that is at it already is waited for, and `notice` told so. Raises
    `RunError` with one short reason per source if all of them fail, or that says what `folder`
    lacks, and `UsageError` for a source that is not http or https.
    """
    for url in remote.sources:
        if not _is_web_address(url):
            raise UsageError(f"source {url!r} is not an http or https address")
    target, part = folder / remote.name, folder / f"{remote.name}.part"
    with disk_errors(folder, ADVICE):
        if _intact(remote, target):  # also where nothing can be written
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(remote, part, progress, notice):
            if not _intact(remote, target):
                _from_any_source(remote, part, progress, timeout_s)
                os.replace(part, target)
    return target


def _locked(
    remote: RemoteFile, part: Path, progress: Progress | None, notice: Notice | None
) -> AcquireReturnProxy:
    """The lock on a download; while another process has it, `progress` is that of the other."""
    lock = FileLock(part.with_name(f"{remote.name}.lock"))
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        if notice is not None:
            notice(f"another process downloads {remote.name} into {part.parent}: waiting for it")
    while True:
        try:
            return lock.acquire(timeout=LOOK_S)
        except Timeout:
            if progress is not None:
                progress(_size(part), remote.size)


def _is_web_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:  # such as http://[bad/file
        return False


def _from_any_source(
    remote: RemoteFile, part: Path, progress: Progress | None, timeout_s: float
) -> None:
    reasons = []
    for url in remote.sources:
        reason = _from_source(remote, url, part, progress, timeout_s)
        if reason is None:
            return
        reasons.append(f"{urlsplit(url).netloc}: {reason}")
    raise RunError("; ".join(reasons))


def _from_source(
    remote: RemoteFile, url: str, part: Path, progress: Progress | None, timeout_s: float
) -> str | None:
    """Complete `part` from one source: None once it is intact, else why it is not."""
    reason = "it cuts the connection"
    for _ in range(ATTEMPTS):
        start = _size(part)
        try:
            _append_missing(remote, url, part, progress, timeout_s)
        except Useless as error:
            return str(error)
        except _Cut as cut:
            reason = _short(cut.__cause__)
        except (OSError, HTTPException) as error:
            reason = _short(error)
        if _size(part) == start < remote.size:
            return reason
        if _size(part) < remote.size:
            continue
        if _intact(remote, part):
            return None
        part.unlink()
        if start == 0:  # every byte came from this source: another try would bring the same
            return "it serves other bytes than the official ones"
    return reason


def _append_missing(
    remote: RemoteFile, url: str, part: Path, progress: Progress | None, timeout_s: float
) -> None:
    """Ask for the bytes that `part` lacks and append them as they come.

    Raises `Useless` if the source answers with something else, or hardly at all.
    """
    size = _size(part)
    if size >= remote.size:
        return
    headers = {"User-Agent": "normscope"} | ({"Range": f"bytes={size}-"} if size else {})
    response = open_url(url, headers, timeout_s)
    with response:
        if response.headers.get_content_type() == "text/html":
            raise Useless("it answers with a web page")
        resumes = response.status == HTTPStatus.PARTIAL_CONTENT
        size = size if resumes else 0
        with disk_errors(part, ADVICE), part.open("ab" if resumes else "wb") as stream:
            while size <= remote.size and (chunk := _next_chunk(response)):
                size += stream.write(chunk)
                if progress is not None:
                    progress(size, remote.size)


class _Cut(Exception):
    """The connection broke; the cause says how."""


def _next_chunk(response: HTTPResponse) -> bytes:
    """What has arrived, so that a cut loses nothing of it; b"" at the end."""
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, HTTPException) as error:
        raise _Cut from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _intact(remote: RemoteFile, path: Path) -> bool:
    if not path.is_file() or _size(path) != remote.size:
        return False
    with path.open("rb") as stream:
        return _sha256(stream) == remote.sha256


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _short(error: BaseException | None) -> str:
    """The cause alone, in which nothing acts that a server wrote into it.

    urllib wraps it as ``<urlopen error ...>``.
    """
    return visible(str(error.reason if type(error) is URLError else error))
