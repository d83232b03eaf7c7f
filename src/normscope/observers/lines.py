"""What a user sees while an experiment runs: live bars in a terminal, plain lines elsewhere."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from normscope.config import EpochRecord, Result, Trial

Now = Callable[[], float]  # seconds since some moment
Check = Callable[[], None]  # raises if the user wants to stop


class Observer(Protocol):
    """Told what happens while an experiment runs."""

    def downloaded(self, received: int, total: int) -> None:
        """`received` of `total` bytes of the data set are here."""

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        """The trials to be run, how many more are stored already, and how they are run."""

    def trial_started(self, trial: Trial) -> None:
        """Several may run at once."""

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None: ...

    def trial_ended(self, result: Result) -> None: ...

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        """So many seeds are complete, and this is how the comparisons stand."""

    def sequence_ended(self, sentence: str) -> None:
        """Why no more seeds are added."""

    def close(self) -> None:
        """Nothing more will come, because the experiment ended or was stopped."""


def duration(seconds: float) -> str:
    """A time span in words: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def ctrl_c_noticed() -> Iterator[Check]:
    """Give a check that raises KeyboardInterrupt if Ctrl-C was pressed before.

    Python drops the exception of a signal that comes while it clears up an object; then the check
    raises it again. Only for the main thread.
    """
    pressed = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _never() -> None:
    """Nobody asks to stop."""


class _Clock:
    """How far an experiment is, in epochs, and when it will end."""

    def __init__(self, todo: list[Trial], now: Now):
        self.numbers = {trial.id: number for number, trial in enumerate(todo, start=1)}
        self.several_sizes = len({trial.recipe.batch_size for trial in todo}) > 1
        self.epochs = sum(trial.recipe.epochs for trial in todo)
        self.epochs_ended = self.epochs_skipped = 0
        self.now, self.started = now, now()

    def left(self) -> str:
        """The time left, from the mean time of the epochs so far; "" before the first."""
        if not self.epochs_ended:
            return ""
        mean = (self.now() - self.started) / self.epochs_ended
        remaining = self.epochs - self.epochs_ended - self.epochs_skipped
        return f"{duration(max(0.0, mean * remaining))} left"

    def name(self, trial: Trial) -> str:
        """``bn seed 0``, with the batch size where there are several, or the rate of a tuning."""
        size = f" batch {trial.recipe.batch_size}" if self.several_sizes else ""
        if trial.validation:
            return f"{trial.norm}{size} lr {trial.recipe.max_lr:g}, tuning"
        return f"{trial.norm}{size} seed {trial.seed}"

    def skip(self, result: Result) -> None:
        """Epochs that will not come, since the trial ended early."""
        self.epochs_skipped += result.trial.recipe.epochs - len(result.history)


def _beginning(todo: list[Trial], stored: int, how: str) -> str:
    what = "trial to run" if len(todo) == 1 else "trials to run"
    what = f"tuning {what}" if todo and todo[0].validation else what
    return f"{len(todo)} {what}, {stored} stored" + (f"; {how}" if todo and how else "")


def _ending(name: str, result: Result) -> str:
    """How a trial ended, in one line."""
    if result.error is not None:
        return f"{name} {result.status}: {result.error.strip().splitlines()[-1]}"
    accuracy = result.history[-1].test_accuracy_percent
    return f"{name}: test {accuracy:.1f} % in {duration(result.seconds)}"


def _standing(seeds: int, verdicts: Sequence[str]) -> list[str]:
    """A line per comparison, the first one led by the number of seeds."""
    lead = f"after {seeds} seed{'s' if seeds > 1 else ' '}  "
    return [f"{lead if not i else ' ' * len(lead)}{verdict}" for i, verdict in enumerate(verdicts)]


class PlainLines:
    """One line per epoch, for logs and notebooks, and every tenth of a download."""

    def __init__(
        self, stream: TextIO | None = None, check: Check = _never, now: Now = time.monotonic
    ):
        self.stream = stream or sys.stdout
        self.check = check
        self.tenths = 0
        self.now, self.clock = now, _Clock([], now)

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    def downloaded(self, received: int, total: int) -> None:
        tenths = 10 * received // total
        if tenths > self.tenths:
            self.tenths = tenths
            self._say(f"downloading: {10 * tenths} % of {total / 1e6:.0f} MB")

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        self.clock = _Clock(todo, self.now)
        self._say(_beginning(todo, stored, how))

    def trial_started(self, trial: Trial) -> None:
        """Its epochs will say so."""

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        self.clock.epochs_ended += 1
        self._say(
            f"trial {self.clock.numbers[trial.id]}/{len(self.clock.numbers)}  "
            f"{self.clock.name(trial)}  "
            f"epoch {record.epoch}/{trial.recipe.epochs}  "
            f"train {record.train_accuracy_percent:.1f} %  "
            f"test {record.test_accuracy_percent:.1f} %  "
            f"{record.train_seconds + record.test_seconds:.1f} s  {self.clock.left()}"
        )
        self.check()

    def trial_ended(self, result: Result) -> None:
        self.clock.skip(result)
        self._say(_ending(self.clock.name(result.trial), result))

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        for line in _standing(seeds, verdicts):
            self._say(line)

    def sequence_ended(self, sentence: str) -> None:
        self._say(sentence)

    def close(self) -> None:
        """Nothing to give back."""


class LiveBars:
    """Bars that move in place: a download, then the experiment and the trials that run."""

    def __init__(self, console: Console, check: Check = _never, now: Now = time.monotonic):
        self.console = console
        self.check = check
        self.download: Progress | None = None
        self.download_task = TaskID(0)
        self.whole: TaskID | None = None
        self.running: dict[str, TaskID] = {}
        self.now, self.clock = now, _Clock([], now)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[note]}"),
            console=console,
        )

    def downloaded(self, received: int, total: int) -> None:
        if self.download is None:
            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            self.download = Progress("downloading", *columns, console=self.console)
            self.download_task = self.download.add_task("", total=total)
            self.download.start()
        self.download.update(self.download_task, completed=received)
        if received >= total:
            self.download.stop()

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        self.console.print(_beginning(todo, stored, how), highlight=False)
        self.clock = _Clock(todo, self.now)
        if self.whole is not None:  # of the round before
            self.bars.remove_task(self.whole)
        self.whole = self.bars.add_task("all", total=len(todo), unit="trials", note="")
        if todo:
            self.bars.start()

    def trial_started(self, trial: Trial) -> None:
        name = self.clock.name(trial)
        epochs = trial.recipe.epochs
        self.running[trial.id] = self.bars.add_task(name, total=epochs, unit="epochs", note="")

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        self.clock.epochs_ended += 1
        accuracy = f"test {record.test_accuracy_percent:.1f} %"
        self.bars.update(self.running[trial.id], completed=record.epoch, note=accuracy)
        self._update_whole()
        self.check()

    def _update_whole(self, advance: int = 0) -> None:
        if self.whole is not None:
            self.bars.update(self.whole, advance=advance, note=self.clock.left())

    def trial_ended(self, result: Result) -> None:
        self.clock.skip(result)
        self.bars.remove_task(self.running.pop(result.trial.id))
        self._update_whole(advance=1)
        ending = _ending(self.clock.name(result.trial), result)
        self.console.print(ending, highlight=False, markup=False)

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        for line in _standing(seeds, verdicts):
            self.console.print(line, highlight=False, markup=False)

    def sequence_ended(self, sentence: str) -> None:
        self.console.print(sentence, highlight=False)

    def close(self) -> None:
        """Give the terminal back."""
        self.bars.stop()
        if self.download:
            self.download.stop()
