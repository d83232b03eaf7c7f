"""One data set in memory: a uint8 array per split, with what is needed to read and trust it."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from normscope.errors import UsageError
from normscope.experiment import DatasetFacts


@dataclass(frozen=True)
class Dataset:
    """Images and labels of both splits.

    `train_images`, `test_images`: uint8, shape (N, H, W, 3). `train_labels`, `test_labels`: int64,
    shape (N,), values below ``len(class_names)``. `mean`, `std`: per channel, of pixels scaled to
    [0, 1]; the network sees ``(pixel / 255 - mean) / std``.
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
        )


def _first(size: int, limit: int | None, what: str) -> slice:
    if limit is not None and limit > size:
        raise UsageError(f"{limit} {what} were asked for; there are {size}")
    return slice(limit)


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
