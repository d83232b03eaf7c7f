"""MLflow: a run for each trial, in the experiment's folder or wherever MLFLOW_TRACKING_URI says."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers.protocol import Report
from normscope.observers.tracker import (
    SUMMARY,
    Tracker,
    Value,
    by_name,
    curves,
    ending,
    figures,
    final_accuracy,
    parameters,
    settings,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

TAG = "normscope.trial"  # of a run: the id of its trial
STATUS = "normscope.status"

# What holds unless the user says otherwise. MLflow reads these when it is imported, and by itself
# tells its makers of its use, and waits for a server that is gone for minutes.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MLflow(Tracker):
    """Runs in the MLflow experiment of that name, each with its trial's id as a tag.

    Where MLflow is told of no server, a database in `place` holds them, and files beside it.
    """

    library = "mlflow"

    def __init__(self, place: Path, experiment: str):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import get_tracking_uri, is_tracking_uri_set
        from mlflow.tracking import MlflowClient

        artifacts = None
        if is_tracking_uri_set():
            uri = self.look = get_tracking_uri()
        else:
            place.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{place.resolve() / 'mlflow.db'}"
            artifacts = (place / "artifacts").resolve().as_uri()
            self.look = f"mlflow ui --backend-store-uri {quote(uri)} (needs the package mlflow)"
        self.client = MlflowClient(uri)
        found = self.client.get_experiment_by_name(experiment)
        self.experiment = (
            found.experiment_id if found else self.client.create_experiment(experiment, artifacts)
        )
        if found and found.lifecycle_stage == "deleted":  # on MLflow's page; it takes no runs then
            self.client.restore_experiment(self.experiment)
        self.runs: dict[str, str] = {}  # MLflow's ids of those that are open, by the trial's

    def has(self, result: Result) -> bool:
        run = self._find(result.trial.id)
        return run is not None and run.data.tags.get(STATUS) == result.status

    def begin(self, trial: Trial, at: float) -> int:
        run = self._find(trial.id)
        if run is None:
            self._create(trial.id, at, parameters(trial))
            return 0
        self.runs[trial.id] = run.info.run_id
        self.client.update_run(run.info.run_id, "RUNNING")
        epochs = self.client.get_metric_history(run.info.run_id, "test_accuracy_percent")
        return max((each.step for each in epochs), default=0)

    def epoch(self, trial: Trial, record: EpochRecord, at: float) -> None:
        self._measure(trial.id, curves(record), record.epoch, at)

    def end(self, result: Result, at: float) -> None:
        trial = result.trial
        self._measure(trial.id, final_accuracy(result), trial.recipe.epochs, at)
        run = self.runs.pop(trial.id)
        told = ending(result)
        self.client.set_tag(run, "normscope.reason", told["reason"])
        self.client.set_tag(run, STATUS, told["status"])
        # A trial that diverged or collapsed is an outcome of its norm: that did not go wrong.
        status = "FAILED" if result.status == "failed" else "FINISHED"
        self.client.set_terminated(run, status, _milliseconds(at))

    def summarize(self, report: Report) -> None:
        at, seeds = report.page.stat().st_mtime, report.experiment.seeds
        if (earlier := self._find(SUMMARY)) is not None:
            self.client.delete_run(earlier.info.run_id)
        run = self._create(SUMMARY, at, settings(report.experiment))
        self.client.set_tag(run, "mlflow.note.content", report.recommendation)
        for name, outcome in by_name(report.outcomes).items():
            key = f"verdict/{_allowed(name)}"
            self.client.set_tag(run, key, outcome.verdict)
            numbers = {f"{key}/{what}": number for what, number in figures(outcome).items()}
            self._measure(SUMMARY, numbers, seeds, at)
        for path in (report.page, report.summary):
            self.client.log_artifact(run, str(path))
        self.client.set_terminated(self.runs.pop(SUMMARY), "FINISHED", _milliseconds(at))

    def close(self) -> None:
        for run in self.runs.values():
            self.client.set_terminated(run, "KILLED")

    def _find(self, trial_id: str) -> "Run | None":
        found = self.client.search_runs(
            [self.experiment], f"tags.`{TAG}` = '{trial_id}'", max_results=1
        )
        return found[0] if found else None

    def _create(self, trial_id: str, at: float, values: Mapping[str, Value]) -> str:
        from mlflow.entities import Param

        tags = {TAG: trial_id}
        run = self.client.create_run(self.experiment, _milliseconds(at), tags, trial_id)
        self.runs[trial_id] = run.info.run_id
        params = [Param(name, str(value)) for name, value in values.items()]
        self.client.log_batch(run.info.run_id, params=params)
        return run.info.run_id

    def _measure(self, trial_id: str, numbers: Mapping[str, float], step: int, at: float) -> None:
        from mlflow.entities import Metric

        time = _milliseconds(at)
        metrics = [Metric(name, number, time, step) for name, number in numbers.items()]
        self.client.log_batch(self.runs[trial_id], metrics)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _allowed(name: str) -> str:
    """A name in which every sign may be part of a key of MLflow's: ``gn:groups-2``."""
    return re.sub(r"[^\w.:/ -]", "-", name)
