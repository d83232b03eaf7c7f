"""Writing files: a reader sees all of one or nothing, and a full disk is told in one line."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from normscope.errors import RunError

PARTIAL = ".*.partial"  # what a process that was killed while writing leaves


@contextmanager
def written(path: Path, advice: str) -> Iterator[Path]:
    """Give another name to write a file or folder under, then put it in the place of `path`.

    It is on the disk before it gets its name. Raises `RunError` as `disk_errors` does.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with disk_errors(path, advice):
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
    """Turn an `OSError` into a `RunError` that names `path` and says what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {path} ({error.strerror}); {advice}") from error
