"""One data set in memory: a uint8 array per split, with what is needed to read and trust it."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normscope.errors import UsageError
from normscope.experiment import DatasetFacts, Trial
from normscope.experiment.folds import fold_index


@dataclass(frozen=True)
class Dataset:
    """Images and labels of both splits.

    `train_images`, `test_images`: uint8, shape (N, H, W, 3). `train_labels`, `test_labels`: int64,
    shape (N,), values below ``len(class_names)``. `mean`, `std`: per channel, of pixels scaled to
    [0, 1]; the network sees ``(pixel / 255 - mean) / std``.

    An array may be a memory map of a file. It is pickled as the name of that file, so that a worker
    process maps the same file instead of getting a copy.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    synthetic: bool
    description: str

    def __getstate__(self) -> dict[str, Any]:
        return {name: _without_mapped_bytes(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            mapped = isinstance(value, _Mapped)
            object.__setattr__(self, name, value.open() if mapped else value)  # it is frozen

    def by_content(self) -> "Dataset":
        """The same, pickled as the bytes of its arrays: for a machine without their files."""
        arrays = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: np.asarray(getattr(self, name)) for name in arrays})

    def limited(self, train_limit: int | None, test_limit: int | None) -> "Dataset":
        """The first `train_limit` training and `test_limit` test images; None keeps them all.

        Raises `UsageError` if a split holds fewer images than asked for.
        """
        train = _first(len(self.train_labels), train_limit, f"training images of {self.name}")
        test = _first(len(self.test_labels), test_limit, f"test images of {self.name}")
        return replace(
            self,
            train_images=self.train_images[train],
            train_labels=self.train_labels[train],
            test_images=self.test_images[test],
            test_labels=self.test_labels[test],
        )

    def held_out(self) -> "Dataset":
        """The training images alone: nine tenths to train on, and a tenth to test on.

        Always the same tenth, drawn at random.
        """
        order = np.random.default_rng(0).permutation(len(self.train_labels))
        test, train = np.split(order, [max(1, len(order) // 10)])
        return replace(
            self,
            train_images=self.train_images[train],
            train_labels=self.train_labels[train],
            test_images=self.train_images[test],
            test_labels=self.train_labels[test],
        )

    def in_folds(self) -> "Dataset":
        """All images, from which folds are taken: those of both splits are in both splits.

        Of images with the same pixels the first is kept, or one could be tested by a network that
        was trained on the other.
        """
        images = np.concatenate([self.train_images, self.test_images])
        labels = np.concatenate([self.train_labels, self.test_labels])
        first: dict[str, int] = {}
        for row, image in enumerate(images):
            first.setdefault(_sha256(image), row)
        if len(first) < len(labels):
            kept = list(first.values())
            images, labels = images[kept], labels[kept]
        return replace(
            self,
            train_images=images,
            train_labels=labels,
            test_images=images,
            test_labels=labels,
        )

    def of(self, trial: Trial) -> "Dataset":
        """What a trial is trained and tested on, of a data set that is `in_folds` if it has folds.

        The mean and the deviation of a fold are those of its training images.
        """
        if trial.validation:
            return self.held_out()
        if trial.folds is None:
            return self
        test = fold_index(trial, self.test_labels)
        train = np.setdiff1d(np.arange(len(self.test_labels)), test)
        images = self.train_images[train]
        mean, std = _moments(images)
        return replace(
            self,
            train_images=images,
            train_labels=self.train_labels[train],
            test_images=self.test_images[test],
            test_labels=self.test_labels[test],
            mean=mean,
            std=std,
        )

    def facts(self) -> DatasetFacts:
        """What a report says of this data set, with a SHA-256 of each array's bytes."""
        arrays = ("train_images", "train_labels", "test_images", "test_labels")
        height, width, channels = self.train_images.shape[1:]
        return DatasetFacts(
            name=self.name,
            description=self.description,
            synthetic=self.synthetic,
            class_names=self.class_names,
            train_size=len(self.train_labels),
            test_size=len(self.test_labels),
            image_shape=(height, width, channels),
            checksums={array: _sha256(getattr(self, array)) for array in arrays},
            train_counts=_counts(self.train_labels, len(self.class_names)),
            test_counts=_counts(self.test_labels, len(self.class_names)),
            mean=self.mean,
            std=self.std,
        )


@dataclass(frozen=True)
class _Mapped:
    """Where in a file the bytes of a memory map lie: C order, `offset` bytes from its start."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def open(self) -> np.memmap:
        """Map it again, copied on write: torch warns of arrays that cannot be written to."""
        return np.memmap(self.file, self.dtype, "c", self.offset, self.shape)


def _without_mapped_bytes(value: Any) -> Any:
    """A memory map that lies in its file as one piece, by its place there; anything else as is."""
    if not isinstance(value, np.memmap) or not value.flags.c_contiguous or not value.size:
        return value
    whole = value
    while isinstance(whole.base, np.memmap):  # a slice keeps the offset of what it was cut from
        whole = whole.base
    offset = whole.offset + _address(value) - _address(whole)
    return _Mapped(str(value.filename), value.dtype.str, value.shape, offset)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel of pixels in [0, 1], to four digits; 1 for one of no spread.

    From the counts of the 256 values, so that no image is held as floats.
    """
    values = np.arange(256) / 255
    found = []
    for channel in range(images.shape[-1]):
        share = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., 0].size
        mean = share @ values
        sd = np.sqrt(max(share @ values**2 - mean**2, 0.0))
        found.append((round(float(mean), 4), round(float(sd), 4) or 1.0))
    means, deviations = zip(*found, strict=True)
    return means, deviations


def _first(size: int, limit: int | None, what: str) -> slice:
    if limit is not None and limit > size:
        raise UsageError(f"{limit} {what} were asked for; there are {size}")
    return slice(limit)


def _counts(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=classes).tolist())


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
