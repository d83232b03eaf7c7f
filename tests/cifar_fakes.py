"""A CIFAR-10 of eight images, in files of the real format, as a folder or packed in any way."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from normscope.data.layouts import CIFAR10, FileFacts, Layout

FOLDER = "cifar-10-batches-py"
CLASS_NAMES = ("cat", "dog")
KINDS = (".tar.gz", ".tar", ".tar.xz", ".tar.bz2", ".zip")


def pickled(values: dict) -> bytes:
    """As an old numpy wrote it for Python 2, where False and True in a dtype were 0 and 1.

    Protocol 3 keeps bytes as they are, as Python 2 did.
    """
    content = pickle.dumps(values, protocol=3).replace(b"numpy._core.multi", b"numpy.core.multi")
    return content.replace(pickle.NEWFALSE + pickle.NEWTRUE + pickle.TUPLE3, b"K\0K\1\x87")


def make_contents() -> dict[str, dict]:
    """Two training files of three images each and a test file of two, with known pixels.

    Sixteen colours, so that an archive holds compressed blocks, which break in ways of their own.
    """
    rng = np.random.default_rng(0)
    contents = {}
    for name, count in (("data_batch_1", 3), ("data_batch_2", 3), ("test_batch", 2)):
        rows = rng.integers(0, 16, (count, 3072), dtype=np.uint8)
        contents[name] = {b"data": rows, b"labels": [i % 2 for i in range(count)]}
    contents["batches.meta"] = {b"label_names": [name.encode() for name in CLASS_NAMES]}
    return contents


def make_files() -> dict[str, bytes]:
    return {name: pickled(values) for name, values in make_contents().items()}


def make_layout(files: dict[str, bytes]) -> Layout:
    return replace(
        CIFAR10,
        name="tiny",
        files={n: FileFacts(hashlib.md5(c).hexdigest(), len(c)) for n, c in files.items()},
        train=("data_batch_1", "data_batch_2"),
    )


def make_folder(place: Path, files: dict[str, bytes]) -> Path:
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


def pack(path: Path, files: dict[str, bytes], within: str = f"{FOLDER}/") -> Path:
    """An archive of the kind that `path` ends with; each member's name begins with `within`."""
    return write_archive(path, [(within + name, content) for name, content in files.items()])


def write_archive(path: Path, members: list[tuple[str, bytes]]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members:
                packed.writestr(name, content)
        return path
    compression = {".gz": "w:gz", ".tar": "w:", ".xz": "w:xz", ".bz2": "w:bz2"}[path.suffix]
    with tarfile.open(path, compression) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
