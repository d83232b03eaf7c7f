"""Time an epoch of the published loop (benchmarks/reference.py) with its best settings.

The loop starts its loader workers anew for the training and for the test of every epoch. That start
would dominate a run of a few batches, so it is counted once and only the batches are scaled up.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks import reference
from benchmarks.images import BATCH, MAX_LR, TEST, TRAIN, images

SETTLED_BATCHES = 6  # batches of a short run that are timed after those loaded in advance


@dataclass(frozen=True)
class Setting:
    """What a user of the published loop can choose."""

    threads: int
    loader_workers: int

    def __str__(self) -> str:
        return f"threads {self.threads}, loader workers {self.loader_workers}"


def candidates(cores: int) -> list[Setting]:
    """All cores or half of them for the network; 0, 1 or 2 loader workers, or one per core."""
    return [
        Setting(threads, workers)
        for threads in sorted({max(1, cores // 2), cores})
        for workers in sorted({0, 1, 2, cores})
    ]


def published_epoch(norm: str, setting: Setting, whole: bool) -> float:
    """Seconds of an epoch, training and test, estimated from a few batches unless `whole`."""
    ahead = batches_ahead(setting)
    few = ahead + max(SETTLED_BATCHES, ahead)
    train, test = run_epoch(norm, setting, None if whole else few)
    in_training, in_test = (math.ceil(count / BATCH) for count in (TRAIN, TEST))
    return seconds_of_pass(train, in_training, ahead) + seconds_of_pass(test, in_test, ahead)


def batches_ahead(setting: Setting) -> int:
    """How many batches are loaded before the first one is used: two by each loader worker."""
    return 2 * setting.loader_workers


def run_epoch(norm: str, setting: Setting, most: int | None) -> tuple[list[float], list[float]]:
    """Train and test a new network on at most `most` batches each; return the marks of each."""
    torch.set_num_threads(setting.threads)
    train, test = (Marked(batches) for batches in loaders(setting.loader_workers, most))
    reference.train(reference.make_model(norm), train, test, MAX_LR, epochs=1)
    return train.marks, test.marks


@cache
def loaders(workers: int, most: int | None) -> tuple[DataLoader, DataLoader]:
    """Training and test batches, at most `most` of each."""
    limit = TRAIN if most is None else most * BATCH
    return reference.loaders(images(min(TRAIN, limit), min(TEST, limit)), BATCH, workers)


class Marked:
    """Batches that record when a pass begins, when each batch has been used, and when it ends."""

    def __init__(self, batches: reference.Batches):
        self.batches = batches
        self.marks: list[float] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        self.marks = [time.perf_counter()]
        for batch in self.batches:
            yield batch
            self.marks.append(time.perf_counter())
        self.marks.append(time.perf_counter())  # the loader workers have ended


def seconds_of_pass(marks: Sequence[float], batches: int, ahead: int) -> float:
    """Seconds of a pass of `batches` batches, from the `marks` of a pass of at most that many.

    A batch that was not run counts as much as the mean batch after the first `ahead` ones, which
    were loaded in advance. A complete pass counts as measured.
    """
    seconds = marks[-1] - marks[0]
    done = len(marks) - 2
    if done >= batches:
        return seconds
    return seconds + (batches - done) * (marks[done] - marks[ahead]) / (done - ahead)
