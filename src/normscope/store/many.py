"""Reading many trials: by several processes where that is worth their start."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from normscope import parallel
from normscope.errors import RunError
from normscope.experiment import Predictions, Summarise
from normscope.files import Broken
from normscope.store import records
from normscope.store.folder import ExperimentFolder, TrialFolder
from normscope.store.reading import Reader
from normscope.store.records import Expected, Record, SealedRecord

Truth = tuple[np.ndarray, int]  # the labels of the test images, and how many classes there are

MUCH = 2**25  # of what reading predictions costs: 4 s of one core
READING = 2500  # of this is a file of predictions, and 1 a logit
RECORD = 900  # and this a record with its seal
AT_ONCE = 2**19  # of this is read and summarised together: 4 MB of logits as float64

Item = TypeVar("Item")


@dataclass(frozen=True)
class TrialReader:
    """Reads the trials of a folder. It raises `Broken`, and what `files.read` raises."""

    files: ExperimentFolder
    reader: Reader

    def any_record(self, folder: TrialFolder) -> Record:
        """The record in a folder, of whatever trial."""
        return records.read_record(folder, self.reader)

    def record(self, folder: TrialFolder) -> Record:
        """The record in the folder of its trial; raises `RunError` if it is of another."""
        return self._of_its_trial(self.any_record(folder), folder)

    def sealed_record(self, folder: TrialFolder) -> SealedRecord:
        """The record in a folder before it is parsed, which `parsed` does."""
        return records.sealed_record(folder, self.reader)

    def parsed(self, sealed: SealedRecord, folder: TrialFolder) -> Record:
        """As `record`, from what was read of it."""
        return self._of_its_trial(records.record_of(sealed, self.reader), folder)

    def _of_its_trial(self, found: Record, folder: TrialFolder) -> Record:
        if found.result.trial.id != folder.path.name:
            raise foreign(folder, self.files)
        return found

    def predictions(self, expected: Expected, truth: Truth | None) -> Predictions:
        """The predictions that belong to a record, and fit the `truth` if it is known."""
        folder = self.files.trial(expected.told.trial_id)
        found = records.read_predictions(expected, folder, self.reader)
        if truth is not None:
            records.check_truth(expected.told, found, *truth)
        return found


def foreign(folder: TrialFolder, files: ExperimentFolder) -> RunError:
    """The error that a folder among the trials holds what this experiment did not plan."""
    return RunError(f"{folder.path} holds no trial of the experiment in {files.path}; move it away")


@dataclass(frozen=True)
class _Sealed:
    """The records in some folders before they are parsed, or why they are damaged."""

    read: TrialReader

    def __call__(self, folders: Sequence[TrialFolder]) -> list[SealedRecord | str]:
        return [self._found(folder) for folder in folders]

    def _found(self, folder: TrialFolder) -> SealedRecord | str:
        try:
            return self.read.sealed_record(folder)
        except Broken as error:
            return str(error)


def records_in(read: TrialReader, folders: Sequence[TrialFolder]) -> Iterator[Record | str]:
    """The record in the folder of each of the trials, or why it is damaged.

    Other processes read and check them, which takes longer than to parse what they send.
    """
    some = _cut(folders, AT_ONCE // RECORD)
    found = parallel.in_order(_Sealed(read), some, len(folders) * RECORD >= MUCH)
    for folder, sealed in zip(folders, chain.from_iterable(found), strict=True):
        try:
            yield sealed if isinstance(sealed, str) else read.parsed(sealed, folder)
        except Broken as error:
            yield str(error)


Summary = tuple[Any, str]  # what was made of predictions, or None; and why they are damaged, or ""


@dataclass(frozen=True)
class _Summaries:
    """What `summarise` makes of predictions, which are read from the folder."""

    read: TrialReader
    truth: Truth | None
    summarise: Summarise

    def __call__(self, expected: Sequence[Expected | None]) -> list[Summary]:
        found: list[Predictions | None] = []
        damage = [""] * len(expected)
        for place, each in enumerate(expected):
            predictions = None
            try:
                predictions = self.read.predictions(each, self.truth) if each else None
            except Broken as error:
                damage[place] = str(error)
            found.append(predictions)
        there = [
            (each.told, predictions)
            for each, predictions in zip(expected, found, strict=True)
            if each and predictions
        ]
        values = iter(self.summarise(*zip(*there, strict=True)) if there else ())
        made = [None if each is None else next(values) for each in found]
        return list(zip(made, damage, strict=True))


def summaries(
    read: TrialReader,
    expected: Sequence[Expected | None],
    truth: Truth | None,
    summarise: Summarise,
) -> Iterator[Summary]:
    """What `summarise` makes of each of the predictions; memory holds some of them."""
    images, classes = (len(truth[0]), truth[1]) if truth else (0, 0)
    cost = READING + images * classes
    some = _cut(expected, max(1, AT_ONCE // cost))
    work = _Summaries(read, truth, summarise)
    yield from chain.from_iterable(parallel.in_order(work, some, len(expected) * cost >= MUCH))


def _cut(items: Sequence[Item], length: int) -> Iterator[Sequence[Item]]:
    """The items, so many at a time."""
    return (items[start : start + length] for start in range(0, len(items), length))
