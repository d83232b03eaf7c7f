"""Images as they were read, kept in the user's cache: written whole, checked, and found again.

    images/KEY/train_images.npy, train_labels.npy, test_images.npy, test_labels.npy
    images/KEY/facts.txt           class names, mean and deviation, size and SHA-256 of each file
    images/index/NAME.txt          what a folder of the user's was found to be, and when it was so

The text files are JSON below a line with its SHA-256.
A folder is named by its content, so two processes that write the same one write the same bytes.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from normscope.data.dataset import Dataset
from normscope.data.download import ADVICE, cache_dir
from normscope.data.own.decoding import Decoded
from normscope.data.own.folders import is_litter
from normscope.data.own.problems import Findings
from normscope.data.own.splitting import Chosen
from normscope.errors import RunError
from normscope.files import disk_errors, written

READING = 1  # the version of all that turns files into pixels, labels and splits; part of each key
FACTS = "facts.txt"
BYTES_AT_ONCE = 1 << 22
MAPPED_FROM_BYTES = 1 << 30  # smaller arrays are read into memory


@dataclass(frozen=True)
class Request:
    """What was asked for: a folder or file without links in it, and how it is to be read."""

    place: Path
    image_size: int | None
    skip_bad: bool

    @property
    def index(self) -> Path:
        """The file that tells what was found the last time."""
        asked = json.dumps([os.fspath(self.place), self.image_size, self.skip_bad])
        return images_dir() / "index" / f"{_sha256(asked.encode())[:16]}.txt"


@dataclass(frozen=True)
class Kept:
    """Images in the cache: their key, and what `FACTS` says of them."""

    key: str
    class_names: tuple[str, ...]
    side: int
    train_size: int
    test_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def dataset(self, name: str, description: str, train_size: int, test_size: int) -> Dataset:
        """The first images of each split; memory maps from `MAPPED_FROM_BYTES` on.

        Raises `RunError` if they are no longer there.
        """
        arrays = {}
        for split, count in (("train", train_size), ("test", test_size)):
            for part in ("images", "labels"):
                arrays[f"{split}_{part}"] = _opened(_folder(self.key), f"{split}_{part}", count)
        return Dataset(
            name=name,
            **arrays,
            class_names=self.class_names,
            mean=self.mean,
            std=self.std,
            synthetic=False,
            description=description,
        )


def images_dir() -> Path:
    """Where images are kept for this user. Raises `UsageError` without a home folder."""
    return cache_dir() / "images"


def _folder(key: str) -> Path:
    return images_dir() / key


def _opened(folder: Path, name: str, count: int) -> np.ndarray:
    try:
        mapped = np.load(folder / f"{name}.npy", mmap_mode="c")[:count]
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder} was damaged or removed; run the same again to remake it"
        ) from error
    return np.array(mapped) if mapped.nbytes < MAPPED_FROM_BYTES else mapped


# -- what a folder of the user's was found to be ---------------------------------------------------


def stamp(place: Path) -> str:
    """A check sum of the names, sizes and times of all files at `place`, hidden ones left out.

    It takes a new value when a file is added, removed, renamed or written to. Of a CSV file it is
    that of the folder around it.
    """
    root = place.parent if place.is_file() and place.suffix.lower() != ".npz" else place
    paths = [str(root)] if root.is_file() else _files_below(root)
    rows = [(path[len(str(root)) :], *_size_and_times(path)) for path in paths]
    return _sha256(repr(sorted(rows)).encode("utf-8", "surrogatepass"))


def _files_below(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(str(root)):
        folders[:] = [name for name in folders if not is_litter(name)]
        names = (name for name in (*folders, *files) if not is_litter(name))
        yield from (os.path.join(folder, name) for name in names)


def _size_and_times(path: str) -> tuple[int, int, int]:
    try:
        facts = os.stat(path)
    except OSError:  # a link that points nowhere
        facts = os.lstat(path)
    size = 0 if stat.S_ISDIR(facts.st_mode) else facts.st_size
    return size, facts.st_mtime_ns, facts.st_ctime_ns


def recall(request: Request, now: str) -> tuple[Kept, Findings] | None:
    """What the same request found before, if nothing has changed and the images are still whole."""
    known = _checked(request.index)
    if known is None or known["stamp"] != now or known["reading"] != READING:
        return None
    kept = whole(known["key"])
    return (kept, Findings.from_dict(known["findings"])) if kept else None


def remember(request: Request, now: str, kept: Kept, findings: Findings) -> None:
    """Keep what a request found, for the next time."""
    values = {
        "reading": READING,
        "stamp": now,
        "key": kept.key,
        "findings": findings.as_dict(),
    }
    _write_checked(request.index, values)


# -- the images ------------------------------------------------------------------------------------


def whole(key: str) -> Kept | None:
    """The images of that key, or None if they are not all there, byte for byte."""
    facts = _checked(_folder(key) / FACTS)
    if facts is None:
        return None
    for name, (size, checksum) in facts["files"].items():
        file = _folder(key) / name
        if not file.is_file() or file.stat().st_size != size or _checksum(file) != checksum:
            return None
    return Kept(
        key,
        tuple(facts["class_names"]),
        facts["side"],
        facts["train_size"],
        facts["test_size"],
        tuple(facts["mean"]),
        tuple(facts["std"]),
    )


def key_of(chosen: Chosen, decoded: Decoded) -> str:
    """16 hex digits of all that can change a trial: pixels, labels, class names, splits, order."""
    digest = hashlib.sha256()
    digest.update(json.dumps([READING, decoded.side, chosen.class_names]).encode())
    for rows, labels in (
        (chosen.train_rows, chosen.train_labels),
        (chosen.test_rows, chosen.test_labels),
    ):
        digest.update(json.dumps(len(rows)).encode())
        digest.update(labels.astype("<i8").tobytes())
        digest.update(decoded.digests[rows].tobytes())
    return digest.hexdigest()[:16]


def keep(chosen: Chosen, decoded: Decoded) -> Kept:
    """Put the chosen images into the cache, unless they are there.

    Raises `RunError` if there is no room.
    """
    key = key_of(chosen, decoded)
    if kept := whole(key):
        return kept
    folder = _folder(key)
    with disk_errors(folder, ADVICE):
        folder.mkdir(parents=True, exist_ok=True)
    moments = _Moments()
    files = {
        "train_images.npy": _write_images(folder, "train", chosen.train_rows, decoded, moments),
        "test_images.npy": _write_images(folder, "test", chosen.test_rows, decoded, _Moments()),
        "train_labels.npy": _write_labels(folder, "train", chosen.train_labels),
        "test_labels.npy": _write_labels(folder, "test", chosen.test_labels),
    }
    facts = {
        "class_names": chosen.class_names,
        "side": decoded.side,
        "train_size": len(chosen.train_rows),
        "test_size": len(chosen.test_rows),
        "mean": moments.mean(),
        "std": moments.std(),
        "files": files,
    }
    _write_checked(folder / FACTS, facts)
    kept = whole(key)
    if kept is None:
        raise RunError(
            f"{folder} does not hold what was written to it; check the disk, or {ADVICE}"
        )
    return kept


class _Moments:
    """Sums of pixels per channel, in whole numbers: their order makes no difference."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = np.zeros(3, np.int64)
        self.squares = np.zeros(3, np.int64)

    def add(self, pixels: np.ndarray) -> None:
        values = pixels.reshape(-1, 3)
        self.count += len(values)
        for channel in range(3):
            counts = np.bincount(values[:, channel], minlength=256)
            self.sums[channel] += counts @ np.arange(256)
            self.squares[channel] += counts @ np.arange(256) ** 2

    def mean(self) -> list[float]:
        """Of pixels in [0, 1], with four digits."""
        return [round(float(mean) / 255, 4) for mean in self.sums / self.count]

    def std(self) -> list[float]:
        """Likewise; a channel that never changes gets 1, because it is divided by this."""
        variance = self.squares / self.count - (self.sums / self.count) ** 2
        return [round(float(sd) / 255, 4) or 1.0 for sd in np.sqrt(np.maximum(variance, 0))]


