"""Several trials at once, each in a process of its own.

On a CPU, two trials of one thread each get more done than one trial of two threads, which wait for
each other after every layer; and another job on the machine slows them down by its share only.

A worker is a new Python that runs `normscope.executors.worker`, no fork and no `multiprocessing`:
it needs no ``if __name__ == "__main__"`` in the user's script, and starts with its own environment.
Pickled messages go to its standard input and come from its standard output.
"""

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from normscope.executors.protocol import Work
from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers import Observer

# glibc keeps the memory of activations instead of giving it back to the system after every layer,
# and asks for it in huge pages: a tenth of the time of a step. Other C libraries ignore this.
ALLOCATOR = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8589934592"


START = "from normscope.executors.worker import main; main()"


def available_cores() -> int:
    """The processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; it knows of limits that cpu_count does not
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Lost:
    """A trial without a result: its worker raised (`reason` is the traceback), or it ended."""

    trial: Trial
    reason: str
    worker_ended: bool = False


class Processes:
    """Runs `workers` trials at once with `threads` threads each.

    `when_lost` makes a result of a trial whose worker left none, from the trial, the reason and the
    epochs it was told of.
    """

    def __init__(
        self,
        workers: int,
        threads: int,
        when_lost: Callable[[Trial, str, list[EpochRecord]], Result],
    ):
        self.workers = workers
        self.threads = threads
        self.when_lost = when_lost

    def run(self, work: Work, trials: Sequence[Trial], observer: Observer) -> Generator[Result]:
        waiting, messages = deque(trials), SimpleQueue()
        payload = pickle.dumps(work, protocol=pickle.HIGHEST_PROTOCOL)
        workers: list[_Worker] = []

        def give_trial_to(worker: _Worker) -> None:
            observer.trial_started(waiting[0])
            worker.start(waiting.popleft())

        def new_worker() -> _Worker:
            workers.append(_Worker(payload, self.threads, messages))
            return workers[-1]

        try:
            for _ in range(min(self.workers, len(trials))):
                give_trial_to(new_worker())
            unfinished = len(trials)
            while unfinished:
                worker, message = messages.get()
                if isinstance(message, EpochRecord):
                    worker.history.append(message)
                    observer.epoch_ended(worker.trial, message)
                    continue
                unfinished -= 1
                if isinstance(message, Lost):
                    yield self.when_lost(worker.trial, message.reason, worker.history)
                    worker = new_worker() if message.worker_ended and waiting else worker
                else:
                    yield message
                if waiting:
                    give_trial_to(worker)
        finally:
            for worker in workers:
                worker.stop()


class _Worker:
    """One process, and a thread per trial that passes on what it says."""

    def __init__(self, payload: bytes, threads: int, messages: SimpleQueue):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        environment.setdefault("GLIBC_TUNABLES", ALLOCATOR)
        self.process = subprocess.Popen(
            # The parent's search path, so that both import the same and nothing else.
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {START}"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which then stops its workers
        )
        self.unsent = payload
        self.trial: Trial
        self.history: list[EpochRecord] = []
        self.messages = messages

    def start(self, trial: Trial) -> None:
        self.trial, self.history = trial, []
        Thread(target=self._exchange, daemon=True).start()

    def _exchange(self) -> None:
        """Send the trial, the first time after the work; pass on what comes back."""
        to_worker, from_worker = self.process.stdin, self.process.stdout
        assert to_worker is not None  # both are pipes
        assert from_worker is not None
        try:
            to_worker.write(self.unsent + pickle.dumps(self.trial))
            to_worker.flush()
            self.unsent = b""
            while isinstance(message := pickle.load(from_worker), EpochRecord):  # noqa: S301
                self.messages.put((self, message))
        except Exception as error:  # whatever cannot be read, nobody must wait for it for ever
            message = Lost(self.trial, self._why(error), worker_ended=True)
        self.messages.put((self, message))

    def _why(self, error: Exception) -> str:
        """Why there is no answer: the worker is gone, or it is ended for an answer of no sense."""
        if not isinstance(error, OSError | EOFError):
            self.process.kill()
            return f"the worker's answer could not be read ({type(error).__name__}: {error})"
        code = self.process.wait()
        why = f"signal {-code} (9: often for want of memory)" if code < 0 else f"code {code}"
        return f"the worker process ended with {why}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
