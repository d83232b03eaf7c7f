"""Data sets as uint8 arrays, by name: the table `DATASETS`, and `load_dataset`, the way in.

`DATASETS` lists what there is. A data set is either made in memory from a seed (`make`), or read
from files that are looked for, verified and, if absent, downloaded (`layout`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from normscope.data import cifar, places, shapes
from normscope.data.dataset import Dataset
from normscope.data.download import Notice, Progress, cache_dir, download
from normscope.data.layouts import CIFAR10, CIFAR100, Layout
from normscope.data.shapes import make_shapes
from normscope.errors import RunError, UsageError, lookup
from normscope.files import user_path

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetSource",
    "add",
    "cache_dir",
    "fetch",
    "find",
    "load_dataset",
    "verify",
]


@dataclass(frozen=True)
class DatasetSource:
    """A data set that is not in memory yet: exactly one of `make` and `layout` is there.

    `make` takes the sizes of the training and the test set, which are the first of all images.
    """

    description: str
    train_size: int
    test_size: int
    num_classes: int
    image_shape: tuple[int, int, int] = (32, 32, 3)  # H, W, C
    make: Callable[[int, int], Dataset] | None = None
    layout: Layout | None = None


DATASETS: dict[str, DatasetSource] = {
    "shapes": DatasetSource(shapes.DESCRIPTION, 5_000, 2_000, 10, make=partial(make_shapes, 0)),
    "cifar10": DatasetSource(CIFAR10.description, 50_000, 10_000, 10, layout=CIFAR10),
    "cifar100": DatasetSource(CIFAR100.description, 50_000, 10_000, 100, layout=CIFAR100),
}


def load_dataset(
    name: str,
    data_dir: Path | str | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Dataset:
    """The data set `name`, verified, downloaded first if this machine has no copy.

    `notice` is told if another process is waited for that downloads it.
    Raises `UsageError` for an unknown name, a `data_dir` that is no folder or a limit above the
    size of a split; `RunError` for a damaged copy, or if there is none and no source serves one.

    >>> from normscope import load_dataset
    >>> dataset = load_dataset("shapes", train_limit=100, test_limit=50)
    >>> dataset.train_images.shape, dataset.train_images.dtype, len(dataset.class_names)
    ((100, 32, 32, 3), dtype('uint8'), 10)
    """
    source = lookup(DATASETS, "data set", name)
    if source.make is not None:
        sizes = (train_limit, source.train_size), (test_limit, source.test_size)
        dataset = source.make(*(min(limit or size, size) for limit, size in sizes))
    else:
        place = find(name, data_dir) or fetch(name, progress=progress, notice=notice)
        dataset = cifar.read(source.layout, place)
    return dataset.limited(train_limit, test_limit)


def find(name: str, data_dir: Path | str | None = None) -> Path | None:
    """The folder or archive that `name` would be read from; None if it has no file here."""
    layout = lookup(DATASETS, "data set", name).layout
    return places.find(layout, data_dir) if layout is not None else None


def fetch(
    name: str,
    sources: tuple[str, ...] | None = None,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Path:
    """Download the official archive of `name` into `cache_dir`, from `sources` if given.

    `notice` is told if another process is waited for that does the same.
    Raises `RunError` that says what else can be done if no source serves it.
    """
    layout = _layout(name)
    remote = replace(layout.archive, sources=sources) if sources else layout.archive
    try:
        return download(remote, cache_dir(), progress, notice=notice)
    except RunError as error:
        raise RunError(
            f"{name} is not on this machine and could not be downloaded ({error}).\n"
            f"Put {remote.name} into {cache_dir()} (or pass --data-dir), "
            "or try `--dataset shapes`, which needs no file."
        ) from error


def add(path: Path | str) -> Path:
    """Verify the archive or extracted folder at `path` and copy it into `cache_dir`.

    Returns where it is now, under a name that `find` knows. Raises `UsageError` if nothing known is
    at `path`, `RunError` that names the first file that is missing, truncated or altered.
    """
    layouts = [source.layout for source in DATASETS.values() if source.layout is not None]
    return places.add(layouts, user_path(path), cache_dir())


def verify(name: str, data_dir: Path | str | None = None) -> dict[str, str]:
    """By file of the copy that is here: "" if intact, else "missing", "altered" or how truncated.

    Raises `RunError` if there is no copy, or only an archive that cannot be opened.
    """
    layout = _layout(name)
    place = places.find(layout, data_dir)
    if place is None:
        raise RunError(f"{name} is not on this machine; run `normscope data fetch {name}`")
    return places.faults(layout, place)


def _layout(name: str) -> Layout:
    layout = lookup(DATASETS, "data set", name).layout
    if layout is None:
        raise UsageError(f"{name} is made in memory and has no file")
    return layout
