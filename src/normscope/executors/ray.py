"""Trials as tasks of a Ray cluster, on one machine or on many; what a lost node took runs again.

Ray starts the workers, decides where a task runs, and takes data and messages to and fro. The work,
which holds the data set, is put into the cluster once; all workers of a node share one copy of it.
Nothing needs a disk that the nodes share: results come to this process, which alone stores them.

Ray can run a lost task again by itself, but does not say so, and does not count what want of memory
takes. So a group is submitted anew here, where its attempts are counted and told of.
"""

import logging
import os
import pickle
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from queue import SimpleQueue
from tempfile import TemporaryFile
from textwrap import shorten
from threading import Thread, current_thread, main_thread
from typing import IO, Any

from normscope.children import THREADS
from normscope.cores import available_cores
from normscope.errors import RunError, UsageError
from normscope.executors.fleets import fleets
from normscope.executors.processes import ALLOCATOR, Lost
from normscope.executors.protocol import Executor, Take, Work, all_of, taken
from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers import Observer

ATTEMPTS = 3  # of a group whose workers are lost; then its trials have failed
REASON = 300  # letters, at most, of what Ray says of why it did not start
REACHED_WITHIN_S = 5.0  # by itself Ray waits for minutes at an address where nothing is


@dataclass(frozen=True)
class OnRay:
    """Which cluster trials run on, and what each of them takes of it.

    `address`: "auto" for the cluster that this machine is a node of, HOST:PORT for the one with
    that head; without one, a Ray of this machine alone is started, and ended after the work.
    `cpus_per_trial`: cores, also fractions; a trial computes with as many threads, rounded down.
    `gpus_per_trial`: 0 for a CPU, or a share of a GPU, up to 1. Trials that share a GPU are trained
    as one network, and take the cores of one trial. Raises `UsageError` for other numbers.
    """

    address: str | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0

    def __post_init__(self):
        if self.cpus_per_trial <= 0:
            raise UsageError(
                f"a trial needs a part of a CPU at least, not {self.cpus_per_trial:g}; give "
                "--cpus-per-trial (cpus_per_trial) a number above 0"
            )
        if not 0 <= self.gpus_per_trial <= 1:
            raise UsageError(
                f"a trial runs on one GPU or a share of it, not on {self.gpus_per_trial:g}; give "
                "--gpus-per-trial (gpus_per_trial) a number from 0 to 1"
            )

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus_per_trial))

    @property
    def fleet(self) -> int:
        """How many trials share a GPU: three with 0.33, and six with 0.1667 too."""
        return int(1 / self.gpus_per_trial + 0.01) if self.gpus_per_trial else 1

    def gpus(self, trials: int) -> float:
        """The share of a GPU that so many trials take together."""
        return min(1.0, trials * self.gpus_per_trial)

    def room(self, nodes: Sequence["Node"]) -> int:
        """How many trials run at once on these nodes.

        Raises `UsageError` if none does, since Ray would wait for a larger node for ever.
        """
        tasks = [node.cpus / self.cpus_per_trial for node in nodes]
        if self.gpus_per_trial:
            gpus = self.gpus(self.fleet)
            tasks = [min(n, node.gpus / gpus) for n, node in zip(tasks, nodes, strict=True)]
        trials = self.fleet * sum(int(n) for n in tasks)
        if not trials:
            there = "; ".join(sorted({node.words for node in nodes})) or "none"
            raise UsageError(
                f"no node of the Ray cluster has room for {self.words} (there are: {there}); lower "
                "--cpus-per-trial or --gpus-per-trial, or add a node"
            )
        return trials

    @property
    def words(self) -> str:
        gpus = f" and {self.gpus_per_trial:g} GPU" if self.gpus_per_trial else ""
        return f"a trial with {self.cpus_per_trial:g} CPU{gpus}"


LOCAL = OnRay()


@dataclass(frozen=True)
class Node:
    """What a machine gives to a cluster."""

    cpus: float
    gpus: float

    @property
    def words(self) -> str:
        return f"{self.cpus:g} CPU, {self.gpus:g} GPU"


def nodes_of(address: str | None, here: Node) -> list[Node]:
    """The nodes of a cluster: of the one at `address`, or of that this program is connected to.

    Without either it is this machine, `here`. Raises `UsageError` as `connected` does.
    """
    if address is None and not _ray().is_initialized():
        return [here]
    with connected(address):
        alive = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
    return [Node(each.get("CPU", 0.0), each.get("GPU", 0.0)) for each in alive]


