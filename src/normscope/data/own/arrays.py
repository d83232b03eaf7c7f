"""Images that lie in arrays: .npz files, the IDX files of MNIST, and the .mat files of SVHN."""

import gzip
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from normscope.data.own.listing import TEST, TRAIN, Listing, encoded
from normscope.errors import RunError, UsageError

NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
IDX_STEMS = {"train": TRAIN, "t10k": TEST}
MAT_FILES = {"train_32x32.mat": TRAIN, "test_32x32.mat": TEST}
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Part:
    """The images of one split: their number, shape (H, W, C), labels, and where they come from.

    ``rows(n)`` gives them in order as uint8 (up to n, H, W, C).
    """

    name: str
    split: str
    shape: tuple[int, int, int]
    labels: Sequence[int]
    rows: Callable[[int], Iterator[np.ndarray]]


def _listing(form: str, parts: Sequence[Part], names: Sequence[str] | None = None) -> Listing:
    class_names, labels = encoded([label for part in parts for label in part.labels], names)
    sides = {(part.shape[1], part.shape[0]) for part in parts}
    return Listing(
        form=form,
        class_names=class_names,
        paths=[f"{part.name}[{row}]" for part in parts for row in range(len(part.labels))],
        labels=labels,
        splits=[part.split for part in parts for _ in part.labels],
        blobs=partial(_blobs, parts),
        side=sides.pop() if len(sides) == 1 else None,
    )


