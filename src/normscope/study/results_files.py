"""Results that somebody has in files -> runs: of CSV, exports of W&B and MLflow, JSON lines.

What cannot be told is an error that names the file, the row and the option that helps.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from normscope.analysis.judged import Run
from normscope.errors import UsageError
from normscope.experiment import Status
from normscope.study.results_columns import (
    Columns,
    Meaning,
    Row,
    Source,
    is_number,
    is_percent,
    meaning_of,
    number_name,
    plain,
)
from normscope.study.results_tables import source_of
from normscope.words import counted

# What a run's status may be called; a run that did not end is as one that failed.
WORDS: dict[str, Status] = {
    **dict.fromkeys(("finished", "completed", "complete", "success", "succeeded", "done", "ok"),
                    "finished"),
    **dict.fromkeys(("failed", "crashed", "killed", "error", "running", "preempted", "stopped",
                     "scheduled", "pending"), "failed"),
    "diverged": "diverged",
    "collapsed": "collapsed",
}  # fmt: skip


@dataclass(frozen=True)
class Read:
    """The runs of all files. `folds`: how many there are of a cross-validation, 0 without one.

    `paired`: whether there is a column that says which runs belong together. `notes` say how the
    files were read, and `caveats` what is doubtful about that.
    """

    factor: str
    runs: tuple[Run, ...]
    folds: int
    paired: bool
    notes: tuple[str, ...]
    caveats: tuple[str, ...]


def read_results(paths: Sequence[Path], columns: Columns) -> Read:
    """Read all files; raises `UsageError`, in one line, for whatever cannot be understood."""
    runs: list[Run] = []
    notes: list[str] = []
    caveats: list[str] = []
    factors, folds, paired = [], set[str](), True
    for path in paths:
        source = source_of(path)
        meaning = meaning_of(source, columns)
        own, said, doubts = _runs(source, meaning)
        runs += own
        notes += said
        caveats += doubts
        factors.append(meaning.factor)
        paired = paired and (meaning.seed or meaning.fold) is not None
        if meaning.fold:
            folds |= {number_name(row.cells[meaning.fold]) for row in source.rows}
    _check_once(runs, paired)
    return Read(
        plain(factors[0]),
        tuple(runs),
        len(folds) if len(folds) > 1 else 0,
        paired,
        tuple(dict.fromkeys(notes)),
        tuple(dict.fromkeys(caveats)),
    )


def _runs(source: Source, meaning: Meaning) -> tuple[list[Run], list[str], list[str]]:
    """The runs, how they were read, and what is doubtful about it."""
    percent, scale_notes = _accuracies(source, meaning)
    rows = [_run(row, meaning, percent.get(row.where)) for row in source.rows]
    notes, caveats = scale_notes, []
    name = str(source.path)
    if meaning.accuracy:
        notes.insert(0, f"{name}: accuracy is the column {meaning.accuracy}, and what is compared "
                        f"the column {meaning.factor}.")  # fmt: skip
    if source.wide and meaning.accuracy is None:
        notes.insert(0, f"{name}: of the columns {source.wide[0]} to {source.wide[-1]}, which are "
                        f"epochs, the last one counts.")  # fmt: skip
    if meaning.epoch or source.lines:
        rows = _measuring(rows)
    if meaning.epoch:
        identities = {
            row.where: row.cells[meaning.identity] if meaning.identity else ""
            for row in source.rows
        }
        rows, caveats = _last_epochs(rows, name, identities)
        notes.append(f"{name}: the last epoch of each run counts.")
    if meaning.accuracy and "best" in meaning.accuracy.lower():
        caveats.append(
            f"{name}: {meaning.accuracy} is of each run's best epoch, chosen on the images that it "
            "is measured on, which flatters those that fluctuate most; use the last epoch."
        )
    kind = plain(meaning.accuracy or "")
    if kind.startswith(("val", "eval")):
        caveats.append(
            f"{name}: {meaning.accuracy} is measured on validation images; if anything was chosen "
            "by it, such as a learning rate, it flatters what was chosen from most."
        )
    for row in rows:
        if row.status == "finished" and row.accuracy_percent is None:
            raise UsageError(
                f"{row.where}: there is no accuracy; fill it in, leave the row out, or say in a "
                "column status what became of the run (failed, diverged or collapsed)"
            )
    return rows, notes, caveats


def _measuring(rows: Sequence[Run]) -> list[Run]:
    """Without rows that have no accuracy, where others of the same run have one."""
    known = {_key(r) for r in rows if r.accuracy_percent is not None or r.status != "finished"}
    return [
        row
        for row in rows
        if row.accuracy_percent is not None or row.status != "finished" or _key(row) not in known
    ]


def _last_epochs(
    rows: Sequence[Run], name: str, identities: Mapping[str, str]
) -> tuple[list[Run], list[str]]:
    """The last epoch of each run; raises `UsageError` where two runs go by the same names.

    They have one epoch twice, or other `identities`, which are those of a row by where it is.
    """
    last: dict[object, Run] = {}
    seen: dict[object, str] = {}
    for row in rows:
        run = _key(row)
        epoch = (run, row.epoch)
        if epoch in seen:
            raise UsageError(
                f"{row.where} and {seen[epoch]} are both epoch {row.epoch:g} of "
                f"{_described(row)}; {_apart(row)}"
            )
        seen[epoch] = row.where
        if run in last and identities[last[run].where] != identities[row.where]:
            raise UsageError(
                f"{last[run].where} and {row.where} are of two runs, {identities[last[run].where]} "
                f"and {identities[row.where]}, but both are {_described(row)}; {_apart(row)}"
            )
        if run not in last or (row.epoch or 0) > (last[run].epoch or 0):
            last[run] = row
    kept = [*last.values()]
    ends = {row.epoch for row in kept if row.status == "finished" and row.epoch is not None}
    if len(ends) < 2:
        return kept, []
    early = [row for row in kept if row.status == "finished" and row.epoch != max(ends)]
    first = early[0]
    return kept, [
        f"{name}: {counted(len(early), 'run')} ended before epoch {max(ends):g}, such as "
        f"{_described(first)} after epoch {first.epoch:g}; what is compared is then not the same "
        "training."
    ]


def _run(row: Row, meaning: Meaning, percent: float | None) -> Run:
    level = number_name(row.cells[meaning.factor])
    if not level:
        raise UsageError(
            f"{row.where}: the column {meaning.factor} is blank; fill it in, or leave the row out"
        )
    parts = []
    for column in (meaning.seed, meaning.fold):
        if column and not row.cells[column]:
            raise UsageError(
                f"{row.where}: the column {column} is blank, so that nothing says which runs of "
                "other rows belong to this one; fill it in, or leave the row out"
            )
        if column:
            parts.append(number_name(row.cells[column]))
    setting = [("dataset", meaning.dataset), ("model", meaning.model)]
    setting += [(column, column) for column in meaning.setting]
    status = _status(row, meaning)
    return Run(
        where=row.where,
        level=level,
        seed=", fold ".join(parts) if meaning.seed else "".join(parts),
        status=status,
        accuracy_percent=percent if status == "finished" else None,
        setting=tuple((name, row.cells[column]) for name, column in setting if column),
        batch_size=_batch_size(row, meaning.batch_size),
        epoch=_epoch(row, meaning.epoch),
    )


def _status(row: Row, meaning: Meaning) -> Status:
    text = row.cells[meaning.status] if meaning.status else ""
    if not text:
        return "finished"
    if text.lower() not in WORDS:
        raise UsageError(
            f"{row.where}: unknown status {text!r}; known: finished, failed, diverged, collapsed "
            f"and the words of trackers ({', '.join(list(WORDS)[1:4])}, ...)"
        )
    return WORDS[text.lower()]


def _batch_size(row: Row, column: str | None) -> int:
    if column is None:
        return 0
    name = number_name(row.cells[column])
    if not name.isascii() or not name.isdigit() or len(name) > 9:
        raise UsageError(
            f"{row.where}: the batch size {row.cells[column]!r} is no whole number; correct it, or "
            f"rename the column {column}"
        )
    return int(name)


def _epoch(row: Row, column: str | None) -> float | None:
    if column is None or not row.cells[column]:
        return None
    if not is_number(row.cells[column]):
        raise UsageError(
            f"{row.where}: the epoch {row.cells[column]!r} is no number; correct it, or rename the "
            f"column {column}"
        )
    return float(row.cells[column])


def _accuracies(source: Source, meaning: Meaning) -> tuple[dict[str, float], list[str]]:
    """Test accuracy in percent by row, of the rows that have one; fractions become percent."""
    column = meaning.accuracy or source.wide[-1]
    written = {row.where: row.cells[column] for row in source.rows if row.cells[column]}
    signed = {where for where, text in written.items() if text.endswith("%")}
    values = {where: _accuracy(where, text, column) for where, text in written.items()}
    if not values:
        return {}, []
    name, largest = str(source.path), max(values.values())
    if signed and len(signed) < len(values):
        plain = next(where for where in values if where not in signed)
        raise UsageError(
            f"{plain}: the accuracy {written[plain]!r} has no percent sign, as others have; write "
            "all in percent, or none"
        )
    if largest <= 1 and not signed and not is_percent(column):
        fractions = {where: round(100 * value, 9) for where, value in values.items()}
        return fractions, [f"{name}: accuracies from 0 to 1 were taken for fractions, and are "
                           "given in percent."]  # fmt: skip
    lowest = min(values, key=values.__getitem__)
    if values[lowest] < 1 and not signed and not is_percent(column):
        return values, [
            f"{name}: accuracies were taken for percent, also {written[lowest]} "
            f"({lowest.removeprefix(f'{name}, ')}), as the highest is {largest:g}."
        ]
    return values, []


def _accuracy(where: str, text: str, column: str) -> float:
    bare = text.removesuffix("%").strip()
    if not is_number(bare):
        hint = "correct it"
        if re.fullmatch(r"\d+,\d+", bare):
            hint = f"write {bare.replace(',', '.')}, with a point"
        elif bare.lower() in ("nan", "inf", "-inf", "infinity"):
            hint = "if the run diverged, leave it blank and say so in a column status"
        raise UsageError(f"{where}: the accuracy {text!r} (column {column}) is no number; {hint}")
    value = float(bare)
    if not 0 <= value <= 100:
        raise UsageError(
            f"{where}: the accuracy {text} (column {column}) is not between 0 and 100; if the "
            "column is no accuracy, name the right one with --accuracy-column"
        )
    return value


def _apart(run: Run) -> str:
    """What to do about two rows that are the same run."""
    if not run.seed:
        return "if they are two runs, a column seed has to tell them apart"
    return (
        "if they differ in something else, name its column with --setting; if not, leave one of "
        "them out"
    )


def _check_once(runs: Iterable[Run], paired: bool) -> None:
    """Raise `UsageError` where two rows are the same run."""
    if not paired:
        return
    seen: dict[object, str] = {}
    for run in runs:
        if _key(run) in seen:
            raise UsageError(
                f"{seen[_key(run)]} and {run.where} are both {_described(run)}; {_apart(run)}"
            )
        seen[_key(run)] = run.where


def _key(run: Run) -> object:
    return run.setting, run.batch_size, run.level, run.seed


def _described(run: Run) -> str:
    """``bn, seed 0, cifar10, s8, batch size 512``."""
    parts = [run.level, f"seed {run.seed}" if run.seed else ""]
    parts += [value for _, value in run.setting]
    parts.append(f"batch size {run.batch_size}" if run.batch_size else "")
    return ", ".join(part for part in parts if part)
