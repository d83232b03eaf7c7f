"""Several trials at once, each in a process of its own.

On a CPU, two trials of one thread each get more done than one trial of two threads, which wait for
each other after every layer; and another job on the machine slows them down by its share only.

A worker is a new Python (`normscope.children`) that runs `normscope.executors.worker`: pickled
messages go to its standard input and come from its standard output.

A worker that is ended from outside, as the system does for want of memory, is replaced, and its
trial is tried again; one whose trial ends it `TRIES` times is lost.
"""

import pickle
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from threading import Thread

from normscope import children
from normscope.executors.protocol import Executor, Take, Work, all_of, taken
from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers import Observer

# glibc keeps the memory of activations instead of giving it back to the system after every layer,
# and asks for it in huge pages: a tenth of the time of a step. Other C libraries ignore this.
ALLOCATOR = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8589934592"

TRIES = 3  # of a trial whose worker ends; it may have been another's memory that was lacking
GRACE_S = 3.5  # for workers that are asked to stop, to keep what they have


@dataclass(frozen=True)
class Lost:
    """A group without results, since its work raised: `reason` is the traceback."""

    reason: str


@dataclass(frozen=True)
class Ended(Lost):
    """A group without results, since its worker ended: `reason` says how."""


Message = tuple[Trial, EpochRecord] | list[Result] | Lost


class Processes(Executor):
    """Runs each trial in a process of its own; a process that is free gets the next trial."""

    def run(
        self, work: Work, trials: Sequence[Trial], observer: Observer, take: Take = all_of
    ) -> Generator[Result]:
        waiting, running = taken(([trial] for trial in trials), take), 0
        with closing(_Crew(work, self.threads)) as crew:
            for [trial] in islice(waiting, self.at_once):
                observer.trial_started(trial)
                crew.hire().start(trial)
                running += 1
            while running:
                worker, outcome = crew.next_outcome(observer)
                if isinstance(outcome, Lost):
                    yield self.when_lost(worker.trial, outcome.reason, worker.history)
                else:
                    yield from outcome
                running -= 1
                for [trial] in islice(waiting, 1):
                    observer.trial_started(trial)
                    (crew.hire() if worker.ended else worker).start(trial)
                    running += 1


class _Crew:
    """The worker processes of one run, and the queue of what they say."""

    def __init__(self, work: Work, threads: int):
        self.work = pickle.dumps(work, protocol=pickle.HIGHEST_PROTOCOL)
        self.threads = threads
        self.messages: SimpleQueue[tuple[_Worker, Message]] = SimpleQueue()
        self.workers: list[_Worker] = []

    def hire(self) -> "_Worker":
        self.workers.append(_Worker(self.work, self.threads, self.messages))
        return self.workers[-1]

    def next_outcome(self, observer: Observer) -> "tuple[_Worker, list[Result] | Lost]":
        """Wait until a group ends, and tell the observer of the epochs that end before.

        A trial whose worker ended is tried again, in another.
        """
        while True:
            worker, message = self.messages.get()
            if isinstance(message, tuple):
                trial, record = message
                worker.history.append(record)
                observer.epoch_ended(trial, record)
            elif not isinstance(message, Ended):
                return worker, message
            elif worker.tries == TRIES:
                return worker, Lost(f"{message.reason}, {TRIES} times in a row")
            else:
                observer.trial_retried(worker.trial, message.reason)
                self.hire().start(worker.trial, worker.tries + 1)

    def close(self) -> None:
        """End all workers; those in the midst of a trial may keep what they have."""
        at_work = [worker for worker in self.workers if worker.at_work]
        try:
            for worker in at_work:
                worker.process.terminate()
            deadline = time.monotonic() + GRACE_S
            for worker in at_work:
                with suppress(subprocess.TimeoutExpired):
                    worker.process.wait(max(0.0, deadline - time.monotonic()))
        finally:  # nor if there is a second signal
            for worker in self.workers:
                worker.stop()


class _Worker:
    """One process, and a thread per trial that passes on what it says."""

    def __init__(self, work: bytes, threads: int, messages: "SimpleQueue[tuple[_Worker, Message]]"):
        variables = {"GLIBC_TUNABLES": ALLOCATOR}
        self.process = children.start("normscope.executors.worker", threads, variables)
        self.unsent = work
        self.messages = messages
        self.trial: Trial
        self.tries: int
        self.history: list[EpochRecord] = []
        self.ended = self.at_work = False

    def start(self, trial: Trial, tries: int = 1) -> None:
        """Let it train a trial, for which this is so many tries."""
        self.trial, self.tries, self.history, self.at_work = trial, tries, [], True
        Thread(target=self._exchange, daemon=True).start()

    def _exchange(self) -> None:
        """Send the trial, the first time after the work; pass on what comes back."""
        to_worker, from_worker = children.streams(self.process)
        try:
            to_worker.write(self.unsent + pickle.dumps([self.trial]))
            to_worker.flush()
            self.unsent = b""
            while isinstance(message := pickle.load(from_worker), tuple):  # noqa: S301
                self.messages.put((self, message))
        except Exception as error:  # whatever cannot be read, nobody must wait for it for ever
            message, self.ended = self._why(error), True
        self.at_work = False
        self.messages.put((self, message))

    def _why(self, error: Exception) -> Lost:
        """Why there is no answer. A process whose answer cannot be read is ended."""
        if not isinstance(error, OSError | EOFError):  # it may have ended within its answer
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)
        if isinstance(error, OSError | EOFError) or self.process.poll() is not None:
            return Ended(f"the worker process ended with {_how(self.process.wait())}")
        self.process.kill()
        what = f"{type(error).__name__}: {error}"
        return Lost(f"the worker's answer could not be read ({what})")

    def stop(self) -> None:
        children.stop(self.process)


def _how(code: int) -> str:
    """What a process ended with; the system ends one by SIGKILL where memory runs out."""
    if code >= 0:
        return f"code {code}"
    name = signal.Signals(-code).name
    advice = "; if memory ran out, fewer --workers need less" if name == "SIGKILL" else ""
    return f"signal {-code} ({name}{advice})"