def _blobs(parts: Sequence[Part], count: int) -> Iterator[Sequence[np.ndarray]]:
    for part in parts:
        yield from (list(rows) for rows in part.rows(count))


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn what a damaged file breaks its reader with into one line."""
    try:
        yield
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, struct.error) as error:
        raise RunError(f"{path} is damaged or cut short ({error}); restore it") from error


# -- .npz ------------------------------------------------------------------------------------------


def arrays_in(path: Path) -> list[str]:
    """The names of the arrays in a .npz file; none if it is no such file."""
    try:
        with zipfile.ZipFile(path) as members:
            return [name[:-4] for name in members.namelist() if name.endswith(".npy")]
    except (zipfile.BadZipFile, OSError):
        return []


def read_npz(path: Path) -> Listing | None:
    """The images of a .npz file with the four `NPZ_ARRAYS`; None if it is none.

    Raises `UsageError` for arrays that are no uint8 images with a whole number for each.
    """
    found = arrays_in(path)
    if not found:
        return None
    missing = [name for name in NPZ_ARRAYS if name not in found]
    if missing:
        raise UsageError(
            f"{path} has no {', '.join(missing)} (it has {', '.join(found)}); "
            f"save it with np.savez(file, {', '.join(f'{name}=...' for name in NPZ_ARRAYS)})"
        )
    parts = [_npz_part(path, split) for split in (TRAIN, TEST)]
    return _listing("a .npz file with x_train, y_train, x_test and y_test", parts)


def _npz_part(path: Path, split: str) -> Part:
    images, labels = f"x_{split}", f"y_{split}"
    with _npz_member(path, images) as stream:
        shape = _image_shape(f"{path}: {images}", *_npy_header(stream))
    with _npz_member(path, labels) as stream:
        label_shape, _, dtype = _npy_header(stream)
    if dtype.kind not in "iu" or math.prod(label_shape) != len_of(label_shape):
        raise UsageError(
            f"{path}: {labels} is {dtype} {label_shape}; labels are whole numbers, one per image: "
            "(N,) or (N, 1)"
        )
    if len_of(label_shape) != shape[0]:
        raise UsageError(
            f"{path}: there are {shape[0]:,} images in {images} and {len_of(label_shape):,} labels "
            f"in {labels}"
        )
    with _whole(path), np.load(path, allow_pickle=False) as arrays:
        values = arrays[labels].ravel().tolist()
    return Part(images, split, shape[1:], values, partial(_npz_rows, path, images, shape))


def len_of(shape: tuple[int, ...]) -> int:
    """The number of rows of an array of that shape; a scalar has none."""
    return shape[0] if shape else 0


def _image_shape(
    what: str, shape: tuple[int, ...], fortran_order: bool, dtype: np.dtype
) -> tuple[int, int, int, int]:
    """Shape (N, H, W, C) of an array of images. Raises `UsageError` if it is none."""
    if dtype != np.uint8:
        raise UsageError(
            f"{what} is {dtype}, and pixels are uint8 from 0 to 255; of pixels in [0, 1] save "
            "np.round(255 * x).astype(np.uint8)"
        )
    if fortran_order:
        raise UsageError(f"{what} is in Fortran order; save np.ascontiguousarray(x)")
    if len(shape) == 3:
        return (*shape, 1)
    if len(shape) == 4 and shape[3] in (1, 3, 4):
        return shape
    channels_first = len(shape) == 4 and shape[1] in (1, 3, 4)
    advice = "; channels come last: save x.transpose(0, 2, 3, 1)" if channels_first else ""
    raise UsageError(f"{what} has shape {shape}, and is (N, H, W) or (N, H, W, 1|3|4){advice}")


@contextmanager
def _npz_member(path: Path, name: str) -> Iterator[IO[bytes]]:
    with _whole(path), zipfile.ZipFile(path) as members, members.open(f"{name}.npy") as stream:
        yield stream


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is in Fortran order, and type of the array that `stream` goes on with."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _npz_rows(path: Path, name: str, shape: tuple[int, ...], count: int) -> Iterator[np.ndarray]:
    """Unpacked bit by bit: never all in memory."""
    with _npz_member(path, name) as stream:
        _npy_header(stream)
        yield from _rows(stream, shape, count)


def _rows(stream: IO[bytes], shape: tuple[int, ...], count: int) -> Iterator[np.ndarray]:
    for start in range(0, shape[0], count):
        rows = min(count, shape[0] - start)
        content = stream.read(rows * math.prod(shape[1:]))
        yield np.frombuffer(content, np.uint8).reshape(rows, *shape[1:])


# -- IDX -------------------------------------------------------------------------------------------


def read_idx(root: Path) -> Listing | None:
    """The four IDX files of MNIST and its like in `root`, or below it in raw/ or NAME/raw/.

    Packed with gzip or not, and with a hyphen or a dot before "idx". None if they are not there.
    """
    for folder in (root, root / "raw", *sorted(root.glob("*/raw"))):
        files = [_idx_files(folder, stem) for stem in IDX_STEMS]
        if all(all(pair) for pair in files):
            parts = [
                _idx_part(images, labels, split)
                for (images, labels), split in zip(files, IDX_STEMS.values(), strict=True)
                if images is not None and labels is not None
            ]
            return _listing("the IDX files of MNIST and its like", parts)
    return None


def _idx_files(folder: Path, stem: str) -> tuple[Path | None, Path | None]:
    def find(name: str) -> Path | None:
        names = (f"{stem}-{name}ubyte{suffix}" for suffix in ("", ".gz"))
        paths = [folder / spelled for n in names for spelled in (n, n.replace("-idx", ".idx"))]
        return next((path for path in paths if path.is_file()), None)

    return find("images-idx3-"), find("labels-idx1-")


def _idx_part(images: Path, labels: Path, split: str) -> Part:
    with _idx_opened(images, 3) as (_, shape), _idx_opened(labels, 1) as (stream, (count,)):
        values = list(stream.read(count))
    if count != shape[0] or len(values) != count:
        raise RunError(
            f"{images} has {shape[0]:,} images and {labels} has {len(values):,} labels; "
            "restore them"
        )
    return Part(
        images.name, split, (shape[1], shape[2], 1), values, partial(_idx_rows, images, shape)
    )


@contextmanager
def _idx_opened(path: Path, dimensions: int) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """The file after its header, and the shape that its header tells.

    Format: http://yann.lecun.com/exdb/mnist/: 0, 0, 8 for bytes, number of dimensions, their sizes.
    """
    with _whole(path), path.open("rb") as stream:
        packed = stream.read(2) == GZIP
    with _whole(path), gzip.open(path) if packed else path.open("rb") as stream:
        if stream.read(4) != bytes((0, 0, 8, dimensions)):
            raise RunError(f"{path} is no IDX file of bytes with {dimensions} dimension(s)")
        yield stream, struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))


def _idx_rows(path: Path, shape: tuple[int, ...], count: int) -> Iterator[np.ndarray]:
    with _idx_opened(path, 3) as (stream, _):
        yield from _rows(stream, (*shape, 1), count)


# -- SVHN ------------------------------------------------------------------------------------------


def read_mat(root: Path) -> Listing | None:
    """The files of SVHN in `root`, or None; the label 10 means the digit 0.

    Source: http://ufldl.stanford.edu/housenumbers/ (cropped digits).
    """
    if not all((root / name).is_file() for name in MAT_FILES):
        return None
    parts = [_mat_part(root / name, split) for name, split in MAT_FILES.items()]
    return _listing("the files of SVHN", parts)


def _mat_part(path: Path, split: str) -> Part:
    from scipy.io import loadmat

    with _whole(path):
        content = loadmat(io.BytesIO(path.read_bytes()), variable_names=("X", "y"))
        if not {"X", "y"} <= set(content):
            raise RunError(f"{path} has no X and y; restore it")
        images_NHWC = content["X"].transpose(3, 0, 1, 2)
        labels = (content["y"].ravel().astype(int) % 10).tolist()
    shape = _image_shape(f"{path}: X", images_NHWC.shape, False, images_NHWC.dtype)
    return Part(path.name, split, shape[1:], labels, partial(_slices, images_NHWC))


def _slices(images: np.ndarray, count: int) -> Iterator[np.ndarray]:
    for start in range(0, len(images), count):
        yield images[start : start + count]
