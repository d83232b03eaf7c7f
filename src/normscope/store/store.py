"""The folder of an experiment: one record per trial, added atomically, and all a report needs."""

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from normscope.errors import RunError
from normscope.experiment import (
    RESULT_FORMAT,
    Costs,
    DatasetFacts,
    Experiment,
    HeatMaps,
    ModelSummary,
    Probes,
    Request,
    Result,
    Trial,
)
from normscope.experiment.folds import images_tested
from normscope.experiment.heat_maps import METHODS
from normscope.files import disk_errors, written
from normscope.store import records
from normscope.store.folder import ExperimentFolder, TrialFolder
from normscope.store.header import Header, is_repeated, read_header
from normscope.store.lock import FolderLock
from normscope.store.records import DAMAGE

ADVICE = (
    "choose another folder with --out, then run the same command again: the trials "
    "that ended are kept"
)


class Store:
    """Holds the results of one experiment in one folder.

    `Store.create` makes a folder; `Store(folder)` reads one that exists, and raises `UsageError` if
    it holds no experiment or was written in another result format. A store reads each record once,
    when it is first asked for; it learns of later ones by `add` alone, so hold the `lock` while
    other processes may write.
    """

    def __init__(self, folder: Path):
        self.files = ExperimentFolder(folder)
        self.header = read_header(folder)
        self._read_records: dict[str, Result] | None = None  # by id, without arrays
        self._whole: dict[str, Result] = {}  # by id, with predictions

    @classmethod
    def create(cls, folder: Path, experiment: Experiment, request: Request) -> "Store":
        """Make the folder of a new experiment; raises `RunError` if it cannot be written."""
        files = ExperimentFolder(folder)
        header = Header(result_format=RESULT_FORMAT, experiment=experiment, requests=(request,))
        with disk_errors(folder, ADVICE):
            files.trials.mkdir(parents=True, exist_ok=True)
        _write_text(files.experiment, header.model_dump_json(indent=2))
        return cls(folder)

    def ask(self, experiment: Experiment, request: Request) -> None:
        """Let an extended experiment take the place of the one in the folder.

        `request` is appended to the record of what was asked when, unless it repeats the last.
        Raises `RunError` if the folder cannot be written.
        """
        earlier = self.requests
        again = earlier and is_repeated(earlier[-1], request)
        requests = earlier if again else (*earlier, request)
        self._write_header(experiment=experiment, requests=requests)

    def extend(self, seeds: int) -> None:
        """Plan that many seeds, in answer to a request that was recorded before."""
        self._write_header(experiment=self.experiment.with_seeds(seeds))

    def _write_header(self, **changes: object) -> None:
        header = self.header.model_copy(update=changes)
        _write_text(self.files.experiment, header.model_dump_json(indent=2))
        self.header = header

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether `folder` holds an experiment."""
        return ExperimentFolder(folder).experiment.exists()

    @staticmethod
    def lock(folder: Path) -> FolderLock:
        """Only one process writes into a folder at a time; raises `RunError` if another does.

        Makes the folder; raises `RunError` if it cannot be made.
        """
        return FolderLock(ExperimentFolder(folder), ADVICE)

    @property
    def folder(self) -> Path:
        return self.files.path

    @property
    def experiment(self) -> Experiment:
        return self.header.experiment

    @property
    def requests(self) -> tuple[Request, ...]:
        return self.header.requests

    # -- results -----------------------------------------------------------------------------------

    def records(self) -> list[Result]:
        """Every stored result, without its arrays, in the order of the trials' ids.

        Raises `RunError` that names a record which cannot be read, or that lies in the folder of
        another trial.
        """
        return list(self._records().values())

    def missing(self, trials: Iterable[Trial]) -> list[Trial]:
        """The trials still to be run: without a record, or failed when they last were.

        A trial that diverged or collapsed is an outcome and is not run again.
        """
        known = self._records()
        return [t for t in trials if t.id not in known or known[t.id].status == "failed"]

    def results(self, trials: Iterable[Trial]) -> list[Result]:
        """The results of those of the trials that have one, in their order, with predictions.

        Raises `RunError` that names a record which cannot be read, or is for other test images.
        """
        known = self._records()
        shape = self._shape_of_logits()
        ids = dict.fromkeys(trial.id for trial in trials)
        return [self._with_predictions(known[each], shape) for each in ids if each in known]

    def add(self, result: Result) -> None:
        """Write one record; a reader sees all of it or nothing. Replaces an earlier failed try.

        Raises `RunError` if the disk does not take it.
        """
        known, trial_id = self._records(), result.trial.id
        target = self.files.trial(trial_id).path
        with written(target, ADVICE) as partial:
            partial.mkdir()
            records.write_record(result, TrialFolder(partial))
            shutil.rmtree(target, ignore_errors=True)
        kept = result.model_copy(update={"weights": None, "probes": None})
        known[trial_id] = self._whole[trial_id] = kept

    def probes(self, trial: Trial) -> Probes | None:
        """What probes measured in a stored trial; None if none were taken.

        Raises `RunError` if it cannot be read.
        """
        return records.read_probes(self.files.trial(trial.id))

    def weights(self, trial: Trial) -> dict[str, np.ndarray] | None:
        """Parameters and buffers of a stored trial's network; None if the folder has them not.

        Raises `RunError` if they cannot be read.
        """
        return records.read_weights(self.files.trial(trial.id)) if self.has_weights(trial) else None

    def has_weights(self, trial: Trial) -> bool:
        """Whether the folder has the weights of a stored trial's network."""
        return self.files.trial(trial.id).weights.exists()

    def keep_probes(self, trial: Trial, probes: Probes) -> None:
        """Keep what probes measured in a stored trial, beside what they measured before."""
        folder = self.files.trial(trial.id)
        before = records.read_probes(folder)
        merged = before.merged_with(probes) if before else probes
        with written(folder.probes, ADVICE) as partial:
            records.write_probes(merged, partial)

    def _records(self) -> dict[str, Result]:
        if self._read_records is None:
            self._read_records = {
                folder.path.name: self._read(folder) for folder in self.files.stored_trials()
            }
        return self._read_records

    def _read(self, folder: TrialFolder) -> Result:
        result = records.read_record(folder)
        if result.trial.id != folder.path.name:
            raise self.foreign(folder.path)
        return result

    def foreign(self, folder: Path) -> RunError:
        """The error that a folder among the trials holds what this experiment did not plan."""
        return RunError(f"{folder} holds no trial of the experiment in {self.folder}; move it away")

    def _with_predictions(self, result: Result, shape: tuple[int, int] | None) -> Result:
        trial_id = result.trial.id
        if trial_id not in self._whole:
            self._whole[trial_id] = result
            if records.has_predictions(result):
                folder = self.files.trial(trial_id)
                self._whole[trial_id] = records.read_predictions(result, folder)
        predictions = self._whole[trial_id].predictions
        if shape is not None:
            shape = images_tested(result.trial, shape[0]), shape[1]
        if predictions is not None and shape not in (None, predictions.logits.shape):
            raise RunError(
                f"the predictions in {self.files.trial(trial_id).path} are not for the test images "
                "of this experiment; remove that folder and run the experiment again: only this "
                "trial is repeated"
            )
        return self._whole[trial_id]

    def _shape_of_logits(self) -> tuple[int, int] | None:
        """What the predictions of a trial must have; None while no data set is described."""
        if not self.files.dataset.exists():
            return None
        facts = self.facts()
        return facts.test_size, len(facts.class_names)

    def check_data(
        self, facts: DatasetFacts, test_labels: np.ndarray, results: Sequence[Result]
    ) -> None:
        """Raise `RunError` if the stored `results` cannot come from these data."""
        if self.files.dataset.exists():
            fits = self.facts().checksums == facts.checksums or not results
        else:  # without facts, the accuracies of the results tell: they follow from the true labels
            fits = all(_accuracy_fits(result, test_labels) for result in results)
        if not fits:
            raise RunError(
                f"the results in {self.folder} come from other {facts.name} data than is loaded "
                "now; choose another folder with --out"
            )

    # -- what a report needs besides ---------------------------------------------------------------

    def describe(
        self, facts: DatasetFacts, test_labels: np.ndarray, models: Iterable[ModelSummary]
    ) -> None:
        """Keep the facts of the data set, its test labels, and the layer tables."""
        _write_text(self.files.dataset, facts.model_dump_json(indent=2))
        with written(self.files.test_labels, ADVICE) as partial, partial.open("wb") as file:
            np.save(file, test_labels)
        tables = {summary.norm: summary.model_dump() for summary in models}
        _write_text(self.files.models, json.dumps(tables, indent=2))

    def facts(self) -> DatasetFacts:
        with _readable(self.files.dataset) as path:
            return DatasetFacts.model_validate_json(path.read_text(encoding="utf-8"))

    def test_labels(self) -> np.ndarray:
        """The true classes of the test images: int64, shape (N,)."""
        facts = self.facts()
        with _readable(self.files.test_labels) as path, path.open("rb") as file:
            labels = np.load(file, allow_pickle=False)
            if labels.shape != (facts.test_size,) or not _are_classes(labels, facts):
                raise ValueError("not the labels of this data set")
            return labels

    def models(self) -> dict[str, ModelSummary]:
        with _readable(self.files.models) as path:
            tables = TypeAdapter(dict[str, ModelSummary])
            return tables.validate_json(path.read_text(encoding="utf-8"))

    def keep_costs(self, costs: Costs) -> None:
        """Keep what the norms cost, in the place of what was measured before."""
        _write_text(self.files.costs, costs.model_dump_json(indent=2))

    def costs(self) -> Costs | None:
        """What the norms cost; None if it was not measured, or cannot be read: it can be again.

        Norms that the experiment does not have are left out.
        """
        try:
            text = self.files.costs.read_text(encoding="utf-8")
            found = Costs.model_validate_json(text)
        except (OSError, ValueError):
            return None
        own = [cost for cost in found.norms if cost.norm in self.experiment.norms]
        return found.model_copy(update={"norms": tuple(own)}) if own else None

    def keep_heat_maps(self, heat_maps: HeatMaps) -> None:
        """Keep where networks looked, in the place of what the same method said before."""
        path = self.files.heat_maps(heat_maps.method)
        with disk_errors(path, ADVICE):
            path.parent.mkdir(exist_ok=True)
        with written(path, ADVICE) as partial:
            records.write_heat_maps(heat_maps, partial)

    def heat_maps(self) -> tuple[HeatMaps, ...]:
        """Where networks looked, by one method each; what cannot be read is left out.

        It can be made again, as long as the folder holds the weights.
        """
        found = []
        for method in METHODS:
            with suppress(*DAMAGE):
                found.append(records.read_heat_maps(self.files.heat_maps(method)))
        return tuple(found)

    def keep_sources(self, sources: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep the files of users' norms, by fingerprint and name, that are not here already."""
        for fingerprint, files in sources.items():
            target = self.files.source(fingerprint)
            if not target.exists():
                with disk_errors(target, ADVICE):
                    target.parent.mkdir(exist_ok=True)
                with written(target, ADVICE) as partial:
                    for name, content in files.items():
                        (partial / name).parent.mkdir(parents=True, exist_ok=True)
                        (partial / name).write_bytes(content)

    def add_pictures(self, images: np.ndarray, indexes: Iterable[int]) -> None:
        """Keep those test images (uint8, N H W 3) as PNG files, so that a report can show them."""
        with disk_errors(self.pictures, ADVICE):
            self.pictures.mkdir(exist_ok=True)
        for index in indexes:
            path = self.files.picture(index)
            if not path.exists():
                with written(path, ADVICE) as partial:
                    Image.fromarray(images[index]).save(partial, format="png")

    @property
    def pictures(self) -> Path:
        return self.files.pictures


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """A file that `describe` wrote; says what to do if it is gone or damaged."""
    try:
        yield path
    except FileNotFoundError as error:
        raise RunError(
            f"{path} is missing; run the experiment again, it keeps what is there"
        ) from error
    except DAMAGE as error:
        raise RunError(
            f"{path} is damaged; remove it and run the experiment again, which keeps the trials"
        ) from error


def _are_classes(labels: np.ndarray, facts: DatasetFacts) -> bool:
    return bool(((labels >= 0) & (labels < len(facts.class_names))).all())


def _accuracy_fits(result: Result, test_labels: np.ndarray) -> bool:
    if result.predictions is None:
        return True
    classes = result.predictions.classes
    if classes.shape != test_labels.shape:
        return False
    percent = 100 * float((classes == test_labels).mean())
    return math.isclose(percent, result.history[-1].test_accuracy_percent, abs_tol=1e-6)


def _write_text(path: Path, text: str) -> None:
    with written(path, ADVICE) as partial:
        partial.write_text(text, encoding="utf-8")
