"""How far an experiment is, for whoever asks from beside it."""

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import mean

from normscope.analysis.answers import standing
from normscope.analysis.verdicts import is_sequential
from normscope.errors import UsageError
from normscope.experiment import GUESSING, Result, Trial
from normscope.experiment.progress import Progress
from normscope.experiment.tuning import tuning_plan
from normscope.files import is_there
from normscope.store import Store
from normscope.store.progress import read_progress
from normscope.study.rounds import standing_verdicts, trials_wanted
from normscope.study.stored import results_stored, search_results, trials_planned

SILENT_S = 60  # a process that said nothing for so long has ended


@dataclass(frozen=True)
class NormStatus:
    """The trials of one norm at one batch size; their accuracy so far is a mean over `finished`."""

    norm: str
    batch_size: int
    planned: int
    finished: int
    guessing: int
    failed: int
    test_accuracy_percent: float | None


@dataclass(frozen=True)
class ExperimentStatus:
    """How far an experiment is.

    `processes` is what those processes say that train into the folder now.
    `tuning`: trials of the search for learning rates that have ended, and `searching` those that it
    still needs; the trials that it leads to are not planned before. `seconds_missing`: how long
    the missing trials would take one after the other, by those that are there; None without any.
    `verdicts` stand after the whole blocks so far, in a sequential design; a fixed one has none
    until all of its trials are there. `beginning`: between the making of the folder and the
    description of the images, which takes a moment; then nothing is known of the verdicts.
    """

    folder: Path
    norms: tuple[NormStatus, ...]
    tuning: int
    searching: int
    sequential: bool
    seconds_missing: float | None
    verdicts: tuple[str, ...]
    processes: tuple[Progress, ...]
    beginning: bool = False

    @property
    def alive(self) -> bool:
        """Whether anything trains into the folder."""
        return bool(self.processes)

    @property
    def seconds_left(self) -> float | None:
        """The time left of the round, if those that train share it; None if one cannot say."""
        each = [process.seconds_left for process in self.processes if process.running]
        if None in each or not each:
            return None
        return 1 / sum(1 / max(seconds, 0.001) for seconds in each if seconds is not None)

    @property
    def planned(self) -> int:
        return sum(norm.planned for norm in self.norms)

    @property
    def ended(self) -> int:
        """Trials with an outcome: finished, diverged or collapsed."""
        return sum(norm.finished + norm.guessing for norm in self.norms)

    @property
    def failed(self) -> int:
        return sum(norm.failed for norm in self.norms)

    @property
    def missing(self) -> int:
        """Trials without a record."""
        return self.planned - self.ended - self.failed

    @property
    def state(self) -> str:
        """One of "just being begun", "training", "complete" and "stopped"."""
        if self.beginning:
            return "just being begun"
        if self.alive:
            return "training"
        return "stopped" if self.missing or self.failed or self.searching else "complete"


def status(folder: Path) -> list[ExperimentStatus]:
    """Of the experiment in a folder, or of those in its folders, as a suite has them.

    Raises `UsageError` if there is none, `RunError` if a folder is damaged.
    """
    inside = sorted(folder.iterdir()) if folder.is_dir() and not Store.exists(folder) else []
    folders = [each for each in inside if Store.exists(each)] or [folder]
    if not Store.exists(folders[0]):
        raise UsageError(f"{folder} holds no normscope experiment")
    return [_status(each) for each in folders]


def _status(folder: Path) -> ExperimentStatus:
    store = Store(folder)
    stored = {result.trial.id: result for result in store.records()}
    design, planned = store.requests[-1].design, trials_planned(store)
    beginning = not stored and not is_there(store.files.dataset)
    if not beginning:
        wanted = {trial.id for trial in trials_wanted(store, design)}
        planned = [t for t in planned if t.id in wanted or t.id in stored]
    searched = search_results(store)
    tuned = store.experiment.protocol == "tuned"
    due = store.missing(tuning_plan(store.experiment, searched)) if tuned else []
    by_norm: dict[tuple[str, int], list[Trial]] = {}
    for trial in planned:
        by_norm.setdefault((trial.norm, trial.recipe.batch_size), []).append(trial)
    sequential = is_sequential(store.requests)
    verdicts = ()
    if sequential and not beginning:
        results = results_stored(store)
        several = len(store.experiment.batch_sizes) > 1
        verdicts = tuple(standing(v, several) for v in standing_verdicts(store, design, results))
    return ExperimentStatus(
        folder=folder,
        norms=tuple(_of_norm(*key, trials, stored) for key, trials in by_norm.items()),
        tuning=sum(result.status != "failed" for result in searched),
        searching=len(due),
        sequential=sequential,
        seconds_missing=_seconds_missing(planned, stored),
        verdicts=verdicts,
        processes=tuple(each for each in read_progress(folder) if is_alive(each)),
        beginning=beginning,
    )


def _of_norm(
    norm: str, batch_size: int, trials: Sequence[Trial], stored: dict[str, Result]
) -> NormStatus:
    results = [stored[trial.id] for trial in trials if trial.id in stored]
    statuses = [result.status for result in results]
    reached = [r.history[-1].test_accuracy_percent for r in results if r.status == "finished"]
    return NormStatus(
        norm,
        batch_size,
        planned=len(trials),
        finished=len(reached),
        guessing=sum(status in GUESSING for status in statuses),
        failed=statuses.count("failed"),
        test_accuracy_percent=mean(reached) if reached else None,
    )


def _seconds_missing(planned: Sequence[Trial], stored: dict[str, Result]) -> float | None:
    """By the mean of a norm's trials that finished, or of all where it has none."""
    times: dict[str, list[float]] = {}
    for trial in planned:
        result = stored.get(trial.id)
        if result is not None and result.status == "finished":
            times.setdefault(trial.norm, []).append(result.seconds)
    if not times:
        return None
    of_all = mean(seconds for each in times.values() for seconds in each)
    missing = [trial for trial in planned if trial.id not in stored]
    return math.fsum(mean(times.get(trial.norm, [of_all])) for trial in missing)


def is_alive(progress: Progress) -> bool:
    """Whether the process that said this still trains: it is there, and said so not long ago.

    Its number alone says little, since numbers are given again.
    """
    if progress.state != "training" or seconds_since(progress.updated) > SILENT_S:
        return False
    if progress.host != platform.node():
        return True
    try:
        os.kill(progress.process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def seconds_since(iso: str) -> float:
    """Seconds since a date, by this machine's clock."""
    return (datetime.now(timezone.utc) - datetime.fromisoformat(iso)).total_seconds()
