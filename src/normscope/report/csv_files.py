"""The CSV files: one row per trial and epoch, and one row per trial."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from normscope.analysis import Analysis
from normscope.analysis.metrics import Metric
from normscope.analysis.summaries import TrialSummary
from normscope.experiment import EpochRecord, Result
from normscope.words import visible, what_went_wrong

FORMULAS = tuple("=+-@＝＋－＠")  # what a spreadsheet runs begins with one of them, wide or not

_KEYS = ["trial", "dataset", "model", "norm", "batch_size", "seed"]
_COLUMNS = [field.name for field in fields(EpochRecord)]  # the first is `epoch`
TRIALS_AT_ONCE = 1000  # whose rows are written together: of millions they would take gigabytes


def csv_file(table: pd.DataFrame) -> bytes:
    """The table as CSV in UTF-8, whose text is text for a spreadsheet too; numbers stay numbers."""
    text = {
        name: table[name].map({cell: _as_text(cell) for cell in table[name].unique()}.get)
        for name in table.select_dtypes(include="object").columns
    }
    head = [_as_text(name) for name in table.columns]
    return table.assign(**text).to_csv(index=False, header=head).encode()


def _as_text(cell: Any) -> Any:
    """``'=1+1`` for ``=1+1``, which a spreadsheet would run."""
    if not isinstance(cell, str):
        return cell
    cell = visible(cell)
    return f"'{cell}" if cell.startswith(FORMULAS) else cell


@dataclass(frozen=True)
class EpochRows:
    """Some of the rows for each trial and epoch: what to call the trial, and what was measured.

    `keys` and `epochs` are those of each trial, and how many it has; `measured` is of all of them,
    one after the other: float64, (rows, columns).
    """

    keys: list[list[Any]]
    epochs: list[int]
    measured: np.ndarray


def epoch_rows(analysis: Analysis) -> list[EpochRows]:
    """The rows of all trials, some trials at a time."""
    results = analysis.all_results
    starts = range(0, len(results), TRIALS_AT_ONCE)
    return [_epoch_rows(results[start : start + TRIALS_AT_ONCE]) for start in starts]


def _epoch_rows(results: Sequence[Result]) -> EpochRows:
    records = chain.from_iterable(result.history for result in results)
    numbers = chain.from_iterable(map(attrgetter(*_COLUMNS), records))
    return EpochRows(
        keys=[[_as_text(key) for key in _keys(result).values()] for result in results],
        epochs=[len(result.history) for result in results],
        measured=np.fromiter(numbers, np.float64).reshape(-1, len(_COLUMNS)),
    )


def epochs_head() -> bytes:
    """The first line of the table whose lines are `epochs_lines`."""
    return f"{','.join((*_KEYS, *_COLUMNS))}\n".encode()


def epochs_lines(rows: EpochRows) -> bytes:
    """Tidy: a row per trial and epoch; the columns after `epoch` are metrics with their units."""
    lines: list[str] = []
    for keys, (start, end) in zip(rows.keys, pairwise(np.cumsum([0, *rows.epochs])), strict=True):
        trial = io.StringIO()
        csv.writer(trial, lineterminator="").writerow(keys)
        head = trial.getvalue()
        for epoch, *own in rows.measured[start:end].tolist():
            lines.append(f"{head},{epoch:.0f},{','.join(map(repr, own))}\n")
    return "".join(lines).encode()


def trials_table(analysis: Analysis) -> pd.DataFrame:
    """A row per trial that was run, whatever became of it."""
    rows = [
        tuple(_trial_row(result, trial, analysis.metrics).values())
        for result, trial in zip(analysis.all_results, analysis.all_trials, strict=True)
    ]
    metrics = [metric.name for metric in analysis.metrics]
    columns = [*_KEYS, "status", *metrics, "epochs", "max_lr", "train_limit", "test_limit"]
    table = pd.DataFrame(
        rows, columns=pd.Index([*columns, "started", "seconds", "device", "error"])
    )
    whole = ["largest_drop_epoch", "train_limit", "test_limit"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _trial_row(result: Result, trial: TrialSummary, metrics: Sequence[Metric]) -> dict[str, Any]:
    """The metrics are None if the trial did not finish."""
    values = trial.metrics or dict.fromkeys(metric.name for metric in metrics)
    return {
        **_keys(result),
        "status": result.status,
        **values,
        "epochs": result.trial.recipe.epochs,
        "max_lr": result.trial.recipe.max_lr,
        "train_limit": result.trial.train_limit,
        "test_limit": result.trial.test_limit,
        "started": result.started,
        "seconds": result.seconds,
        "device": result.environment.device,
        "error": what_went_wrong(result.error),
    }


def _keys(result: Result) -> dict[str, Any]:
    trial = result.trial
    values = (
        trial.id,
        trial.dataset,
        trial.model,
        trial.norm,
        trial.recipe.batch_size,
        trial.seed,
    )
    return dict(zip(_KEYS, values, strict=True))
