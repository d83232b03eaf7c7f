"""Results that somebody has in files -> runs: CSV, exports of W&B and MLflow, JSON lines.

What a file means is read from the names of its columns, and nothing else; what cannot be told is
an error that names the file, the row and the option that helps.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normscope.analysis.judged import Run
from normscope.errors import UsageError
from normscope.experiment import Status
from normscope.words import counted

# Names of columns, as `_plain` writes them, the most telling first.
FACTORS = (
    "norm", "normalization", "normalisation", "norm_layer", "norm_type", "normalization_layer",
    "method", "variant",
)  # fmt: skip
SEEDS = ("seed", "random_seed", "rng_seed", "trial_seed", "manual_seed")
NUMBERED = ("run", "replicate", "repetition", "rep", "trial_number", "trial")  # if it is a number
FOLDS = ("fold", "cv_fold", "fold_id")
ACCURACIES = (
    "test_accuracy", "test_acc", "accuracy_test", "acc_test", "test_top1", "test_acc1",
    "final_test_accuracy", "final_test_acc", "accuracy", "acc", "top1", "acc1", "val_accuracy",
    "val_acc", "validation_accuracy", "valid_acc", "eval_accuracy", "eval_acc", "val_top1",
)  # fmt: skip
DATASETS = ("dataset", "data", "data_set", "dataset_name")
MODELS = ("model", "network", "arch", "architecture", "backbone", "net", "model_name")
BATCH_SIZES = ("batch_size", "batchsize", "bs", "train_batch_size", "batch")
STATUSES = ("status", "state", "run_status")
EPOCHS = ("epoch", "epoch_number", "current_epoch", "global_step", "step", "iteration")

IDENTITIES = ("run_id", "id", "trial", "run_name", "name", "mlflow_runname")  # of a run

# What a tracker puts before the name of a parameter or a metric.
PREFIXES = re.compile(r"^(configs?|params?|metrics?|summary|hparams|args|tags|attributes)[._/]+")
PERCENT = re.compile(r"(_percent|_pct|_percentage|\s*\(%\)|\s*\[%\]|\s*%)$")

# What a run's status may be called; a run that did not end is as one that failed.
WORDS: dict[str, Status] = {
    **dict.fromkeys(("finished", "completed", "complete", "success", "succeeded", "done", "ok"),
                    "finished"),
    **dict.fromkeys(("failed", "crashed", "killed", "error", "running", "preempted", "stopped",
                     "scheduled", "pending"), "failed"),
    "diverged": "diverged",
    "collapsed": "collapsed",
}  # fmt: skip

OPTIONS = {FACTORS: "--factor", SEEDS: "--seed-column", ACCURACIES: "--accuracy-column"}
LINES = (".jsonl", ".ndjson")
SHOWN = 12  # columns that an error names


@dataclass(frozen=True)
class Columns:
    """The names of columns that a user gives, as the file has them; None: by the usual names."""

    factor: str | None = None
    seed: str | None = None
    accuracy: str | None = None
    setting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of a table, or a line; `where` says which one."""

    where: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Source:
    """A file, or a folder of files: the names of its columns, and its rows.

    `wide`: the names of the columns that are epochs, where every row is a run. `lines`: whether the
    rows are lines of JSON, some of which may measure nothing.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    wide: tuple[str, ...] = ()
    lines: bool = False


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


@dataclass(frozen=True)
class Meaning:
    """Which column of a source means what; None where there is none."""

    factor: str
    seed: str | None
    fold: str | None
    accuracy: str | None
    dataset: str | None
    model: str | None
    batch_size: str | None
    status: str | None
    epoch: str | None
    identity: str | None
    setting: tuple[str, ...]


def read_results(paths: Sequence[Path], columns: Columns) -> Read:
    """Read all files; raises `UsageError`, in one line, for whatever cannot be understood."""
    runs: list[Run] = []
    notes: list[str] = []
    caveats: list[str] = []
    factors, folds, paired = [], set[str](), True
    for path in paths:
        source = _source(path)
        meaning = _meaning(source, columns)
        own, said, doubts = _runs(source, meaning)
        runs += own
        notes += said
        caveats += doubts
        factors.append(meaning.factor)
        paired = paired and (meaning.seed or meaning.fold) is not None
        if meaning.fold:
            folds |= {_number_name(row.cells[meaning.fold]) for row in source.rows}
    _check_once(runs, paired)
    return Read(
        _plain(factors[0]),
        tuple(runs),
        len(folds) if len(folds) > 1 else 0,
        paired,
        tuple(dict.fromkeys(notes)),
        tuple(dict.fromkeys(caveats)),
    )


# -- files to rows ---------------------------------------------------------------------------------


def _source(path: Path) -> Source:
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
        if len(own) == 1 and _plain(name) not in measured
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


# -- columns to meanings ---------------------------------------------------------------------------


def _plain(name: str) -> str:
    """``test_accuracy`` for ``summary.Test Accuracy (%)``."""
    name = PERCENT.sub("", PREFIXES.sub("", name.strip().lower()))
    return re.sub(r"[^\w]+", "_", name).strip("_")


def _is_percent(name: str) -> bool:
    return bool(PERCENT.search(name.strip().lower()))


def _meaning(source: Source, asked: Columns) -> Meaning:
    taken = [name for name in (asked.factor, asked.seed, asked.accuracy, *asked.setting) if name]
    given = {name: _named(source, name) for name in taken}
    free = [column for column in source.columns if column not in given.values()]

    def usual(names: Sequence[str]) -> str | None:
        return _usual(source, free, names)

    fold = usual(FOLDS) if asked.seed is None else None
    factor = given.get(asked.factor or "") or usual(FACTORS)
    if factor is None:
        raise UsageError(_lacking(source, "what is compared", FACTORS, "--factor"))
    seed = given.get(asked.seed or "") or usual(SEEDS)
    if seed is None and fold is None:
        seed = _if_numbers(source, usual(NUMBERED))
    if asked.seed is not None and _plain(asked.seed) in FOLDS:
        seed, fold = None, given[asked.seed]
    accuracy = given.get(asked.accuracy or "") or usual(ACCURACIES)
    if accuracy is None and not source.wide:
        raise UsageError(_lacking(source, "test accuracy", ACCURACIES, "--accuracy-column"))
    return Meaning(
        factor=factor,
        seed=seed,
        fold=fold,
        accuracy=accuracy,
        dataset=usual(DATASETS),
        model=usual(MODELS),
        batch_size=usual(BATCH_SIZES),
        status=usual(STATUSES),
        epoch=usual(EPOCHS),
        identity=_usual(source, [c for c in free if c not in (factor, seed)], IDENTITIES),
        setting=tuple(given[name] for name in asked.setting),
    )


def _if_numbers(source: Source, column: str | None) -> str | None:
    """The column, if it numbers the runs; what is called so may hold the names of all of them."""
    numbered = column and all(_is_number(row.cells[column]) for row in source.rows)
    return column if numbered else None


def _named(source: Source, name: str) -> str:
    """The column of that name, in whatever case; raises `UsageError` if there is none."""
    for same in (str, str.lower, _plain):
        found = [column for column in source.columns if same(column) == same(name)]
        if len(found) == 1:
            return found[0]
    raise UsageError(f"{source.path} has no column {name!r}; {_columns_of(source)}")


def _usual(source: Source, free: Sequence[str], names: Sequence[str]) -> str | None:
    """The column with the first of these names; raises `UsageError` if two have it."""
    for name in names:
        found = [column for column in free if _plain(column) == name]
        if len(found) > 1 and len({_cells(source, column) for column in found}) > 1:
            raise UsageError(
                f"{source.path} has the columns {found[0]!r} and {found[1]!r}, which differ; say "
                f"which one counts with {OPTIONS.get(tuple(names), 'another name for one of them')}"
            )
        if found:
            return found[0]
    return None


def _cells(source: Source, column: str) -> tuple[str, ...]:
    return tuple(row.cells[column] for row in source.rows)


def _lacking(source: Source, what: str, names: Sequence[str], option: str) -> str:
    return (
        f"{source.path} has no column for {what} ({', '.join(names[:4])}, ...); "
        f"{_columns_of(source)}; name one of them with {option}"
    )


def _columns_of(source: Source) -> str:
    shown = ", ".join(source.columns[:SHOWN])
    more = len(source.columns) - SHOWN
    return f"its columns are {shown}{f' and {more} more' if more > 0 else ''}"


# -- rows to runs ----------------------------------------------------------------------------------


def _runs(source: Source, meaning: Meaning) -> tuple[list[Run], list[str], list[str]]:
    """The runs, how they were read, and what is doubtful about it."""
    percent, scale_notes = _accuracies(source, meaning)
    rows = [_run(row, meaning, percent.get(row.where)) for row in source.rows]
    notes, caveats = scale_notes, []
    name = source.path.name or str(source.path)
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
    kind = _plain(meaning.accuracy or "")
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
    level = _number_name(row.cells[meaning.factor])
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
            parts.append(_number_name(row.cells[column]))
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
    name = _number_name(row.cells[column])
    if not name.isascii() or not name.isdigit() or len(name) > 9:
        raise UsageError(
            f"{row.where}: the batch size {row.cells[column]!r} is no whole number; correct it, or "
            f"rename the column {column}"
        )
    return int(name)


def _epoch(row: Row, column: str | None) -> float | None:
    if column is None or not row.cells[column]:
        return None
    if not _is_number(row.cells[column]):
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
    name, largest = source.path.name or str(source.path), max(values.values())
    if signed and len(signed) < len(values):
        plain = next(where for where in values if where not in signed)
        raise UsageError(
            f"{plain}: the accuracy {written[plain]!r} has no percent sign, as others have; write "
            "all in percent, or none"
        )
    if largest <= 1 and not signed and not _is_percent(column):
        fractions = {where: round(100 * value, 9) for where, value in values.items()}
        return fractions, [f"{name}: accuracies from 0 to 1 were taken for fractions, and are "
                           "given in percent."]  # fmt: skip
    lowest = min(values, key=values.__getitem__)
    if values[lowest] < 1 and not signed and not _is_percent(column):
        return values, [
            f"{name}: accuracies were taken for percent, also {written[lowest]} "
            f"({lowest.removeprefix(f'{source.path}, ')}), as the highest is {largest:g}."
        ]
    return values, []


def _accuracy(where: str, text: str, column: str) -> float:
    bare = text.removesuffix("%").strip()
    if not _is_number(bare):
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


def _is_number(text: str) -> bool:
    """A finite number as files have them."""
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def _number_name(text: str) -> str:
    """``3`` for ``3.0``, as a column of whole numbers is written once it had a gap."""
    return str(int(float(text))) if re.fullmatch(r"\d{1,15}\.0+", text) else text


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
