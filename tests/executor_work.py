"""What trials do in the tests of executors; workers import it by name."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
from report_fakes import make_experiment, make_labels, make_result

from normscope.experiment.plan import plan

EXPERIMENT = make_experiment(norms=("bn", "gn"), seeds=3, epochs=2)
TRIALS = plan(EXPERIMENT)


def work(trial, *, on_epoch, notes: Path, big: np.ndarray):
    """Two epochs and a result, with a note of the process that made it."""
    assert big.sum() == 10**6
    print("a library that prints must not disturb the messages")
    made = make_result(EXPERIMENT, trial, make_labels(20))
    for record in made.history:
        on_epoch(record)
    (notes / trial.id).write_text(f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}")
    return made


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)


def allocator(trial, *, on_epoch, notes: Path):
    (notes / "allocator").write_text(os.environ["GLIBC_TUNABLES"])
    return make_result(EXPERIMENT, trial, make_labels(20))


def troubled(trial, *, on_epoch, notes: Path, how: str):
    """The first trial of gn ends as `how` says; the others are done."""
    if (trial.norm, trial.seed) == ("gn", 0):
        on_epoch(make_result(EXPERIMENT, trial, make_labels(20)).history[0])
        if how == "raises":
            raise ZeroDivisionError("by 0")
        if how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return (lambda: 0) if "sent" in how else Unreadable()
    return work(trial, on_epoch=on_epoch, notes=notes, big=np.ones(10**6))


def endless(trial, *, on_epoch, notes: Path):
    (notes / trial.id).write_text(str(os.getpid()))
    made = make_result(EXPERIMENT, trial, make_labels(20))
    on_epoch(made.history[0])
    time.sleep(600)


def ordinary(notes):
    return partial(work, notes=notes, big=np.ones(10**6))
