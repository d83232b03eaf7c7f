"""Parquet files as Hugging Face writes them: images as the bytes of their files, with a label."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from normscope.data.own.listing import Listing, encoded, one_test_split, split_named
from normscope.data.own.problems import Findings
from normscope.data.own.reading import Blob
from normscope.errors import RunError, UsageError

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels")
UNLABELLED = -1  # what test sets have whose labels are not public


def parquet_files(root: Path) -> list[tuple[Path, str]]:
    """The Parquet files in `root` or in data/ below it that are called as a split is, with that."""
    for folder in (root, root / "data"):
        named = [(path, _split(path.name)) for path in sorted(folder.glob("*.parquet"))]
        found = [(path, split) for path, split in named if split is not None]
        if found:
            return found
    return []


def _split(name: str) -> str | None:
    return split_named(re.split(r"[-_.]", name)[0])


def read_parquet(root: Path) -> Listing | None:
    """The images of a folder of Parquet files, such as data/train-00000-of-00001.parquet, or None.

    Raises `UsageError` if pyarrow is missing or a column is, `RunError` for a damaged file.
    """
    files = parquet_files(root)
    if not files:
        return None
    findings = Findings()
    used = one_test_split([split for _, split in files], findings)
    kept = [(path, split) for (path, _), split in zip(files, used, strict=True) if split]
    labels, places, rows = [], [], []
    for path, split in kept:
        good = []
        for row, label in enumerate(_labels(path)):
            place = f"{path.relative_to(root).as_posix()}[{row}]"
            if label is None or label == UNLABELLED:
                findings.add("missing_label", place)
                continue
            labels.append(label)
            places.append((place, split))
            good.append(row)
        rows.append(good)
    class_names, encoded_labels = encoded(labels, _class_names(kept[0][0]))
    return Listing(
        form="a folder of Parquet files",
        class_names=class_names,
        paths=[place for place, _ in places],
        labels=encoded_labels,
        splits=[split for _, split in places],
        blobs=partial(_blobs, [path for path, _ in kept], rows),
        findings=findings,
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, whose schema says which columns there are."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise UsageError(
            f'reading {path.name} takes pyarrow: pip install "normscope[images]"'
        ) from error
    try:
        with ParquetFile(path) as file:
            yield file
    except (OSError, pyarrow.ArrowException) as error:
        raise RunError(f"{path} is damaged or cut short ({error}); restore it") from error


def _column(path: Path, names: Sequence[str], known: Sequence[str]) -> str:
    found = next((name for name in known if name in names), None)
    if found is None:
        raise UsageError(
            f"{path} has no column {' or '.join(known)}; its columns are {', '.join(names)}"
        )
    return found


def _labels(path: Path) -> list[Any]:
    with _opened(path) as file:
        images = _column(path, file.schema_arrow.names, IMAGE_COLUMNS)
        if "bytes" not in [field.name for field in file.schema_arrow.field(images).type]:
            raise UsageError(f"{path}: the column {images} does not hold the bytes of image files")
        column = _column(path, file.schema_arrow.names, LABEL_COLUMNS)
        return file.read(columns=[column]).column(0).to_pylist()


def _class_names(path: Path) -> list[str] | None:
    """The names that Hugging Face's own part of the schema gives the labels, if it does."""
    with _opened(path) as file:
        schema = file.schema_arrow
    notes = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = notes.get("info", {}).get("features", {})
    return features.get(_column(path, schema.names, LABEL_COLUMNS), {}).get("names")


def _blobs(
    files: Sequence[Path], rows: Sequence[Sequence[int]], count: int
) -> Iterator[Sequence[Blob]]:
    """The bytes of each image's file, without the rows that have no label."""
    for path, good in zip(files, rows, strict=True):
        wanted, start = set(good), 0
        with _opened(path) as file:
            column = _column(path, file.schema_arrow.names, IMAGE_COLUMNS)
            for batch in file.iter_batches(count, columns=[column]):
                images = batch.column(0).to_pylist()
                yield [
                    (image and image["bytes"]) or b""  # "" is told as an empty file
                    for row, image in enumerate(images, start)
                    if row in wanted
                ]
                start += len(images)
