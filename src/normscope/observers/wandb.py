"""W&B: a run for each trial, in a group for each experiment; offline where WANDB_MODE says so."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

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
    from wandb import Run

# What holds unless the user says otherwise. By itself W&B reports errors to its makers, and at the
# end of a run waits without end for a server that is gone.
ENVIRONMENT = {"WANDB_ERROR_REPORTING": "false", "WANDB_FINISH_TIMEOUT": "10"}

RAISES = "finish_timeout_raises"
PROJECT = "normscope"  # unless WANDB_PROJECT names another

# Runs say what a trial is, and nothing of this machine and of what else it does.
QUIET: dict[str, Any] = {
    "console": "off",
    "silent": True,
    "disable_code": True,
    "disable_git": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class WeightsAndBiases(Tracker):
    """Runs in the group of that name, each with an id made of the group's and its trial's.

    Their files are in `place`, or in the folder ``wandb`` of WANDB_DIR. A file for each trial in
    `place` says how its run ended, since W&B cannot be asked offline.
    """

    library = "wandb"

    def __init__(self, place: Path, experiment: str):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import wandb

        self.wandb = wandb
        self.experiment, self.ended = experiment, place / "ended"
        self.folder = os.environ.get("WANDB_DIR", place.parent)  # of the folder `wandb`
        self.runs: dict[str, Run] = {}
        self.ended.mkdir(parents=True, exist_ok=True)
        run = self._open(SUMMARY)  # now, since it shows whether W&B takes any; for the report
        offline = f"wandb sync {quote(str(Path(self.folder, 'wandb')))}/offline-run-*"
        self.look = offline if run.offline else run.project_url or ""

    def has(self, result: Result) -> bool:
        ended = self.ended / result.trial.id
        return ended.exists() and ended.read_text(encoding="utf-8") == result.status

    def begin(self, trial: Trial, at: float) -> int:
        run = self._open(trial.id, parameters(trial))
        return max(0, run.starting_step - 1)  # the epoch is the step, where W&B counts from 0

    def epoch(self, trial: Trial, record: EpochRecord, at: float) -> None:
        self.runs[trial.id].log({"epoch": record.epoch, **curves(record)}, step=record.epoch)

    def end(self, result: Result, at: float) -> None:
        run = self.runs.pop(result.trial.id)
        run.summary.update({**ending(result), **final_accuracy(result)})
        # A trial that diverged or collapsed is an outcome of its norm: that did not go wrong.
        run.finish(exit_code=int(result.status == "failed"))
        (self.ended / result.trial.id).write_text(result.status, encoding="utf-8")

    def summarize(self, report: Report) -> None:
        run = self.runs.pop(SUMMARY)
        run.config.update(settings(report.experiment), allow_val_change=True)
        run.summary.update({"recommendation": report.recommendation})
        for name, outcome in by_name(report.outcomes).items():
            run.summary.update({name: {"verdict": outcome.verdict, **figures(outcome)}})
        artifact = self.wandb.Artifact(f"report-{_allowed(self.experiment)}", type="report")
        for path in (report.page, report.summary):
            artifact.add_file(str(path))
        run.log_artifact(artifact)
        run.finish()

    def close(self) -> None:
        for run in self.runs.values():
            run.finish(exit_code=1)

    def _settings(self) -> Any:
        """Where W&B can: a run that is not there in time raises, or it would count as there."""
        settings = self.wandb.Settings(**QUIET)
        if hasattr(settings, RAISES):
            setattr(settings, RAISES, True)
        return settings

    def _open(self, name: str, values: Mapping[str, Value] | None = None) -> "Run":
        self.runs[name] = self.wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=self.experiment,
            job_type="summary" if name == SUMMARY else "trial",
            id=_allowed(f"{self.experiment}-{name}"),
            name=name,
            config=dict(values or {}),
            dir=self.folder,
            resume="allow",
            reinit="create_new",  # trials run at the same time
            settings=self._settings(),
        )
        return self.runs[name]


def _allowed(name: str) -> str:
    """A name in which every sign may be part of a name of W&B's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