def _write_images(
    folder: Path, split: str, rows: Sequence[int], decoded: Decoded, moments: _Moments
) -> tuple[int, str]:
    """Write the images of a split; size and check sum of the file."""
    count = max(1, BYTES_AT_ONCE // (3 * decoded.side**2))
    with written(folder / f"{split}_images.npy", ADVICE) as partial:
        with partial.open("wb") as stream:
            np.lib.format.write_array_header_1_0(
                stream,
                {
                    "descr": "|u1",
                    "fortran_order": False,
                    "shape": (len(rows), decoded.side, decoded.side, 3),
                },
            )
            for start in range(0, len(rows), count):
                pixels = decoded.pixels(rows[start : start + count])
                moments.add(pixels)
                stream.write(pixels.data)
        return partial.stat().st_size, _checksum(partial)


def _write_labels(folder: Path, split: str, labels: np.ndarray) -> tuple[int, str]:
    with written(folder / f"{split}_labels.npy", ADVICE) as partial:
        with partial.open("wb") as stream:
            np.save(stream, labels)
        return partial.stat().st_size, _checksum(partial)


def _checked(path: Path) -> dict[str, Any] | None:
    """What a file of ours holds; None if it is not there, or damaged."""
    try:
        checksum, content = path.read_text(encoding="utf-8").split("\n", 1)
    except (OSError, ValueError):
        return None
    return json.loads(content) if _sha256(content.encode()) == checksum else None


def _write_checked(path: Path, values: dict[str, Any]) -> None:
    with disk_errors(path, ADVICE):
        path.parent.mkdir(parents=True, exist_ok=True)
    with written(path, ADVICE) as partial:
        content = json.dumps(values)
        partial.write_text(f"{_sha256(content.encode())}\n{content}", encoding="utf-8", newline="")


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(BYTES_AT_ONCE):
            digest.update(chunk)
        return digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
