"""Work in which some trials meet a fault; workers import it by name, so it imports little."""

import os
import pickle
import signal
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STEP = 2  # of a training, in which it meets its fault


@dataclass(frozen=True)
class Faulty:
    """Does a work, with the fault of each trial by its id: the name of a function here.

    The work is pickled, so that a worker that dies at once need not import torch for that. `notes`
    is a folder in which each try of a trial leaves a file.
    """

    work: bytes
    faults: Mapping[str, str]
    notes: Path

    @classmethod
    def of(cls, work, faults, notes):
        return cls(pickle.dumps(work), faults, notes)

    def __call__(self, trials, *, on_epoch):
        (trial,) = trials
        number = len(list(self.notes.glob(f"{trial.id}-*")))
        (self.notes / f"{trial.id}-{number}").touch()
        name = self.faults.get(trial.id)
        if name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        with FAULTS[name]() if name else nothing():
            work = pickle.loads(self.work)  # noqa: S301 - from the parent process
            return work(trials, on_epoch=on_epoch)


@contextmanager
def nothing():
    yield


@contextmanager
def objective_changed(change):
    """Within it, `change` makes another loss of that of a step."""
    from normscope.training.steps import Steps

    usual, taken = Steps._objective, []

    def objective(self, index):
        taken.append(index)
        loss = usual(self, index)
        return change(loss) if len(taken) == STEP else loss

    Steps._objective = objective
    try:
        yield
    finally:
        Steps._objective = usual


def not_a_number():
    return objective_changed(lambda loss: loss * float("nan"))


def out_of_memory():
    """More is asked of the system than there can be."""
    import torch

    return objective_changed(lambda loss: loss + torch.empty(2**52).sum())


def killed_midway():
    return objective_changed(lambda loss: os.kill(os.getpid(), signal.SIGKILL))


FAULTS = {each.__name__: each for each in (not_a_number, out_of_memory, killed_midway)}
