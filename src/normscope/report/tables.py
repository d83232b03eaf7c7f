"""The CSV files: one row per trial and epoch, and one row per trial."""

from typing import Any

import pandas as pd

from normscope.analysis import Analysis, metric_columns
from normscope.config import EpochRecord, Result
from normscope.summaries import TrialSummary

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
    metrics = metric_columns(analysis.level_percent)
    rows = [
        _trial_row(result, trial, metrics)
        for result, trial in zip(analysis.all_results, analysis.all_trials, strict=True)
    ]
    columns = [*_KEYS, "status", *metrics.values(), "epochs", "max_lr", "train_limit", "test_limit"]
    table = pd.DataFrame(
        rows, columns=pd.Index([*columns, "started", "seconds", "device", "error"])
    )
    whole = ["largest_drop_epoch", "train_limit", "test_limit"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _trial_row(result: Result, trial: TrialSummary, metrics: dict[str, str]) -> dict[str, Any]:
    return {
        **_keys(result),
        "status": result.status,
        **{column: getattr(trial.metrics, name, None) for name, column in metrics.items()},
        "epochs": result.trial.recipe.epochs,
        "max_lr": result.trial.recipe.max_lr,
        "train_limit": result.trial.train_limit,
        "test_limit": result.trial.test_limit,
        "started": result.started,
        "seconds": result.seconds,
        "device": result.environment.device,
        "error": last_line(result),
    }


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
