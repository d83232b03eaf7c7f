"""A CSV file that says of every image where it is and what it shows."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from normscope.data.own.folders import files_in, leads_below
from normscope.data.own.listing import UNSPLIT, Listing, encoded, one_test_split, split_named
from normscope.data.own.problems import Findings
from normscope.errors import RunError, UsageError

# What columns may be called, best first.
FILE_COLUMNS = ("file", "filename", "file_name", "path", "filepath", "image")
LABEL_COLUMNS = ("label", "class", "target")
SPLIT_COLUMNS = ("split", "set", "subset")
DELIMITERS = ",;\t|"
ENCODING = "utf-8-sig"  # with or without the mark that Windows programs put first


@dataclass(frozen=True)
class Columns:
    """How a CSV file is to be read: its delimiter, and the places of its columns."""

    delimiter: str
    file: int
    label: int
    split: int | None


def columns_of(table: Path) -> Columns | None:
    """How to read a CSV file; None if its first line does not name a file and a label."""
    try:
        with table.open(encoding=ENCODING, newline="") as stream:
            header = stream.readline()
    except UnicodeDecodeError as error:
        raise UsageError(f"{table} is not written in UTF-8; save it as CSV UTF-8") from error
    except OSError as error:
        raise RunError(f"cannot read {table} ({error.strerror})") from error
    for delimiter in DELIMITERS:
        names = [
            name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])
        ]
        file, label = _place(names, FILE_COLUMNS), _place(names, LABEL_COLUMNS)
        if file is not None and label is not None:
            return Columns(delimiter, file, label, _place(names, SPLIT_COLUMNS))
    return None


def _place(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def read_csv(table: Path) -> Listing | None:
    """The images that a CSV file lists, relative to its folder; None if it lists none.

    Raises `UsageError` if it is not UTF-8, `RunError` if it cannot be read.
    """
    columns = columns_of(table)
    if columns is None:
        return None
    findings, root = Findings(), table.parent
    rows = _good_rows(table, columns, findings)
    splits = [split for _, _, split in rows]
    used = one_test_split(splits, findings) if columns.split is not None else splits
    kept = sorted(
        (path, label, split)
        for (path, label, _), split in zip(rows, used, strict=True)
        if split is not None
    )
    names, labels = encoded(_numbers([label for _, label, _ in kept]))
    paths = [path for path, _, _ in kept]
    return Listing(
        form=f"the table {table.name}",
        class_names=names,
        paths=paths,
        labels=labels,
        splits=[split for _, _, split in kept],
        blobs=files_in(root, paths),
        findings=findings,
    )


def _good_rows(table: Path, columns: Columns, findings: Findings) -> list[tuple[str, str, str]]:
    """Path, label and split of the rows that can be used."""
    rows, lines = [], {}
    try:
        with table.open(encoding=ENCODING, newline="") as stream:
            reader = csv.reader(stream, delimiter=columns.delimiter)
            next(reader)
            for cells in reader:
                row = _row(table, columns, cells, reader.line_num, findings)
                if row is None:
                    continue
                if row[0] in lines:
                    findings.add(
                        "listed_twice", row[0], f"lines {lines[row[0]]} and {reader.line_num}"
                    )
                    continue
                lines[row[0]] = reader.line_num
                rows.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{table} is no CSV file in UTF-8 ({error})") from error
    return rows


def _row(
    table: Path, columns: Columns, cells: list[str], line: int, findings: Findings
) -> tuple[str, str, str] | None:
    if not any(cell.strip() for cell in cells):
        return None

    def cell(place: int) -> str:
        return cells[place].strip() if place < len(cells) else ""

    name, label = cell(columns.file).replace("\\", "/"), cell(columns.label)
    split = split_named(cell(columns.split)) if columns.split is not None else UNSPLIT
    path, place = os.path.normpath(name or "."), f"line {line}"
    if not label:
        findings.add("missing_label", name or table.name, place)
    elif split is None:
        findings.add("bad_split", name or table.name, place)
    elif not name or not os.path.lexists(table.parent / path):
        findings.add("missing_file", name or table.name, place)
    elif not leads_below(table.parent, Path(os.path.realpath(table.parent / path))):
        findings.add("outside", name, place)
    elif not os.path.exists(table.parent / path):
        findings.add("broken_link", name, place)
    else:
        return path, label, split
    return None


def _numbers(labels: list[str]) -> list[str] | list[int]:
    """Labels that are all whole numbers as such, so that 10 comes after 9."""
    if all(label.isdecimal() for label in labels):
        return [int(label) for label in labels]
    return labels
