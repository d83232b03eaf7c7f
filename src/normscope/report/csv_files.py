"""The CSV files: one row per trial and epoch, and one row per trial."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from normscope.analysis import Analysis
from normscope.analysis.summaries import TrialMetrics, TrialSummary
from normscope.experiment import EpochRecord, Result

_KEYS = ["trial", "dataset", "model", "norm", "batch_size", "seed"]


def epochs_table(analysis: Analysis) -> pd.DataFrame:
    """Tidy: a row per trial and epoch; the columns after `epoch` are metrics with their units."""
    rows = [
        {**_keys(result), **record.model_dump()}
        for result in analysis.all_results
        for record in result.history
    ]
    return pd.DataFrame(rows, columns=pd.Index([*_KEYS, *EpochRecord.model_fields]))


def trials_table(analysis: Analysis) -> pd.DataFrame:
    """A row per trial that was run, whatever became of it."""
    rows = [
        _trial_row(result, trial, analysis.levels_percent)
        for result, trial in zip(analysis.all_results, analysis.all_trials, strict=True)
    ]
    metrics = _metrics(None, analysis.levels_percent)
    columns = [*_KEYS, "status", *metrics, "epochs", "max_lr", "train_limit", "test_limit"]
    table = pd.DataFrame(
        rows, columns=pd.Index([*columns, "started", "seconds", "device", "error"])
    )
    whole = ["largest_drop_epoch", "train_limit", "test_limit"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _trial_row(
    result: Result, trial: TrialSummary, levels_percent: Sequence[float]
) -> dict[str, Any]:
    return {
        **_keys(result),
        "status": result.status,
        **_metrics(trial.metrics, levels_percent),
        "epochs": result.trial.recipe.epochs,
        "max_lr": result.trial.recipe.max_lr,
        "train_limit": result.trial.train_limit,
        "test_limit": result.trial.test_limit,
        "started": result.started,
        "seconds": result.seconds,
        "device": result.environment.device,
        "error": last_line(result),
    }


def _metrics(metrics: TrialMetrics | None, levels_percent: Sequence[float]) -> dict[str, Any]:
    """A trial's numbers by column, with one for each level; all None if it did not finish."""
    row: dict[str, Any] = {}
    for field in fields(TrialMetrics):
        value = getattr(metrics, field.name, None)
        if field.name == "epochs_to_levels":
            reached = value or [None] * len(levels_percent)
            names = [f"epochs_to_{level:g}_percent" for level in levels_percent]
            row |= dict(zip(names, reached, strict=True))
        else:
            row[field.name] = value
    return row


def last_line(result: Result) -> str:
    """Why a trial did not finish, in one line; empty if it did."""
    lines = (result.error or "").strip().splitlines()
    return lines[-1] if lines else ""


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
