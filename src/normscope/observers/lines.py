"""Progress as plain lines, for logs."""

import sys
import time
from collections.abc import Sequence
from typing import TextIO

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


class PlainLines(Observer):
    """One line per epoch, for logs, and every tenth of a download.

    The lines go to `stream`, else to standard output; nothing is said where that is closed.
    """

    def __init__(
        self, stream: TextIO | None = None, check: Check = never, now: Now = time.monotonic
    ):
        self.stream = stream or sys.stdout
        self.check = check
        self.tenths = 0
        self.now, self.clock = now, Clock([], now)

    def _say(self, line: str) -> None:
        print(visible(line, keep="\n"), file=self.stream, flush=True)

    def downloaded(self, received: int, total: int) -> None:
        self._say_tenth("downloading", received, total, f"{total / 1e6:.0f} MB")

    def images_read(self, count: int, total: int) -> None:
        self._say_tenth("reading", count, total, f"{total:,} images")

    def _say_tenth(self, what: str, done: int, total: int, whole: str) -> None:
        tenths = 10 * done // total
        if tenths > self.tenths:
            self._say(f"{what}: {10 * tenths} % of {whole}")
            self.tenths = tenths % 10  # at the end, ready for what comes next

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        self.clock = Clock(todo, self.now)
        self._say(beginning(todo, stored, how))

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        self.clock.ended(trial, record)
        self._say(
            f"trial {self.clock.numbers[trial.id]}/{len(self.clock.numbers)}  "
            f"{self.clock.name(trial)}  "
            f"epoch {record.epoch}/{trial.recipe.epochs}  "
            f"train {record.train_accuracy_percent:.1f} %  "
            f"test {record.test_accuracy_percent:.1f} %  "
            f"{record.train_seconds + record.test_seconds:.1f} s  {self.clock.left()}"
        )
        self.check()

    def trial_started(self, trial: Trial) -> None:
        self.clock.begun(trial)

    def trial_retried(self, trial: Trial, reason: str) -> None:
        self.clock.retried(trial)
        self._say(retrying(self.clock.name(trial), reason))

    def trial_ended(self, result: Result) -> None:
        self.clock.trial_ended(result)
        self._say(ending(self.clock.name(result.trial), result))

    def trial_found(self, result: Result) -> None:
        self.clock.trial_found(result)
        self._say(ending_elsewhere(self.clock.name(result.trial), result))

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        for line in standing(seeds, verdicts):
            self._say(line)

    def noticed(self, sentence: str) -> None:
        self._say(sentence)

    def sequence_ended(self, sentence: str) -> None:
        self._say(sentence)
