"""All images of a listing, decoded by all cores into one file: never all of them in memory."""

import logging
import os
import statistics
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from normscope.data.download import ADVICE, Progress
from normscope.data.own import looks
from normscope.data.own.listing import Listing
from normscope.data.own.problems import Findings
from normscope.data.own.reading import Blob, Picture, Unusable, measure, read
from normscope.errors import UsageError
from normscope.files import disk_errors

SMALL, LARGE = 32, 64  # the sides that images get if nobody says which
MAX_SIDE = 1024
MEASURED_AT_ONCE = 256
BYTES_AT_ONCE = 4 << 20  # of decoded pixels that one thread works on
BLANK_SD, BLACK = 2.0, 8  # of 255: the spread of one colour, and what is nearly black

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Decoded:
    """The images of a listing, each a row: those that could not be read are no rows of `usable`.

    `usable`, `blank`: bool (N,). `sources`, `digests`: uint8 (N, 16), of the files' content and of
    the pixels as read. `hashes`: uint64 (N,) and `shapes`: float16 (N, K), see `looks`. `file` has
    the pixels of all, uint8 (N, side, side, 3), zero where there is no image.
    """

    side: int
    usable: np.ndarray
    blank: np.ndarray
    sources: np.ndarray
    digests: np.ndarray
    hashes: np.ndarray
    shapes: np.ndarray
    file: BinaryIO

    def pixels(self, rows: Sequence[int]) -> np.ndarray:
        """The pixels of some rows, uint8 (n, side, side, 3)."""
        size = self.side**2 * 3
        pixels = np.empty((len(rows), size), np.uint8)
        for place, row in enumerate(rows):
            self.file.seek(row * size)
            self.file.readinto(pixels[place].data)  # type: ignore[attr-defined]
        return pixels.reshape(-1, self.side, self.side, 3)


def choose_side(listing: Listing, image_size: int | None) -> int:
    """The side that all images get, in pixels; a sentence among the findings says why.

    Raises `UsageError` for an `image_size` that is no such side.
    """
    say = listing.findings.sentences.append
    if image_size is not None:
        if not 8 <= image_size <= MAX_SIDE:
            raise UsageError(f"--image-size is {image_size}; it is from 8 to {MAX_SIDE}")
        say(f"Images are read as {image_size}x{image_size} pixels, as asked for.")
        return image_size
    sizes = {listing.side} if listing.side else set(_sizes(listing))
    if len(sizes) == 1:
        ((width, height),) = sizes
        if width == height <= LARGE and width >= 8:
            say(f"All images have {width}x{height} pixels and keep them.")
            return width
    shorter = [min(size) for size in ([listing.side] if listing.side else _sizes(listing))]
    if not shorter:
        return SMALL
    median = statistics.median(shorter)
    side = LARGE if median >= LARGE else SMALL
    long = f"{min(shorter):,} to {max(shorter):,} pixels long, {median:,.0f} in the median"
    if min(shorter) == max(shorter):
        long = f"{median:,.0f} pixels long"
    say(
        f"Images are read as {side}x{side} pixels: the shorter side is {long} "
        "(another: --image-size)."
    )
    return side


def _sizes(listing: Listing) -> Iterator[tuple[int, int]]:
    def measured(blobs: Sequence[Blob]) -> list[tuple[int, int] | None]:
        return [measure(blob) for blob in blobs]

    with _quiet_pillow():
        for sizes in _in_threads(measured, listing.blobs(MEASURED_AT_ONCE)):
            yield from (size for size in sizes if size is not None)


@contextmanager
def decoded(
    listing: Listing, side: int, scratch: Path, progress: Progress | None
) -> Iterator[Decoded]:
    """Read all images of a listing, and tell its findings of those that cannot be used.

    The pixels lie in a file without a name in the folder `scratch`, which is gone afterwards.
    Raises `RunError` if there is no room for it.
    """
    with disk_errors(scratch, ADVICE):
        scratch.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed below
    with file:
        with disk_errors(scratch, ADVICE):  # of the images, `read` catches its own
            marks = list(_filled(file, listing, side, progress))
            file.flush()
        columns = [np.concatenate(column) for column in zip(*marks, strict=True)]
        yield Decoded(side, *columns, file=file)


def _filled(
    file: BinaryIO, listing: Listing, side: int, progress: Progress | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Write the pixels of all images to `file`; gives the columns of `Decoded`, piece by piece."""
    yield _read_chunk([], side).marks
    count, done = max(1, min(64, BYTES_AT_ONCE // (3 * side**2))), 0

    def read_chunk(blobs: Sequence[Blob]) -> "_Chunk":
        return _read_chunk(blobs, side)

    with _quiet_pillow():
        for chunk in _in_threads(read_chunk, listing.blobs(count)):
            file.write(chunk.pixels.data)
            paths = listing.paths[done : done + len(chunk.outcomes)]
            _tell(listing.findings, paths, chunk.outcomes)
            yield chunk.marks
            done += len(chunk.outcomes)
            if progress is not None:
                progress(done, len(listing.paths))


@dataclass(frozen=True)
class _Chunk:
    """A few images: what became of each, their pixels, and the columns of `Decoded`."""

    outcomes: list[Picture | Unusable]
    pixels: np.ndarray
    marks: tuple[np.ndarray, ...]


def _read_chunk(blobs: Sequence[Blob], side: int) -> _Chunk:
    outcomes = [_outcome(blob, side) for blob in blobs]
    pixels = np.zeros((len(blobs), side, side, 3), np.uint8)
    sources = np.zeros((len(blobs), 16), np.uint8)
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, Picture):
            pixels[row] = outcome.pixels
            sources[row] = np.frombuffer(outcome.digest, np.uint8)
    usable = np.array([isinstance(outcome, Picture) for outcome in outcomes], bool)
    digests = [blake2b(image.data, digest_size=16).digest() for image in pixels]
    marks = (
        usable,
        usable & _blank(pixels),
        sources,
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16),
        *looks.looks_of(pixels),
    )
    return _Chunk(outcomes, pixels, marks)


def _outcome(blob: Blob, side: int) -> Picture | Unusable:
    try:
        return read(blob, side)
    except Unusable as problem:
        return problem


def _blank(pixels: np.ndarray) -> np.ndarray:
    """Which images are of one colour, or have 99 of 100 values at `BLACK` or below: bool (N,)."""
    flat = pixels.reshape(len(pixels), pixels.shape[1] ** 2, 3)
    one_colour = flat.std(axis=1, dtype=np.float32).max(axis=1) < BLANK_SD
    return one_colour | ((flat <= BLACK).mean(axis=(1, 2)) >= 0.99)


def _tell(findings: Findings, paths: Sequence[str], outcomes: Sequence[Picture | Unusable]) -> None:
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, Unusable):
            findings.add(outcome.kind, path, outcome.detail)
            continue
        findings.done.update(outcome.done)
        if outcome.named:
            findings.add("wrong_name", path, f"it is {outcome.named}")


def _in_threads(work: Callable[[Task], Outcome], tasks: Iterable[Task]) -> Iterator[Outcome]:
    """``map(work, tasks)`` in as many threads as there are cores, a few tasks ahead and no more."""
    threads = os.cpu_count() or 1
    waiting: deque = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Pillow warns of odd files; what matters of them is found out and told by us."""
    logger = logging.getLogger("PIL")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)