# -- the cluster -----------------------------------------------------------------------------------


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Within it this program is connected to the cluster at `address`, or to one that is started.

    A connection that it has already is used, whatever the address, and is kept. Raises `UsageError`
    if Ray is not installed, or there is no cluster at the address, and `RunError` if none starts.
    """
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    if address not in (None, "auto"):
        _check_reached(address)
    with _own_sigterm():
        _connect(address)
    # What Ray tells of lost nodes it prints, whatever is asked, also between lines of JSON.
    ray._private.worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray.shutdown()
        ray._private.worker._worker_logs_enabled = True


def _ray() -> Any:
    """The module. Raises `UsageError` if it is not installed."""
    if find_spec("ray") is None:
        raise UsageError('Ray is not installed; run: pip install "normscope[ray]"')
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # what is started here tells nobody
    import ray

    return ray


def _check_reached(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(
            f"{address!r} is no address of a Ray cluster; write auto, or HOST:PORT of its head"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _connect(address: str | None) -> None:
    ray = _ray()
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    told = ""
    try:
        if address is None:
            ray.init("local", num_cpus=available_cores(), include_dashboard=False, **quiet)
            return
        with _stderr_in_file() as file:
            try:
                ray.init(address, **quiet)
            finally:
                file.seek(0)
                told = file.read().decode(errors="replace")
    except Exception as error:  # Ray raises errors of all kinds, and bare ones
        ray.shutdown()  # what it has started so far
        raise _no_cluster(address, error, told) if address else _not_started(error) from error


@contextmanager
def _stderr_in_file() -> Iterator[IO[bytes]]:
    """Within it what this process writes to standard error goes to a file, past Python too.

    Where a token is wrong, only Ray's core says so: every second, whatever is asked of its logs.
    """
    with TemporaryFile() as file:
        if sys.__stderr__ is None:  # it is closed
            yield file
            return
        number = sys.__stderr__.fileno()
        before = os.dup(number)
        os.dup2(file.fileno(), number)
        try:
            yield file
        finally:
            os.dup2(before, number)
            os.close(before)


def _not_started(error: Exception) -> RunError:
    return RunError(
        f"Ray could not be started on this machine ({_in_short(error)}); it needs room in /dev/shm "
        "and in /tmp, or where RAY_TMPDIR says, and keeps its token in the home folder, or takes "
        "that of RAY_AUTH_TOKEN; --executor processes does without it"
    )


def _no_cluster(address: str, error: Exception, told: str = "") -> UsageError:
    """The last line of what Ray `told` besides is the reason for its error."""
    why = told.strip().rpartition("\n")[2].rpartition("] ")[2]
    reason = ": ".join(filter(None, (_in_short(error), why)))
    return UsageError(
        f"no Ray cluster could be joined at {address} ({reason}); start one with `ray start "
        "--head`, or make this machine a node of it with `ray start --address HOST:PORT`"
    )


def _in_short(error: Exception) -> str:
    """What an error says, in one line; Ray's may hold pages of its logs."""
    return shorten(str(error), REASON, placeholder=" ...") or type(error).__name__


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Put back the handler of SIGTERM that Ray replaces when it starts."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, before)


