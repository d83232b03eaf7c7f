"""The files of CIFAR-10 and CIFAR-100 as a `Dataset`.

They are pickles, which can run code when they are opened: no byte is unpickled before its checksum
matches, and then only arrays are built.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from normscope.data.dataset import Dataset
from normscope.data.layouts import Layout
from normscope.data.places import checked_files, damaged
from normscope.errors import NormscopeError, RunError
from normscope.words import visible

SIDE = 32  # pixels


def read(layout: Layout, place: Path) -> Dataset:
    """Verify the copy at `place` (extracted folder or archive) and read it.

    Raises `RunError` that names the first file that is missing, truncated or altered.
    """
    parsed, faulty = {}, dict.fromkeys(layout.files, "missing")
    for file, fault, content in checked_files(layout, place):
        if fault:
            faulty[file] = fault
        else:
            parsed[file] = unpickle(content)
    for file in layout.files:
        if file not in parsed:
            raise damaged(layout, place, f"{file} is {faulty[file]}")
    return _dataset(layout, parsed)


def _dtype(kind: Any, align: int, copy: int) -> np.dtype:
    """`np.dtype` for the 0 and 1 that Python 2 wrote; numpy 2.4 warns unless they are bools."""
    return np.dtype(kind, align=bool(align), copy=bool(copy))


def unpickle(content: bytes) -> dict:
    """Read one CIFAR file.

    Raises `RunError` if it asks for anything but numpy arrays, or is not what Python wrote.
    """
    try:
        found = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except NormscopeError:
        raise
    except Exception as error:  # a pickle breaks its reader in ways as open-ended as it is
        what = visible(str(error))
        raise RunError(f"refused to unpickle: it is no CIFAR file ({what})") from error
    if not isinstance(found, dict):
        raise RunError(f"refused to unpickle: a CIFAR file is no {type(found).__name__}")
    return found


class _ArraysOnly(pickle.Unpickler):
    """Knows the three names that Python 2 wrote for an array, so that no pickle can call more."""

    known = {
        # The module moved between numpy 1 and 2; an array always knows where it is.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): _dtype,
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.known:
            asked = visible(f"{module}.{name}")
            raise RunError(f"refused to unpickle {asked}: a CIFAR file has no use for it")
        return self.known[module, name]


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
