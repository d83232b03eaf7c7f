"""The columns of a table of results -> what they mean, by their names and nothing else.

Trackers put words before a name (``config.norm``, ``metrics.test_accuracy``), and people spell one
in many ways: `plain` makes them alike.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from normscope.errors import UsageError

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


OPTIONS = {FACTORS: "--factor", SEEDS: "--seed-column", ACCURACIES: "--accuracy-column"}
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


def plain(name: str) -> str:
    """``test_accuracy`` for ``summary.Test Accuracy (%)``."""
    name = PERCENT.sub("", PREFIXES.sub("", name.strip().lower()))
    return re.sub(r"[^\w]+", "_", name).strip("_")


def is_percent(name: str) -> bool:
    return bool(PERCENT.search(name.strip().lower()))


def meaning_of(source: Source, asked: Columns) -> Meaning:
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
    if asked.seed is not None and plain(asked.seed) in FOLDS:
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
    numbered = column and all(is_number(row.cells[column]) for row in source.rows)
    return column if numbered else None


def _named(source: Source, name: str) -> str:
    """The column of that name, in whatever case; raises `UsageError` if there is none."""
    for same in (str, str.lower, plain):
        found = [column for column in source.columns if same(column) == same(name)]
        if len(found) == 1:
            return found[0]
    raise UsageError(f"{source.path} has no column {name!r}; {_columns_of(source)}")


def _usual(source: Source, free: Sequence[str], names: Sequence[str]) -> str | None:
    """The column with the first of these names; raises `UsageError` if two have it."""
    for name in names:
        found = [column for column in free if plain(column) == name]
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


def is_number(text: str) -> bool:
    """A finite number as files have them."""
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def number_name(text: str) -> str:
    """``3`` for ``3.0``, as a column of whole numbers is written once it had a gap."""
    return str(int(float(text))) if re.fullmatch(r"\d{1,15}\.0+", text) else text
