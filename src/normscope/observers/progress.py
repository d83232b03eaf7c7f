"""How far an experiment is, and what is said of it in one line."""

from collections.abc import Callable, Sequence

from normscope.experiment import EpochRecord, Result, Trial
from normscope.words import counted, duration, what_went_wrong

Now = Callable[[], float]  # seconds since some moment


class Clock:
    """How far an experiment is, in epochs, and when it will end."""

    def __init__(self, todo: list[Trial], now: Now):
        self.numbers = {trial.id: number for number, trial in enumerate(todo, start=1)}
        self.several_sizes = len({trial.recipe.batch_size for trial in todo}) > 1
        self.epochs = sum(trial.recipe.epochs for trial in todo)
        self._epochs_of: dict[str, int] = {}  # that a trial has behind it
        self.epochs_done = 0  # of all trials together
        self.epochs_trained = self.epochs_skipped = self.failed = 0
        self.now, self.started = now, now()
        self._last_told: dict[str, float] = {}  # when, of each trial
        self._first_told: dict[str, float] = {}
        # What passed before the first steps: workers start, and code is compiled, but once. It is
        # known with some trial's second epoch.
        several = any(trial.recipe.epochs > 1 for trial in todo)
        self.starting_s: float | None = None if several else 0.0

    def ended(self, trial: Trial, record: EpochRecord) -> None:
        """An epoch of a trial ended.

        One that took longer than there was time since the trial's last one is of an earlier try:
        it is told again as the trial goes on, and says nothing of the pace.
        """
        self._stands(trial, record.epoch)
        there_was = self.now() - self._last_told.get(trial.id, self.started)
        if 0.9 * (record.train_seconds + record.test_seconds) <= there_was:
            self.epochs_trained += 1
            self._learn_start(trial, there_was)
        self._last_told[trial.id] = self.now()

    def _learn_start(self, trial: Trial, seconds: float) -> None:
        """An epoch took so many seconds; the first of a trial took those of the start as well."""
        first = self._first_told.setdefault(trial.id, self.now())
        if self.starting_s is None and first < self.now():
            self.starting_s = max(0.0, first - self.started - seconds)

    def begun(self, trial: Trial) -> None:
        """A trial begins."""
        self._last_told[trial.id] = self.now()

    def retried(self, trial: Trial) -> None:
        """A trial begins anew, or goes on."""
        self._stands(trial, 0)
        self.begun(trial)

    def _stands(self, trial: Trial, epochs: int) -> None:
        self.epochs_done += epochs - self._epochs_of.get(trial.id, 0)
        self._epochs_of[trial.id] = epochs

    def left(self) -> str:
        """The time left in words; "" before some trial's second epoch."""
        seconds = self.seconds_left()
        return "" if seconds is None else f"{duration(seconds)} left"

    def seconds_left(self) -> float | None:
        """The time left, from the mean time of the epochs so far; None until that is known."""
        if not self.epochs_trained or self.starting_s is None:
            return None
        mean = (self.now() - self.started - self.starting_s) / self.epochs_trained
        remaining = self.epochs - self.epochs_done - self.epochs_skipped
        return max(0.0, mean * remaining)

    def name(self, trial: Trial) -> str:
        """``bn seed 0``, with the batch size where there are several, or the rate of a tuning."""
        size = f" batch {trial.recipe.batch_size}" if self.several_sizes else ""
        if trial.validation:
            return f"{trial.norm}{size} lr {trial.recipe.max_lr:g}, tuning"
        return f"{trial.norm}{size} seed {trial.seed}"

    def trial_ended(self, result: Result) -> None:
        """A trial ended, perhaps early: then the rest of its epochs will not come."""
        self.epochs_skipped += result.trial.recipe.epochs - len(result.history)
        self.starting_s = self.starting_s or 0.0
        self.failed += result.status == "failed"

    def trial_found(self, result: Result) -> None:
        """Another process trained a trial: none of its epochs will come."""
        self.epochs_skipped += result.trial.recipe.epochs
        self.failed += result.status == "failed"


def beginning(todo: list[Trial], stored: int, how: str) -> str:
    """What is to be run, and how, in one line."""
    noun = "tuning trial" if todo and todo[0].validation else "trial"
    line = f"{counted(len(todo), noun)} to run, {stored} stored"
    return f"{line}; {how}" if todo and how else line


def ending(name: str, result: Result) -> str:
    """How a trial ended, in one line."""
    if result.error is not None:
        return f"{name} {result.status}: {what_went_wrong(result.error)}"
    accuracy = result.history[-1].test_accuracy_percent
    return f"{name}: test {accuracy:.1f} % in {duration(result.seconds)}"


def ending_elsewhere(name: str, result: Result) -> str:
    """How a trial ended that another process trained, in one line."""
    return f"{ending(name, result)}, trained by another normscope"


def retrying(name: str, reason: str) -> str:
    """That a trial is tried again, in one line."""
    return f"{name}: {reason}; it is tried again"


def standing(seeds: int, verdicts: Sequence[str]) -> list[str]:
    """A line per comparison, the first one led by the number of seeds."""
    lead = f"after {counted(seeds, 'seed'):7}  "
    return [f"{lead if not i else ' ' * len(lead)}{verdict}" for i, verdict in enumerate(verdicts)]
