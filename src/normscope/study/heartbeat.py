"""What another terminal may know of a training: written into its folder every few seconds."""

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from itertools import islice
from threading import Event, Lock, Thread

from normscope.errors import RunError
from normscope.experiment import EpochRecord, Result, Trial
from normscope.experiment.progress import Progress, Running
from normscope.observers import Observer, Several
from normscope.observers.progress import Clock
from normscope.store.folder import ProcessFolder
from normscope.store.progress import write_progress

EVERY_S = 2.0
TOLD = 100  # trials that run: those that began first


@contextmanager
def heartbeat(
    process: ProcessFolder, observer: Observer, every_s: float = EVERY_S
) -> Iterator[Observer]:
    """An observer that also keeps the progress in this process's folder, until this is left.

    That is done by a thread, since an epoch may last long. A disk that does not take it is no
    reason to stop: what matters is written elsewhere.
    """
    seen, over = _Seen(), Event()

    def beat() -> None:
        while not over.wait(every_s):
            _write(process, seen.progress())

    _write(process, seen.progress())
    thread = Thread(target=beat, daemon=True)
    thread.start()
    state = "ended"
    try:
        yield Several(observer, seen)
    except BaseException:
        state = "stopped"
        raise
    finally:
        over.set()
        thread.join()
        ended = {"state": state, "running": (), "running_more": 0}
        _write(process, seen.progress().model_copy(update=ended))


def _write(process: ProcessFolder, progress: Progress) -> None:
    with suppress(RunError):
        write_progress(process, progress)


def today() -> str:
    """The date and time, as ISO 8601 writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class _Seen(Observer):
    """Remembers where a training stands; asked by one thread, told by another."""

    def __init__(self):
        self.lock = Lock()
        self.clock = Clock([], time.monotonic)
        self.running: dict[str, Running] = {}
        self.values = Progress(
            process=os.getpid(), host=platform.node(), started=today(), updated=today()
        )

    def progress(self) -> Progress:
        """Where it stands now."""
        with self.lock:
            return self.values.model_copy(
                update={
                    "updated": today(),
                    "running": tuple(islice(self.running.values(), TOLD)),
                    "running_more": max(0, len(self.running) - TOLD),
                    "seconds_left": self.clock.seconds_left(),
                }
            )

    def _change(self, **values: object) -> None:
        self.values = self.values.model_copy(update=values)

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        with self.lock:
            self.clock = Clock(todo, time.monotonic)
            self._change(todo=len(todo), done=0, failed=0, how=how)

    def trial_started(self, trial: Trial) -> None:
        with self.lock:
            self.clock.begun(trial)
            self._run(trial, 0, None)

    def trial_retried(self, trial: Trial, reason: str) -> None:
        with self.lock:
            self.clock.retried(trial)
            self._run(trial, 0, None)

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        with self.lock:
            self.clock.ended(trial, record)
            self._run(trial, record.epoch, record.test_accuracy_percent)

    def trial_ended(self, result: Result) -> None:
        with self.lock:
            self.clock.trial_ended(result)
            self.running.pop(result.trial.id, None)
            self._change(done=self.values.done + 1, failed=self.clock.failed)

    def trial_found(self, result: Result) -> None:
        with self.lock:
            self.clock.trial_found(result)
            self._change(done=self.values.done + 1, failed=self.clock.failed)

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        with self.lock:
            self._change(verdicts=tuple(verdicts))

    def _run(self, trial: Trial, epoch: int, accuracy: float | None) -> None:
        self.running[trial.id] = Running(
            trial=trial.id,
            name=self.clock.name(trial),
            epoch=epoch,
            epochs=trial.recipe.epochs,
            test_accuracy_percent=accuracy,
        )
