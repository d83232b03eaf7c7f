"""Progress as bars that move in place, for a terminal."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers.progress import (
    Clock,
    Now,
    beginning,
    ending,
    ending_elsewhere,
    retrying,
    standing,
)
from normscope.observers.protocol import Check, Observer, never
from normscope.words import visible

MOST_BARS = 40  # of trials that run; of more, those that have none get one as others end


class LiveBars(Observer):
    """Bars that move in place: files that come or are read, then the experiment and its trials."""

    def __init__(self, console: Console, check: Check = never, now: Now = time.monotonic):
        self.console = console
        self.check = check
        self.files: Progress | None = None
        self.files_task = TaskID(0)
        self.whole: TaskID | None = None
        self.running: dict[str, TaskID] = {}
        self.now, self.clock = now, Clock([], now)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),  # names are in it
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[note]}"),
            console=console,
        )

    def _say(self, line: str) -> None:
        self.console.print(visible(line, keep="\n"), highlight=False, markup=False)

    def downloaded(self, received: int, total: int) -> None:
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._show_files("downloading", columns, received, total)

    def images_read(self, count: int, total: int) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._show_files("reading images", columns, count, total)

    def _show_files(
        self, what: str, columns: Sequence[ProgressColumn], done: int, total: int
    ) -> None:
        if self.files is None:
            self.files = Progress(what, *columns, console=self.console)
            self.files_task = self.files.add_task("", total=total)
            self.files.start()
        self.files.update(self.files_task, completed=done)
        if done >= total:
            self.files.stop()
            self.files = None

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        self._say(beginning(todo, stored, how))
        self.clock = Clock(todo, self.now)
        if self.whole is not None:  # of the round before
            self.bars.remove_task(self.whole)
        self.whole = self.bars.add_task("all", total=len(todo), unit="trials", note="")
        if todo:
            self.bars.start()

    def trial_started(self, trial: Trial) -> None:
        self.clock.begun(trial)
        self._bar_of(trial)

    def _add_bar(self, trial: Trial) -> None:
        name = visible(self.clock.name(trial))
        epochs = trial.recipe.epochs
        self.running[trial.id] = self.bars.add_task(name, total=epochs, unit="epochs", note="")

    def _bar_of(self, trial: Trial) -> TaskID | None:
        """Its bar; None where so many others have one that there is no room."""
        if trial.id not in self.running and len(self.running) < MOST_BARS:
            self._add_bar(trial)
        return self.running.get(trial.id)

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        self.clock.ended(trial, record)
        accuracy = f"test {record.test_accuracy_percent:.1f} %"
        if (bar := self._bar_of(trial)) is not None:
            self.bars.update(bar, completed=record.epoch, note=accuracy)
        self._update_whole()
        self.check()

    def trial_retried(self, trial: Trial, reason: str) -> None:
        self.clock.retried(trial)
        if (bar := self._bar_of(trial)) is not None:
            self.bars.update(bar, completed=0, note="")
        self._say(retrying(self.clock.name(trial), reason))

    def _update_whole(self, advance: int = 0) -> None:
        if self.whole is not None:
            failed = f"{self.clock.failed} failed" if self.clock.failed else ""
            note = ", ".join(filter(None, (failed, self.clock.left())))
            self.bars.update(self.whole, advance=advance, note=note)

    def trial_ended(self, result: Result) -> None:
        self.clock.trial_ended(result)
        if (bar := self.running.pop(result.trial.id, None)) is not None:
            self.bars.remove_task(bar)
        self._update_whole(advance=1)
        self._say(ending(self.clock.name(result.trial), result))

    def trial_found(self, result: Result) -> None:
        self.clock.trial_found(result)
        self._update_whole(advance=1)
        self._say(ending_elsewhere(self.clock.name(result.trial), result))

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        for line in standing(seeds, verdicts):
            self._say(line)

    def noticed(self, sentence: str) -> None:
        self._say(sentence)

    def sequence_ended(self, sentence: str) -> None:
        self._say(sentence)

    def close(self) -> None:
        """Give the terminal back."""
        self.bars.stop()
        if self.files:
            self.files.stop()
