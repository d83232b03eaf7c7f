"""Files of results -> tables: CSV whatever parts its cells, JSON lines, folders of these."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from normscope.errors import UsageError
from normscope.study.results_columns import ACCURACIES, EPOCHS, STATUSES, Row, Source, plain
from normscope.words import counted

LINES = (".jsonl", ".ndjson")


def source_of(path: Path) -> Source:
    try:
        if path.is_dir():
            return _folder(path)
        if path.suffix.lower() in LINES:
            return _of_lines(path, [path])
        return _table(path)
    except OSError as error:
        raise UsageError(
            f"cannot read {error.filename or path} ({error.strerror}); name a CSV file"
        ) from error


def _folder(path: Path) -> Source:
    files = sorted(each for each in path.iterdir() if each.suffix.lower() in LINES)
    if not files:
        hint = f"; name {path / 'trials.csv'}" if (path / "trials.csv").exists() else ""
        raise UsageError(
            f"{path} holds no JSON lines (*.jsonl){hint or '; name a CSV file, or such a folder'}"
        )
    return _of_lines(path, files)


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is no text in UTF-8 (byte {error.start}); export it as CSV"
        ) from error
    if "\0" in text:
        raise UsageError(f"{path} is no text: it holds zero bytes; export it as CSV")
    return text


def _table(path: Path) -> Source:
    """A CSV file whose cells are parted by commas, semicolons or tabs."""
    text = _text(path)
    head = text.partition("\n")[0]
    between = max(",;\t", key=head.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=between))
    except csv.Error as error:
        raise UsageError(f"{path} is no CSV file ({error}); export it as CSV") from error
    if not lines or not any(cell.strip() for cell in lines[0]):
        raise UsageError(f"{path} is empty; its first line names the columns")
    columns = [cell.strip() for cell in lines[0]]
    doubled = [name for name in columns if name and columns.count(name) > 1]
    if doubled:
        raise UsageError(f"{path} has two columns {doubled[0]!r}; rename one of them")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(columns):
            raise UsageError(
                f"{path}, row {number}: it has {counted(len(line), 'cell')}, where the first row "
                f"names {counted(len(columns), 'column')}; a comma within a cell takes quotes "
                "around it, and a decimal comma has to be a point"
            )
        cells = {name: cell.strip() for name, cell in zip(columns, line, strict=True)}
        rows.append(Row(f"{path}, row {number}", cells))
    if not rows:
        raise UsageError(f"{path} holds no rows; under its columns it needs one for each run")
    return Source(path, tuple(columns), tuple(rows), _epoch_columns(columns))


def _epoch_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """``1``, ``2``, ...: columns that are epochs, the last of which counts."""
    numbered = [name for name in columns if re.fullmatch(r"(epoch[ _]?)?\d+", name.lower())]
    return tuple(numbered) if len(numbered) > 1 else ()


def _of_lines(path: Path, files: Sequence[Path]) -> Source:
    """Every line an object; what all lines of a file that say it agree on is that of all."""
    rows: list[Row] = []
    for file in files:
        own = [
            Row(f"{file}, line {number}", _object(line, f"{file}, line {number}"))
            for number, line in enumerate(_text(file).split("\n"), 1)
            if line.strip()
        ]
        of_all = _of_all(own)
        rows += [Row(row.where, {**of_all, **row.cells}) for row in own]
    if not rows:
        raise UsageError(f"{path} is empty; each of its lines is an object such as "
                         '{"norm": "bn", "seed": 0, "test_accuracy": 0.75}')  # fmt: skip
    columns = tuple(dict.fromkeys(name for row in rows for name in row.cells))
    whole = [Row(row.where, {**dict.fromkeys(columns, ""), **row.cells}) for row in rows]
    return Source(path, columns, tuple(whole), lines=True)


def _of_all(rows: Sequence[Row]) -> dict[str, str]:
    """What some lines of a file say and none contradicts, such as a config in its first line."""
    measured = {*ACCURACIES, *STATUSES, *EPOCHS}
    values: dict[str, set[str]] = {}
    for row in rows:
        for name, cell in row.cells.items():
            values.setdefault(name, set()).add(cell)
    return {
        name: next(iter(own))
        for name, own in values.items()
        if len(own) == 1 and plain(name) not in measured
    }


def _object(line: str, where: str) -> dict[str, str]:
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
        raise UsageError(f"{where} is no JSON ({reason}); write one object a line") from error
    if not isinstance(found, dict):
        raise UsageError(f'{where} is no object; write one such as {{"norm": "bn"}} a line')
    return dict(_flat(found, ""))


def _flat(found: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    """``config.norm`` for a norm within a config."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, str):
            yield above + name, value.strip()
        elif value is None:
            yield above + name, ""
        else:
            yield above + name, json.dumps(value)
