"""The records of a folder's trials: read once, added whole, and set aside when they are damaged."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from normscope import cycles
from normscope.errors import RunError
from normscope.experiment import Predictions, Probes, Result, Summarise, Told, Trial
from normscope.files import (
    Broken,
    damage_named,
    discard,
    disk_errors,
    flush_folder,
    is_there,
    make_folder,
    put,
    unfinished_name,
    written,
)
from normscope.seals import seal_bytes
from normscope.store import many, records
from normscope.store.folder import ExperimentFolder, TrialFolder
from normscope.store.many import TrialReader, Truth, foreign
from normscope.store.reading import Reader
from normscope.store.records import Expected, Record

TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)  # what a name that is there says to a rename
NAMED = 3  # damaged trials that an error names


class Trials:
    """The trials in a folder, each read once, when they are first asked for.

    It learns of later ones by `add` alone. `truth` gives what predictions are held against, or None
    while no data set is described; `advice` says what helps against a disk that takes nothing.
    """

    def __init__(
        self,
        files: ExperimentFolder,
        reader: Reader,
        truth: Callable[[], Truth | None],
        advice: str,
    ):
        self.files, self.reader, self.truth, self.advice = files, reader, truth, advice
        self.read = TrialReader(files, reader)
        self._found: dict[str, Record] | None = None  # by id
        self._damage: dict[str, str] = {}  # by id, why

    # -- reading -----------------------------------------------------------------------------------

    def known(self) -> dict[str, Result]:
        """Every stored result by its id, without arrays; raises `RunError` if any is damaged."""
        found = self._records()
        self._refuse_damage()
        return {trial_id: record.result for trial_id, record in found.items()}

    def undamaged(self) -> dict[str, Result]:
        """The same, without those that are known to be damaged."""
        found = self._records()
        return {each: found[each].result for each in found if each not in self._damage}

    def summarised(self, results: Sequence[Result], summarise: Summarise) -> Iterator[Any]:
        """What `summarise` makes of the predictions of each of the stored results; None without.

        They are read anew each time. Raises `RunError` if any is damaged: after the last, to name
        all of them.
        """
        expected = [self._expected(result.trial.id) for result in results]
        summaries = many.summaries(self.read, expected, self.truth(), summarise)
        for result, (value, damage) in zip(results, summaries, strict=True):
            if damage:
                self._damage[result.trial.id] = damage
            yield value
        self._refuse_damage()

    def _expected(self, trial_id: str) -> Expected | None:
        """What its predictions must be; None if there are none, or its record is damaged."""
        try:
            return Expected.by(self._records()[trial_id])
        except Broken as error:
            self._damage[trial_id] = str(error)
            return None

    def may_come_from(self, truth: Truth, result: Result) -> bool:
        """Whether its predictions are as right as its history says; damaged ones say nothing."""
        predictions = result.predictions
        try:
            if predictions is None:
                predictions = self.checked(self._records()[result.trial.id], None)
        except Broken:
            return True
        try:
            if predictions is not None:
                records.check_truth(Told.by(result), predictions, *truth)
        except Broken:
            return False
        return True

    def damage(self, truth: Truth | None) -> dict[str, str]:
        """What is damaged, by id, with the reason: everything but weights and probes is read."""
        truth, found = truth or self.truth(), self._records()
        for trial_id in self.undamaged():
            try:
                self.checked(found[trial_id], truth)
            except Broken as error:
                self._damage[trial_id] = str(error)
        for trial_id in [*self._damage]:  # another process may just have put it in another's place
            self._examine_again(trial_id, truth)
        return dict(self._damage)

    def _examine_again(self, trial_id: str, truth: Truth | None) -> None:
        try:
            record = self.read.record(self.files.trial(trial_id))
            self.checked(record, truth)
        except Broken:
            return
        self._damage.pop(trial_id)
        self._records()[trial_id] = record

    def _records(self) -> dict[str, Record]:
        if self._found is None:
            self._found = {}
            folders = self.files.stored_trials()
            with cycles.not_searched_for():
                for folder, found in zip(folders, many.records_in(self.read, folders), strict=True):
                    if isinstance(found, Record):
                        self._found[folder.path.name] = found
                    else:
                        self._damage[folder.path.name] = found
        return self._found

    def are_current(self) -> bool:
        """Whether they are what the folder holds by now, probes included."""
        found = self._records()
        stored = {folder.path.name for folder in self.files.stored_trials()}
        failed = [each for each in found if found[each].result.status == "failed"]
        return (
            stored == {*found, *self._damage}
            and not self.look_again(failed)
            and all(is_there(self.files.trial(e).probes) == found[e].probed for e in found)
        )

    def look_again(self, trial_ids: Iterable[str]) -> list[Result]:
        """What is stored by now of trials that had no outcome when they were read, or had failed.

        What is damaged, or just being replaced, is passed over.
        """
        found, news = self._records(), []
        for trial_id in trial_ids:
            before, folder = found.get(trial_id), self.files.trial(trial_id)
            ended = before is not None and before.result.status != "failed"
            if ended or not is_there(folder.path):
                continue
            try:
                record = self.read.record(folder)
            except Broken:
                continue
            if before is None or record.result != before.result:
                self._forget(trial_id)
                found[trial_id] = record
                news.append(record.result)
        return news

    def record_in(self, folder: TrialFolder) -> Record:
        """The record in a folder; raises `Broken`, and what `files.read` raises."""
        return self.read.any_record(folder)

    def checked(self, record: Record, truth: Truth | None) -> Predictions | None:
        """The predictions of a record, if it has any; raises `Broken` if they do not fit it."""
        expected = Expected.by(record)
        return self.read.predictions(expected, truth) if expected else None

    def _refuse_damage(self) -> None:
        if not self._damage:
            return
        named = [f"{each} ({why})" for each, why in sorted(self._damage.items())[:NAMED]]
        more = len(self._damage) - len(named)
        also = f" and {more} more, which `normscope doctor` names" if more else ""
        number = "1 trial" if len(self._damage) == 1 else f"{len(self._damage)} trials"
        raise RunError(
            f"{number} in {self.files.trials} cannot be used, being damaged: {', '.join(named)}"
            f"{also}; run the experiment again: only damaged trials are repeated, and what is left "
            "of them is kept in damaged/"
        )

    def foreign(self, folder: Path) -> RunError:
        """The error that a folder among the trials holds what this experiment did not plan."""
        return foreign(TrialFolder(folder), self.files)

    # -- beside the records ------------------------------------------------------------------------

    def probes(self, trial_id: str) -> Probes | None:
        folder = self.files.trial(trial_id)
        with damage_named(folder.probes, "move it away; `normscope probe` takes probes again"):
            return records.read_probes(folder, self.reader)

    def probed(self) -> list[str]:
        """The ids of the trials that have a file of probes."""
        return [each for each, record in self._records().items() if record.probed]

    def damage_of_probes(self, trial_id: str) -> str:
        """Why the probes of a trial cannot be used; "" if they can, or were not taken."""
        try:
            records.read_probes(self.files.trial(trial_id), self.reader)
        except Broken as error:
            return str(error)
        return ""

    def has_weights(self, trial_id: str) -> bool:
        return is_there(self.files.trial(trial_id).weights)

    def weights(self, trial_id: str) -> dict[str, np.ndarray]:
        folder = self.files.trial(trial_id)
        advice = "move it away to go without it, or the whole folder of the trial to train it again"
        with damage_named(folder.weights, advice):
            return records.read_weights(self._records()[trial_id], folder, self.reader)

    def keep_probes(self, trial_id: str, probes: Probes) -> None:
        before, path = self.probes(trial_id), self.files.trial(trial_id).probes
        content = records.probes_bytes(before.merged_with(probes) if before else probes)
        with written(path, self.advice) as partial:
            put(partial, seal_bytes(content, self.files.name_of(path)))
        found = self._records()
        found[trial_id] = replace(found[trial_id], probed=True)

    # -- writing -----------------------------------------------------------------------------------

    def add(self, result: Result) -> None:
        """Write one record; a reader sees all of it or nothing.

        It takes the place of a failed try. Any other record that is there by then was written by
        another process, and stays.
        """
        found, trial_id = self._records(), result.trial.id
        folder = self.files.trial(trial_id)
        others: list[Record] = []

        def place(partial: Path, target: Path) -> None:
            others.extend(self._place(partial, target))

        with written(folder.path, self.advice, place) as partial:
            partial.mkdir()
            name_of_probes = self.files.name_of(folder.probes)
            record = records.write_record(result, TrialFolder(partial), name_of_probes)
        self._forget(trial_id)
        if others:
            found[trial_id] = others[0]
        else:
            found[trial_id] = record

    def _place(self, partial: Path, target: Path) -> list[Record]:
        """Give a new record its name; returns the record that has it, if that one stays."""
        while not _renamed(partial, target):
            try:
                there = self.read.record(TrialFolder(target))
            except Broken:
                self._move_to_damaged(target)
                continue
            if there.result.status != "failed":
                return [there]
            before = unfinished_name(target, "replaced")
            discard(before)  # of a process that had this one's number, and the target is there
            if not _renamed(target, before):
                continue
            try:
                placed = _renamed(partial, target)
            except OSError:
                before.rename(target)
                raise
            discard(before)
            if placed:
                break
        return []

    def set_aside(self, trial_id: str) -> Path:
        """Move a damaged trial out of the way; return the place where it is kept."""
        place = self._move_to_damaged(self.files.trial(trial_id).path)
        self._forget(trial_id)
        return place

    def _forget(self, trial_id: str) -> None:
        for known in (self._records(), self._damage):
            known.pop(trial_id, None)

    def set_probes_aside(self, trial_id: str) -> Path:
        found = self._records()
        found[trial_id] = replace(found[trial_id], probed=False)
        return self._move_to_damaged(self.files.trial(trial_id).probes, trial_id)

    def _move_to_damaged(self, path: Path, name: str = "") -> Path:
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
        place = self.files.damaged / f"{name or path.name}-{now}"
        if name:
            place = place / path.name
        with disk_errors(place, self.advice):
            make_folder(place.parent)
            _renamed(path, place)
            flush_folder(place.parent)
            flush_folder(path.parent)
        return place


def _renamed(partial: Path, target: Path) -> bool:
    """Rename a folder; whether it was there and the name free, with other processes about."""
    try:
        os.rename(partial, target)
    except OSError as error:
        if error.errno in TAKEN or not os.path.lexists(partial):
            return False
        raise
    return True


def ids(trials: Iterable[Trial]) -> list[str]:
    """The ids of some trials, each once."""
    return list(dict.fromkeys(trial.id for trial in trials))
