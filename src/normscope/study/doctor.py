"""What is wrong with an experiment's folder: everything in it is read, and nothing is changed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from normscope import own
from normscope.analysis.dropping import still_wanted
from normscope.errors import NormscopeError, RunError, UsageError
from normscope.experiment.heat_maps import METHODS
from normscope.experiment.tuning import planned_trials
from normscope.files import (
    UNFINISHED,
    Broken,
    Damaged,
    Unreadable,
    entries,
    is_there,
    user_path,
)
from normscope.report import PAGE, SUMMARY
from normscope.store import Store, records
from normscope.store.folder import ExperimentFolder, TrialFolder
from normscope.store.header import GONE
from normscope.store.many import Truth
from normscope.study.rounds import dropped_norms
from normscope.study.stored import possible_ids

State = Literal["damaged", "missing", "foreign", "left over", "unreadable"]

# What a report writes, which it can write again.
WRITTEN_AGAIN = {
    PAGE,
    SUMMARY,
    "results.csv",
    "trials.csv",
    "figures",
    "progress.json",
}  # the last is of an earlier version

AGAIN = "run the experiment again: it makes this file anew and keeps the trials"
TRIAL_AGAIN = "run the experiment again: it sets the trial aside in damaged/ and repeats it alone"
MOVE_AWAY = "move it away: normscope does not read it"


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file or folder, by its name in the experiment's folder."""

    path: str
    state: State
    reason: str
    advice: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found in a folder.

    `trials` are stored, and `without_record` were planned and have no record: they were not run
    yet, or their folder is gone, which cannot be told apart. Not so those of a norm that was
    `dropped`, as it is decided, which nobody waits for.
    """

    folder: Path
    trials: int
    without_record: int
    dropped: int
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        return not self.findings


def examine(folder: Path | str) -> Diagnosis:
    """Read all that an experiment's folder holds, weights included, and say what is wrong with it.

    Raises `UsageError` if it holds no experiment.
    """
    return _Examination(ExperimentFolder(user_path(folder))).carry_out()


class _Examination:
    def __init__(self, files: ExperimentFolder):
        self.files = files
        self.findings: list[Finding] = []
        self.trials = self.without_record = self.dropped = 0

    def carry_out(self) -> Diagnosis:
        store = None
        advice = "restore it from elsewhere; trials say nothing without it"
        with self.noting(self.files.experiment, advice):
            store = Store(self.files.path)
        if store is not None:
            self.header(store)
            self.trial_by_trial(store, self.description(store))
            self.sources(store)
        self.strangers()
        self.unfinished()
        found = tuple(sorted(self.findings, key=lambda finding: finding.path))
        return Diagnosis(self.files.path, self.trials, self.without_record, self.dropped, found)

    @contextmanager
    def noting(self, path: Path, advice: str) -> Iterator[None]:
        """Within it, what is raised becomes a finding on a file."""
        try:
            yield
        except Unreadable as error:
            self.note(path, "unreadable", error.reason, error.advice)
        except FileNotFoundError:
            self.note(path, "missing", GONE, advice)
        except Broken as error:
            self.note(path, "damaged", str(error), advice)
        except Damaged as error:
            self.note(path, "damaged" if error.reason else "missing", error.reason or GONE, advice)
        except UsageError:
            raise
        except RunError as error:
            self.note(path, "damaged", str(error), advice)

    def note(self, path: Path, state: State, reason: str, advice: str) -> None:
        self.findings.append(Finding(self.files.name_of(path), state, reason, advice))

    def header(self, store: Store) -> None:
        files = self.files
        if store.kept.trouble:
            advice = f"run the experiment again, or copy {files.experiment_copy.name} in its place"
            state = "damaged" if is_there(files.experiment) else "missing"
            self.note(files.experiment, state, store.kept.trouble, advice)
        elif store.kept.sealed:
            with self.noting(files.experiment_copy, "run the experiment again: it copies it anew"):
                store.reader.text(files.experiment_copy)
        if store.kept.earlier:
            for path in (files.earlier, files.earlier_copy):
                with self.noting(path, "copy the other of the two in its place"):
                    store.reader.beside(path, store.kept.earlier)

    def description(self, store: Store) -> Truth | None:
        """Everything but the trials; returns what predictions are held against, if it is whole."""
        files, truth = self.files, None
        with self.noting(files.dataset, AGAIN):
            facts = store.facts()
            with self.noting(files.test_labels, AGAIN):
                truth = store.test_labels(), len(facts.class_names)
        with self.noting(files.models, AGAIN):
            store.models()
        if is_there(files.costs):
            advice = "move it away; `normscope cost FOLDER` measures it again"
            with self.noting(files.costs, advice):
                store.reader.text(files.costs)
        for path in map(files.heat_maps, METHODS):
            if is_there(path):
                advice = "move it away; `normscope explain FOLDER` makes it again"
                with self.noting(path, advice):
                    records.heat_maps_of(store.reader.content(path))
        for entry in entries(files.pictures):
            if entry.name.endswith(".png"):
                path = files.pictures / entry.name
                with self.noting(path, "move it away, and run the experiment again"):
                    store.reader.content(path)
        return truth

    def trial_by_trial(self, store: Store, truth: Truth | None) -> None:
        whole = []
        for folder in self.files.stored_trials():
            self.trials += 1
            with self.noting(folder.path, TRIAL_AGAIN):
                record = store.trials.record_in(folder)
                if record.result.trial.id != folder.path.name:
                    self.foreign(folder)
                    continue
                store.trials.checked(record, truth)
                whole.append(record.result)
                self.beside(store, record, folder)
        searched = [result for result in whole if result.trial.validation]
        known = possible_ids(store.experiment, searched)
        for result in whole:
            if result.trial.id not in known:
                self.foreign(self.files.trial(result.trial.id))
        there = {result.trial.id for result in whole}
        planned = planned_trials(store.experiment, searched)
        absent = [trial for trial in planned if trial.id not in there]
        wanted = absent
        if truth is not None:  # without it nobody knows what is decided
            own = [r for r in whole if r.trial.id in known and not r.trial.validation]
            gone = dropped_norms(store, store.requests[-1].design, own)
            wanted = still_wanted(absent, store.experiment, gone)
        self.without_record, self.dropped = len(wanted), len(absent) - len(wanted)

    def beside(self, store: Store, record: records.Record, folder: TrialFolder) -> None:
        advice = "move it away to go without it, or the whole folder of the trial to train it again"
        if is_there(folder.weights):
            with self.noting(folder.weights, advice):
                records.check_weights(record, folder)
        with self.noting(folder.probes, "move it away; `normscope probe FOLDER` takes them again"):
            records.read_probes(folder, store.reader)

    def foreign(self, folder: TrialFolder) -> None:
        self.note(folder.path, "foreign", "it holds no trial of this experiment", "move it away")

    def sources(self, store: Store) -> None:
        """A source is called by its check sum; where it was installed, there is no copy."""
        experiment = store.experiment
        used = [*experiment.sources.values(), experiment.model_source]
        for source in filter(None, used):
            copied = self.files.source(source.fingerprint)
            if not copied.is_dir():
                continue
            try:
                own.at(copied, source.home, source.fingerprint)
            except NormscopeError as error:
                advice = "move it away: the next run copies the source again"
                self.note(copied, "damaged", str(error), advice)

    def strangers(self) -> None:
        """What is in the folder under a name that nothing gives."""
        files = self.files
        properties = {name for name, value in vars(ExperimentFolder).items()
                      if isinstance(value, property)}  # fmt: skip
        known = {getattr(files, name).name for name in properties} | WRITTEN_AGAIN
        for entry in entries(files.path):
            nested = is_there(files.path / entry.name / files.experiment.name)  # an investigation's
            finding = re.fullmatch(r"finding-.*\.md", entry.name)
            if entry.name not in known and not (entry.name.startswith(".") or nested or finding):
                self.note(Path(entry.path), "foreign", "normscope wrote no such file", MOVE_AWAY)
        for folder, pattern in (
            (files.trials, None),
            (files.pictures, r"\d+\.png"),
            (files.all_heat_maps, "|".join(f"{method}\\.npz" for method in METHODS)),
        ):
            for entry in entries(folder):
                is_trial = pattern is None and not entry.is_file(follow_symlinks=False)
                if is_trial or entry.name.startswith("."):
                    continue
                if pattern is None or not re.fullmatch(pattern, entry.name):
                    path = Path(entry.path)
                    self.note(path, "foreign", "normscope wrote no such file", MOVE_AWAY)

    def unfinished(self) -> None:
        for path in self.files.left_over():
            found = UNFINISHED.fullmatch(path.name)
            kind = found["kind"] if found else ""
            reason = "a process was killed while it wrote this"
            advice = "run the experiment again, which removes it"
            if kind == "replaced":
                reason = "a process was killed while it replaced this"
                advice = "run the experiment again, which puts it back where nothing has its name"
            self.note(path, "left over", reason, advice)
