"""The images that every loop trains on, and how many of them make an epoch."""

from functools import cache

import numpy as np

from normscope.data import Dataset, find, load_dataset
from normscope.experiment import RECIPES

NORMS_PUBLISHED = ("bn", "gn", "ln")
EPOCHS = RECIPES["s8"].epochs
BATCH = RECIPES["s8"].batch_size
MAX_LR = RECIPES["s8"].max_lr
TRAIN, TEST = 50_000, 10_000  # images of an epoch, as in CIFAR-10


def source() -> str:
    """CIFAR-10, or the synthetic data set on a machine without it."""
    return "cifar10" if find("cifar10") else "shapes"


@cache
def images(train: int, test: int) -> Dataset:
    """`train` training and `test` test images, repeated if the data set has fewer."""
    dataset = load_dataset(source())

    def filled(array: np.ndarray, count: int) -> np.ndarray:
        return np.resize(array, (count, *array.shape[1:]))

    arrays = {
        f"{split}_{part}": filled(getattr(dataset, f"{split}_{part}"), size)
        for split, size in (("train", train), ("test", test))
        for part in ("images", "labels")
    }
    return Dataset(**{**vars(dataset), **arrays})
