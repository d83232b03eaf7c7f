"""Progress in a notebook: one display below the cell, which is updated in place."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TextIO

from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers.bars import MOST_BARS
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

Show = Callable[[str, str], None]  # takes what is to be seen, as HTML and as plain text
ENDINGS = 5  # of trials, the last ones: their results are in the comparison
EVERY_S = 0.2  # at most that often, since the members of a fleet end their epochs all at once


def is_of_a_notebook(stream: TextIO | None) -> bool:
    """Whether it is the standard output of a Jupyter kernel, which is no terminal."""
    return type(stream).__module__ == "ipykernel.iostream"


@dataclass(frozen=True)
class Bar:
    """How far something is: `done` of a `total`, and what is said of it."""

    name: str
    done: int
    total: int
    note: str

    def __str__(self) -> str:
        return "  ".join(filter(None, (self.name, self.note)))


class InNotebook(Observer):
    """Bars and lines in one display: the experiment, the trials that run, and what was said last.

    However long the training, a cell shows a few lines, where those of `PlainLines` are hundreds.
    """

    def __init__(self, check: Check = never, now: Now = time.monotonic, show: Show | None = None):
        self.check, self.now, self.clock = check, now, Clock([], now)
        self.show = show or InPlace()
        self.shown_at = float("-inf")
        self.files: Bar | None = None
        self.begun = ""
        self.trials_ended = 0
        self.running: dict[str, Bar] = {}
        self.endings: deque[str] = deque(maxlen=ENDINGS)
        self.standings: list[str] = []
        self.notices: list[str] = []

    def _update(self, at_once: bool = True) -> None:
        if at_once or self.now() - self.shown_at >= EVERY_S:
            self.shown_at = self.now()
            lines = self._lines()
            self.show(as_html(lines), "\n".join(visible(str(line)) for line in lines))

    def _lines(self) -> list[str | Bar]:
        """From what changes least to what changes most."""
        whole = [self._whole()] if self.clock.numbers else []
        files = [self.files] if self.files else []
        begun = [self.begun] if self.begun else []
        running = list(self.running.values())[:MOST_BARS]
        return [*self.notices, *files, *begun, *self.standings, *self.endings, *whole, *running]

    def _whole(self) -> Bar:
        total = len(self.clock.numbers)
        failed = f"{self.clock.failed} failed" if self.clock.failed else ""
        words = (f"{self.trials_ended}/{total} trials", failed, self.clock.left())
        return Bar("all", self.trials_ended, total, ", ".join(filter(None, words)))

    def downloaded(self, received: int, total: int) -> None:
        megabytes = f"{received / 1e6:.0f}/{total / 1e6:.0f} MB"
        self._show_files(Bar("downloading", received, total, megabytes))

    def images_read(self, count: int, total: int) -> None:
        self._show_files(Bar("reading images", count, total, f"{count:,}/{total:,} images"))

    def _show_files(self, bar: Bar) -> None:
        ended = bar.done >= bar.total
        self.files = None if ended else bar
        self._update(at_once=ended)

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        self.clock, self.trials_ended = Clock(todo, self.now), 0
        self.begun = beginning(todo, stored, how)
        self._update()

    def trial_started(self, trial: Trial) -> None:
        self.clock.begun(trial)
        self._stands(trial, 0, "")
        self._update()

    def _stands(self, trial: Trial, epoch: int, note: str) -> None:
        epochs = trial.recipe.epochs
        words = ", ".join(filter(None, (f"{epoch}/{epochs} epochs", note)))
        self.running[trial.id] = Bar(self.clock.name(trial), epoch, epochs, words)

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        self.clock.ended(trial, record)
        self._stands(trial, record.epoch, f"test {record.test_accuracy_percent:.1f} %")
        # The members of a fleet end their epochs one right after the other: the last one is shown.
        self._update(at_once=all(bar.done >= record.epoch for bar in self.running.values()))
        self.check()

    def trial_retried(self, trial: Trial, reason: str) -> None:
        self.clock.retried(trial)
        self._stands(trial, 0, "")
        self.endings.append(retrying(self.clock.name(trial), reason))
        self._update()

    def trial_ended(self, result: Result) -> None:
        self.clock.trial_ended(result)
        self._ended(result, ending(self.clock.name(result.trial), result))

    def trial_found(self, result: Result) -> None:
        self.clock.trial_found(result)
        self._ended(result, ending_elsewhere(self.clock.name(result.trial), result))

    def _ended(self, result: Result, words: str) -> None:
        self.running.pop(result.trial.id, None)
        self.trials_ended += 1
        self.endings.append(words)
        self._update()

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        self.standings = standing(seeds, verdicts)
        self._update()

    def noticed(self, sentence: str) -> None:
        self.notices.append(sentence)
        self._update()

    def sequence_ended(self, sentence: str) -> None:
        self.noticed(sentence)


def as_html(lines: Sequence[str | Bar]) -> str:
    """The lines below each other, in the notebook's own colours; all text is escaped."""
    return f'<div style="line-height:1.5">{"".join(map(_line, lines))}</div>'


def _line(line: str | Bar) -> str:
    text = f'<span style="white-space:pre-wrap">{escape(visible(str(line)))}</span>'
    if isinstance(line, Bar):
        bar = f'<progress value="{line.done}" max="{max(line.total, 1)}"'
        text = f'{bar} style="width:10em;margin-right:.8em"></progress>{text}'
    return f"<div>{text}</div>"


class InPlace:
    """Shows all that it is given in one display, of the cell that runs when it is first called."""

    def __init__(self):
        self.handle: Any = None

    def __call__(self, html: str, plain: str) -> None:
        forms = {"text/html": html, "text/plain": plain}
        if self.handle is not None:
            self.handle.update(forms, raw=True)
            return
        from IPython.display import display  # which is there, since a kernel runs

        self.handle = display(forms, raw=True, display_id=True)
