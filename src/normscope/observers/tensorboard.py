"""TensorBoard: a folder of events for each trial, written without TensorFlow and without torch."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers.protocol import Report
from normscope.observers.tracker import (
    SUMMARY,
    Tracker,
    by_name,
    curves,
    ending,
    figures,
    final_accuracy,
    parameters,
    settings,
)

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

ENDED = "ended"  # a file beside the events of a trial: how it ended


class TensorBoard(Tracker):
    """A folder in `place` for each trial, which is begun anew when the trial is.

    TensorBoard's page HPARAMS has the parameters of trials and how they ended, its page TEXT what
    came of the experiment.
    """

    library = "tensorboard"

    def __init__(self, place: Path, experiment: str):
        from tensorboard.summary.writer import event_file_writer

        self.make_writer = event_file_writer.EventFileWriter
        self.place, self.look = place, f"tensorboard --logdir {quote(str(place))}"
        self.writers: dict[str, EventFileWriter] = {}
        place.mkdir(parents=True, exist_ok=True)

    def has(self, result: Result) -> bool:
        ended = self.place / result.trial.id / ENDED
        return ended.exists() and ended.read_text(encoding="utf-8") == result.status

    def begin(self, trial: Trial, at: float) -> int:
        self._open(trial.id)
        return 0

    def epoch(self, trial: Trial, record: EpochRecord, at: float) -> None:
        self._write(trial.id, _scalars(curves(record)), record.epoch, at)

    def end(self, result: Result, at: float) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        trial = result.trial
        self._write(trial.id, _scalars(final_accuracy(result)), trial.recipe.epochs, at)
        values = {**parameters(trial), **ending(result)}
        self._write(trial.id, [hparams_pb(values, trial.id, at)], 0, at)
        self.writers.pop(trial.id).close()
        (self.place / trial.id / ENDED).write_text(result.status, encoding="utf-8")

    def summarize(self, report: Report) -> None:
        at, step = report.page.stat().st_mtime, report.experiment.seeds
        asked = [f"- {name}: {value}" for name, value in settings(report.experiment).items()]
        texts = {
            "experiment": "\n".join(asked),
            "recommendation": report.recommendation,
            "summary": report.summary.read_text(encoding="utf-8"),
            "page": str(report.page.resolve()),
        }
        self._open(SUMMARY)
        self._write(SUMMARY, _texts(texts), step, at)
        for name, outcome in by_name(report.outcomes).items():
            numbers = {f"verdict/{name}/{what}": n for what, n in figures(outcome).items()}
            self._write(SUMMARY, _scalars(numbers), step, at)
            self._write(SUMMARY, _texts({f"verdict/{name}": outcome.verdict}), step, at)
        self.writers.pop(SUMMARY).close()

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()

    def _open(self, run: str) -> None:
        """Begin a run anew: events that are there from an earlier time would be shown as well."""
        folder = self.place / run
        if folder.exists():
            shutil.rmtree(folder)
        self.writers[run] = self.make_writer(str(folder))

    def _write(self, run: str, summaries: Iterable[Any], step: int, at: float) -> None:
        from tensorboard.compat.proto import event_pb2

        make_event = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue] - made at run time
        for summary in summaries:
            self.writers[run].add_event(make_event(wall_time=at, step=step, summary=summary))
        self.writers[run].flush()  # by itself it would wait for two minutes


def _scalars(numbers: Mapping[str, float]) -> list[Any]:
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    return [scalar_pb(tag, number) for tag, number in numbers.items()]


def _texts(texts: Mapping[str, str]) -> list[Any]:
    """Texts in Markdown."""
    from tensorboard.plugins.text.summary_v2 import text_pb

    return [text_pb(tag, text) for tag, text in texts.items()]
