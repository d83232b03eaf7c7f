"""Many trials and many workers: what planning, reading, analysing and reporting take, and storing.

python -m benchmarks.scale --trials 1000,10000,100000
python -m benchmarks.scale --trials 900 --images 10000
python -m benchmarks.scale --workers 1000,10000

The records are made up, and written as the program writes them, but for the flushes. Each number
of trials is measured in a process of its own: seconds, those that its processor worked, and the
peak of memory after each phase. What grows faster than the number of trials shows in the last
column.

Workers are made up too: they have a message ready whenever they are asked, and are in the midst of
trials when it begins, so that what is measured is how many messages the process takes that tells
observers and stores results. It stores into a folder, as it would, flushes included. What Ray takes
to bring a message is not in it.
"""

import argparse
import io
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar
from unittest.mock import patch

NORMS = ("bn", "gn", "ln", "in", "rms", "frn", "ghost-bn", "brn", "dyt", "none")
BATCH_SIZES = (32, 64, 128, 256, 512)

Value = TypeVar("Value")


def main() -> None:
    """Make so many trials, and measure each phase."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", default="", help="how many, as in 1000,10000")
    parser.add_argument("--images", type=int, default=128, help="test images")
    parser.add_argument("--folder", type=Path, help="keep the folders here, and use what is there")
    parser.add_argument("--workers", default="", help="how many at once, as in 1000,10000")
    parser.add_argument("--stored", type=int, default=500, help="trials to store with workers")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        home = arguments.folder or Path(temporary)
        for count in _numbers(arguments.trials or ("" if arguments.workers else "1000,3000,10000")):
            show_trials(home / f"{count}-{arguments.images}", count, arguments.images)
        for count in _numbers(arguments.workers):
            with TemporaryDirectory() as folder:
                show_workers(Path(folder), count, arguments.stored)


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def show_trials(folder: Path, count: int, images: int) -> None:
    """A line for each phase, and one for all."""
    if not folder.exists():
        in_new_process("make", folder, count, images)
    phases = in_new_process("measure", folder, count, images)
    whole = sum(phase["seconds"] for phase in phases.values())
    worked = sum(phase["worked"] for phase in phases.values())
    for name, phase in phases.items():
        print(
            f"{count:>7,} trials  {name:8} {phase['seconds']:6.1f} s, worked "
            f"{phase['worked']:6.1f} s, {phase['peak_mib']:6,.0f} MiB"
        )
    print(
        f"{count:>7,} trials  all      {whole:6.1f} s, worked {worked:6.1f} s, "
        f"{1000 * worked / count:.2f} ms per trial",
        flush=True,
    )


def show_workers(folder: Path, workers: int, stored: int) -> None:
    """How many messages and trials a second the driver takes, and the workers that this feeds."""
    found = in_new_process("drive", folder, workers, stored)
    for unit in ("seconds", "worked"):
        messages, trials = (found[what] / found[unit] for what in ("messages", "trials"))
        feeds = ", ".join(f"{trials * length:,.0f} at {length} s" for length in (30, 60, 600))
        print(
            f"{workers:>6,} workers, by {unit}: {messages:,.0f} messages/s, {trials:,.1f} trials/s "
            f"stored: feeds, by the length of a trial, {feeds}",
            flush=True,
        )


def in_new_process(what: str, folder: Path, count: int, images: int) -> dict:
    """What a function of this module prints, as JSON."""
    code = f"from benchmarks.scale import *; print(json.dumps({what}(Path({str(folder)!r}), "
    code += f"{count}, {images})))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def experiment_of(count: int):
    """Ten norms at five batch sizes, in as many seeds as it takes."""
    from normscope.experiment import RECIPES, Experiment

    return Experiment(
        dataset="cifar10",
        norms=NORMS,
        seeds=count // (len(NORMS) * len(BATCH_SIZES)),
        batch_sizes=BATCH_SIZES,
        recipe=RECIPES["s8"],
    )


def make(folder: Path, count: int, images: int) -> None:
    """The folder of an experiment whose trials all finished."""
    sys.path.insert(0, "tests")
    from report_fakes import fitting, make_facts, make_labels, make_model, make_result

    from normscope.experiment import Request
    from normscope.experiment.plan import plan
    from normscope.store import Store, records
    from normscope.store.folder import TrialFolder

    experiment, labels = experiment_of(count), make_labels(images)
    request = Request(
        date="2026-01-01", command="x", norms=NORMS, seeds=experiment.seeds, results_before=0
    )
    store = Store.create(folder, experiment, request)
    store.describe(make_facts(test_size=images), labels, [make_model(norm) for norm in NORMS])
    for trial in plan(experiment):
        target = TrialFolder(folder / "trials" / trial.id)
        target.path.mkdir()
        result = make_result(experiment, trial.model_copy(update={"seed": trial.seed % 28}), labels)
        result = fitting(result.model_copy(update={"trial": trial}), labels)
        records.write_record(result, target, store.files.name_of(target.probes))


class Memory(Thread):
    """The most that this process and those that it started have held at once, in MiB.

    It looks ten times a second, on Linux. A page that several of them hold is counted for each.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.peak_mib = 0.0
        self.start()

    def run(self) -> None:
        while True:
            self.look()
            time.sleep(0.1)

    def look(self) -> None:
        pages = 0
        for process in self._processes():
            with suppress(OSError):  # it has just ended
                pages += int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
        self.peak_mib = max(self.peak_mib, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    def _processes(self) -> list[int]:
        found, own = [os.getpid()], self._command(os.getpid())
        for file in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
            with suppress(OSError):  # of a thread that has just ended
                children = map(int, file.read_text(encoding="ascii").split())
                # One that has only just been started still is a picture of this process.
                found += [child for child in children if self._command(child) != own]
        return found

    def _command(self, process: int) -> bytes:
        return Path(f"/proc/{process}/cmdline").read_bytes()


@dataclass
class Watch:
    """What each phase took."""

    phases: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    def time(self, name: str, phase: Callable[[], Value]) -> Value:
        started, worked = time.perf_counter(), time.process_time()
        value = phase()
        self.memory.look()
        self.phases[name] = {
            "seconds": time.perf_counter() - started,
            "worked": time.process_time() - worked,
            "peak_mib": self.memory.peak_mib,
        }
        return value


def measure(folder: Path, count: int, images: int) -> dict:
    """Seconds and peak of memory of each phase, by its name."""
    from normscope.experiment.plan import plan
    from normscope.store import Store
    from normscope.study.comparison import Comparison

    watch, store = Watch(), Store(folder)
    trials = watch.time("plan", lambda: plan(experiment_of(count)))
    watch.time("load", store.records)
    missing = watch.time("missing", partial(store.missing, trials))
    assert len(trials) == count
    assert not missing
    del trials  # a report does not hold them
    comparison = watch.time("analyse", lambda: Comparison.of(store))
    with TemporaryDirectory() as out:
        watch.time("report", lambda: comparison.report(out))
    return watch.phases


def drive(folder: Path, workers: int, stored: int) -> dict:
    """Store so many results of so many workers; how long that took, and the messages there were."""
    sys.path.insert(0, "tests")
    from report_fakes import fitting, make_facts, make_labels, make_model, make_result

    from normscope.executors.ray import Ray
    from normscope.experiment import Design, Request
    from normscope.experiment.plan import plan
    from normscope.observers import PlainLines
    from normscope.store import Store
    from normscope.study.heartbeat import heartbeat
    from normscope.study.rounds import Watch as Standing
    from normscope.study.sharing import Sharing
    from normscope.study.states import States

    experiment, labels = experiment_of(max(workers, 50) + stored), make_labels(128)
    request = Request(
        date="2026-01-01", command="x", norms=NORMS, seeds=experiment.seeds, results_before=0
    )
    store = Store.create(folder / "runs", experiment, request)
    store.describe(make_facts(test_size=128), labels, [make_model(norm) for norm in NORMS])
    trials = plan(experiment)
    example = fitting(make_result(experiment, trials[0], labels), labels)
    tasks = MadeUpTasks(lambda trial: example.model_copy(update={"trial": trial}), workers)
    executor = Ray(at_once=workers, threads=1, when_lost=lambda *_: example)
    states = States(store, 30.0)
    standing = Standing(store, Design(), PlainLines(io.StringIO()))
    with (
        patch("normscope.executors.ray._Tasks", lambda *_: tasks),
        patch("normscope.executors.ray.connected", lambda _: nullcontext()),
        Store.claims(store.folder) as claims,
        heartbeat(claims.own, PlainLines(io.StringIO())) as observer,
    ):
        observer.started(trials, 0, "")
        sharing = Sharing(store, claims, trials, observer, standing.added)
        started, worked = time.perf_counter(), time.process_time()
        for number, result in enumerate(
            executor.run(no_work, trials, observer, sharing.take), start=1
        ):
            store.add(result)
            sharing.stored(result)
            states.added(result)
            observer.trial_ended(result)
            standing.added(result)
            if number == stored:
                break
        return {
            "seconds": time.perf_counter() - started,
            "worked": time.process_time() - worked,
            "messages": tasks.told,
            "trials": stored,
        }


def no_work(trials: Any, *, on_epoch: Any) -> list[Any]:
    """What the made-up tasks do not do."""
    raise NotImplementedError


class MadeUpTasks:
    """In the place of the tasks of a cluster: each of them always has its next message ready.

    The first of them, one for each of so many workers, are at different places of their trials.
    """

    def __init__(self, result: Callable[[Any], Any], workers: int):
        self.result, self.workers, self.begun = result, workers, 0
        self.running, self.told = dict[int, Any](), 0
        self._next: dict[int, Iterator[Any]] = {}

    def start(self, group: Any) -> None:
        group.attempts += 1
        self.running[id(group)] = group
        behind = self.begun % group.trials[0].recipe.epochs if self.begun < self.workers else 0
        self._next[id(group)] = islice(self._messages(group), behind, None)
        self.begun += 1

    def _messages(self, group: Any) -> Iterator[Any]:
        from normscope.executors.ray import Started

        results = [self.result(trial) for trial in group.trials]
        yield Started()
        for trial, result in zip(group.trials, results, strict=True):
            yield from ((trial, record) for record in result.history)
        yield pickle.loads(pickle.dumps(results))  # noqa: S301 - as what a worker sends

    def messages(self) -> Iterator[tuple[Any, Any]]:
        for task, group in list(self.running.items()):
            message = next(self._next[task])
            self.told += 1
            if isinstance(message, list):
                del self.running[task], self._next[task]
            yield group, message

    def close(self) -> None:
        self.running.clear()


if __name__ == "__main__":
    main()