# -- the driver ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ray(Executor):
    """Runs each trial as a task of a cluster; on GPUs, those that share one as a task together."""

    cluster: OnRay = LOCAL

    def run(
        self, work: Work, trials: Sequence[Trial], observer: Observer, take: Take = all_of
    ) -> Generator[Result]:
        if not trials:
            return
        at_once = max(1, self.at_once // self._fleet)
        waiting = map(_Group, taken(fleets(trials, self._fleet), take))
        again = deque[_Group]()  # that lost their workers
        with connected(self.cluster.address), closing(_Tasks(work, self.cluster)) as tasks:

            def start_some() -> bool:
                while len(tasks.running) < at_once and (
                    group := again.popleft() if again else next(waiting, None)
                ):
                    tasks.start(group)
                return bool(tasks.running)

            while start_some():
                for group, message in tasks.messages():
                    if isinstance(message, Gone) and group.attempts < ATTEMPTS:
                        group.retried(message.what, observer)
                        again.append(group)
                    elif isinstance(message, Lost):
                        group.told(Started(), observer)  # it may not have come so far
                        for trial in group.trials:
                            yield self.when_lost(trial, group.why(message), group.history(trial))
                    elif isinstance(message, list):
                        yield from message
                    else:
                        group.told(message, observer)

    @property
    def _fleet(self) -> int:
        return min(self.cluster.fleet, self.at_once)


@dataclass(frozen=True)
class Gone(Lost):
    """A group without results because its worker is gone: `what` was lost, in a few words."""

    what: str


class Started:
    """A worker has begun with a group."""


Message = Started | tuple[Trial, EpochRecord] | list[Result] | Lost


@dataclass
class _Group:
    """Trials that are one task, how often it was submitted, and what its last attempt told."""

    trials: list[Trial]
    attempts: int = 0
    started: bool = False
    epochs: list[tuple[Trial, EpochRecord]] = field(default_factory=list)

    def told(self, message: Started | tuple[Trial, EpochRecord], observer: Observer) -> None:
        """Tell the observer; that the trials start, only once."""
        if isinstance(message, tuple):
            self.epochs.append(message)
            observer.epoch_ended(*message)
        elif not self.started:
            self.started = True
            for trial in self.trials:
                observer.trial_started(trial)

    def retried(self, what: str, observer: Observer) -> None:
        """Tell the observer that the trials begin anew; all their epochs are told again."""
        self.told(Started(), observer)  # it may not have come so far
        self.epochs.clear()
        for trial in self.trials:
            observer.trial_retried(trial, what)

    def history(self, trial: Trial) -> list[EpochRecord]:
        return [record for its, record in self.epochs if its == trial]

    def why(self, lost: Lost) -> str:
        if not isinstance(lost, Gone):
            return lost.reason
        return f"the worker was lost {self.attempts} times, the last time because:\n{lost.reason}"

    @property
    def words(self) -> str:
        more = f" with {len(self.trials) - 1} more" if len(self.trials) > 1 else ""
        return f"{self.trials[0].id}{more}"


class _Tasks:
    """The tasks of one run, and the cluster's copy of the work."""

    def __init__(self, work: Work, cluster: OnRay):
        self.ray = _ray()
        self.work = self.ray.put(work)
        self.cluster = cluster
        self.running: dict[Any, _Group] = {}  # by the generator of the task's messages

    def start(self, group: _Group) -> None:
        group.attempts += 1
        variables = {"GLIBC_TUNABLES": ALLOCATOR}
        variables.update(dict.fromkeys(THREADS, str(self.cluster.threads)))
        task = self.ray.remote(_messages).options(
            num_cpus=self.cluster.cpus_per_trial,
            num_gpus=round(self.cluster.gpus(len(group.trials)), 4),
            num_returns="streaming",
            max_retries=0,
            runtime_env={"env_vars": variables},
            name=group.words,
        )
        self.running[task.remote(self.work, group.trials)] = group

    def messages(self) -> Iterator[tuple[_Group, Message]]:
        """What the tasks tell next, of each that has something to tell; waits for one at least."""
        running = list(self.running)
        self.ray.wait(running)
        ready, _ = self.ray.wait(running, num_returns=len(running), timeout=0)
        for task in ready:
            group, message = self.running[task], self._message(task)
            if isinstance(message, list | Lost):
                del self.running[task]
            yield group, message

    def _message(self, task: Any) -> Message:
        errors = self.ray.exceptions
        try:
            message = self.ray.get(next(task))
        except errors.LocalRayletDiedError as error:
            raise RunError(
                "the Ray cluster is gone; the same command goes on when there is one again"
            ) from error
        except errors.OutOfMemoryError as error:
            return Gone(str(error), "its node ran out of memory, and its worker was ended")
        except errors.WorkerCrashedError as error:
            return Gone(str(error), "its worker was lost")
        except (errors.NodeDiedError, errors.ObjectLostError) as error:
            return Gone(str(error), "its node was lost")
        except errors.RayError as error:
            return Lost(str(error))
        if not isinstance(message, bytes):
            return message
        try:
            return pickle.loads(message)  # noqa: S301 - from a worker of the cluster
        except Exception as error:  # whatever cannot be read is the outcome of its group
            return Lost(f"the worker's answer could not be read ({type(error).__name__}: {error})")

    def close(self) -> None:
        for task in self.running:
            self.ray.cancel(task, force=True)


# -- the worker ------------------------------------------------------------------------------------


def _messages(work: Work, trials: list[Trial]) -> Iterator[Any]:
    """What a worker tells of a group: `Started`, its epochs, and its results, pickled, or `Lost`.

    The work is done in a thread, for it calls where this must yield.
    """
    yield Started()
    messages: SimpleQueue[Any] = SimpleQueue()

    def do() -> None:
        try:
            results = work(trials, on_epoch=lambda trial, record: messages.put((trial, record)))
            messages.put(pickle.dumps(results, protocol=pickle.HIGHEST_PROTOCOL))
        except BaseException:  # also what would end a program: somebody waits for an answer
            messages.put(Lost(traceback.format_exc()))

    Thread(target=do, daemon=True).start()
    while isinstance(message := messages.get(), tuple):
        yield message
    yield message
