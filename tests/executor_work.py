"""What trials do in the tests of executors; workers import it by name, so it imports little."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np

from normscope import stopping
from normscope.experiment import RECIPES, Environment, EpochRecord, Experiment, Result
from normscope.experiment.plan import plan

EPOCHS = 2
RECIPE = RECIPES["s8"].model_copy(update={"epochs": EPOCHS})
TRIALS = plan(Experiment(dataset="cifar10", norms=("bn", "gn"), seeds=3, recipe=RECIPE))
MACHINE = Environment(
    normscope="0", python="3", torch="2", numpy="2", platform="here", processor="this one",
    device="cpu", threads=1, precision="float32",
)  # fmt: skip
PATIENCE_S = 60  # for what a test waits for; it is over long before


def made_result(trial, status="finished", history=(), error=None):
    return Result(
        trial=trial, status=status, history=tuple(history), error=error, environment=MACHINE,
        started="2026-01-01T00:00:00+00:00", seconds=1.0,
    )  # fmt: skip


def epoch(number):
    return EpochRecord(
        epoch=number, train_loss_nats=1.0, train_accuracy_percent=60.0, test_loss_nats=1.0,
        test_accuracy_percent=60.0, learning_rate=0.1, train_seconds=1.0, test_seconds=0.1,
    )  # fmt: skip


def work(trials, *, on_epoch, notes: Path, big: np.ndarray, told: int = 0):
    """The epochs of each trial and its result, with a note of the process that made it.

    `told`: so many epochs have been told already.
    """
    assert big.sum() == 10**6
    assert len({trial.model_copy(update={"seed": 0}) for trial in trials}) == 1
    print("a library that prints must not disturb the messages")
    history = [epoch(number + 1) for number in range(EPOCHS)]
    for record in history[told:]:
        for trial in trials:
            on_epoch(trial, record)
    for trial in trials:
        given = os.environ.get("OMP_NUM_THREADS"), os.environ.get("GLIBC_TUNABLES")
        (notes / trial.id).write_text(" ".join(map(str, (os.getpid(), *given))))
    return [made_result(trial, history=history) for trial in trials]


def ordinary(notes, told=0):
    return partial(work, notes=notes, big=np.ones(10**6), told=told)


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)


def troubled(trials, *, on_epoch, notes: Path, how: str):
    """The group of the first trial of gn ends as `how` says; the others are done."""
    if ("gn", 0) not in [(trial.norm, trial.seed) for trial in trials]:
        return ordinary(notes)(trials, on_epoch=on_epoch)
    if "at once" not in how:
        for trial in trials:
            on_epoch(trial, epoch(1))
    if how.startswith("raises"):
        raise ZeroDivisionError("by 0")
    if how.startswith("is killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "leaves":
        os._exit(7)
    return (lambda: 0) if "sent" in how else Unreadable()


def killed_at_first(trials, *, on_epoch, notes: Path):
    """The first try of each trial ends its process after an epoch; the second is done."""
    on_epoch(trials[0], epoch(1))
    note = notes / trials[0].id
    if not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    on_epoch(trials[0], epoch(2))
    return [made_result(trials[0], history=[epoch(1), epoch(2)])]


def stopped_late(trials, *, on_epoch, notes: Path):
    """An epoch, then it waits for a request to stop, which it takes its time to answer."""
    with stopping.postponed():
        on_epoch(trials[0], epoch(1))
        deadline = time.monotonic() + PATIENCE_S
        while not stopping.asked() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        try:
            stopping.answer()
        except stopping.Stopped as stop:
            (notes / "kept").write_text(str(stop.number))
            raise
    raise AssertionError("nobody asked it to stop")


def noting_its_score(trials, *, on_epoch):
    score = Path("/proc/self/oom_score_adj").read_text()
    return [made_result(trial, history=[epoch(1)], error=score) for trial in trials]


def killed(trials, *, on_epoch, notes: Path, times: int):
    """The first `times` workers that try the first trial of gn die in the midst of it."""
    on_epoch(trials[0], epoch(1))
    if ("gn", 0) in [(trial.norm, trial.seed) for trial in trials]:
        attempt = len(list(notes.glob("attempt*"))) + 1
        (notes / f"attempt{attempt}").touch()
        if attempt <= times:
            time.sleep(0.5)  # for what was told to arrive
            os.kill(os.getpid(), signal.SIGKILL)
    return ordinary(notes, told=1)(trials, on_epoch=on_epoch)


def held(trials, *, on_epoch, notes: Path, go: Path):
    """An epoch of each, and the rest when the file `go` is there."""
    on_epoch(trials[0], epoch(1))
    deadline = time.monotonic() + PATIENCE_S
    while not go.exists():
        assert time.monotonic() < deadline, "nobody said go"
        time.sleep(0.01)
    return ordinary(notes, told=1)(trials, on_epoch=on_epoch)


def waiting_at_the_last(trials, *, on_epoch, go: Path):
    """The group of the last trial ends when the file `go` is there; the others at once."""
    deadline = time.monotonic() + PATIENCE_S
    while TRIALS[-1] in trials and not go.exists():
        assert time.monotonic() < deadline, "nobody got a result of the others"
        time.sleep(0.01)
    return [made_result(trial, history=[epoch(1)]) for trial in trials]


def beating(trials, *, on_epoch, notes: Path, spared=None):
    """An epoch, and then a heart that beats on; the group of the trial that is spared ends."""
    (notes / trials[0].id).write_text(str(os.getpid()))
    on_epoch(trials[0], epoch(1))
    deadline = time.monotonic() + PATIENCE_S
    while spared not in trials and time.monotonic() < deadline:
        (notes / "heart").write_text(str(time.monotonic()))
        time.sleep(0.02)
    return [made_result(trial, history=[epoch(1)]) for trial in trials]


def computing(trials, *, on_epoch, notes: Path):
    """Notes the threads that torch says it uses, those it does use, and the cores they run on."""
    import torch

    started = len(os.listdir("/proc/self/task"))
    torch.ones(2**22).exp()
    used = 1 + len(os.listdir("/proc/self/task")) - started
    info = torch.__config__.parallel_info().splitlines()
    said = [line.split(":")[1].strip() for line in info if "get_max_threads" in line]
    values = [torch.get_num_threads(), *said, used]
    cores = len(os.sched_getaffinity(0))
    (notes / trials[0].id).write_text(f"{' '.join(map(str, values))} cores {cores}")
    return [made_result(trial, history=[epoch(1)]) for trial in trials]
