"""The folder of an experiment: one record per trial, added atomically, and all a report needs.

::

    experiment.json         what was asked for, and every time it was asked
    dataset.json            facts of the data set; test_labels.npy: its test labels
    models.json             the layer table of every norm
    pictures/INDEX.png      the test images a report shows
    trials/ID/record.json   a result: trial, status, history per epoch, environment
    trials/ID/predictions.npz, weights.safetensors
"""

import json
import math
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from normscope.errors import RunError, UsageError
from normscope.experiment import (
    RESULT_FORMAT,
    DatasetFacts,
    Experiment,
    Frozen,
    ModelSummary,
    Predictions,
    Request,
    Result,
    Trial,
)
from normscope.experiment.plan import plan
from normscope.experiment.tuning import WIDEST, all_tuning_trials, chosen_rates, rates_at
from normscope.files import PARTIAL, discard, disk_errors, written

ADVICE = (
    "make room or choose another folder with --out, then run the same command again: the trials "
    "that ended are kept"
)

# What reading a damaged file raises, numpy's and zip's many ways included.
DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, BadZipFile,
          zlib.error)  # fmt: skip


class Header(Frozen):
    """The content of `experiment.json`."""

    result_format: int
    experiment: Experiment
    requests: tuple[Request, ...]


class Store:
    """Holds the results of one experiment in one folder.

    `Store.open` makes or extends a folder; `Store(folder)` reads one that exists, and raises
    `UsageError` if it holds no experiment or was written in another result format.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.header = _read_header(folder)

    @classmethod
    def open(cls, folder: Path, experiment: Experiment, request: Request) -> "Store":
        """Make the folder, or extend the experiment in it by new norms, seeds and batch sizes.

        What is there stays: the norms asked for are added to those in the folder, and the number of
        seeds never shrinks. `request` is appended to the record of what was asked when, unless it
        repeats the last. Raises `RunError` if the folder cannot be written, `UsageError` if it
        holds an experiment that differs in more than norms and seeds.
        """
        merged = preview(folder, experiment)
        earlier = _read_header(folder).requests if cls.exists(folder) else ()
        again = earlier and _same(earlier[-1], request)
        header = Header(
            result_format=RESULT_FORMAT,
            experiment=merged,
            requests=earlier if again else (*earlier, request),
        )
        with disk_errors(folder, ADVICE):
            (folder / "trials").mkdir(parents=True, exist_ok=True)
        _write_text(folder / "experiment.json", header.model_dump_json(indent=2))
        return cls(folder)

    def extend(self, seeds: int) -> None:
        """Plan that many seeds, in answer to a request that was recorded before."""
        experiment = self.experiment.model_copy(update={"seeds": seeds})
        self.header = self.header.model_copy(update={"experiment": experiment})
        _write_text(self.folder / "experiment.json", self.header.model_dump_json(indent=2))

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether `folder` holds an experiment."""
        return (folder / "experiment.json").exists()

    @property
    def experiment(self) -> Experiment:
        return self.header.experiment

    @property
    def requests(self) -> tuple[Request, ...]:
        return self.header.requests

    @staticmethod
    def lock(folder: Path) -> "_StoreLock":
        """Only one process writes into a folder at a time; raises `RunError` if another does.

        Makes the folder; raises `RunError` if it cannot be made.
        """
        return _StoreLock(folder)

    # -- results -----------------------------------------------------------------------------------

    def missing(self, trials: Iterable[Trial]) -> list[Trial]:
        """The trials still to be run: without a record, or failed when they last were.

        A diverged trial is an outcome and is not run again.
        """
        return [trial for trial in trials if self._status(trial) in (None, "failed")]

    def add(self, result: Result) -> None:
        """Write one record; a reader sees all of it or nothing. Replaces an earlier failed try.

        Raises `RunError` if the disk does not take it.
        """
        target = self._folder_of(result.trial)
        with written(target, ADVICE) as partial:
            partial.mkdir()
            _write_result(result, partial)
            shutil.rmtree(target, ignore_errors=True)

    def plan(self) -> list[Trial]:
        """The trials of the experiment; with tuned rates, of those norms that have theirs."""
        if self.experiment.protocol == "drop-in":
            return plan(self.experiment)
        return plan(self.experiment, chosen_rates(self.experiment, self.tuning()))

    def _possible(self) -> list[Trial]:
        """The planned trials; where a search lost a record, those at any rate that it may find."""
        if self.experiment.protocol == "drop-in":
            return self.plan()
        rates = chosen_rates(self.experiment, self.tuning())
        return [
            trial
            for power in range(-WIDEST, WIDEST + 1)
            for trial in plan(self.experiment, {**rates_at(self.experiment, power), **rates})
        ]

    def tuning(self) -> list[Result]:
        """The results of the search for learning rates; raises as `results` does."""
        records = self._records()
        found = [record for record in records.values() if record.trial.validation]
        known = {trial.id for trial in all_tuning_trials(self.experiment)}
        for folder, record in records.items():
            if record.trial.validation and folder.name not in known & {record.trial.id}:
                raise RunError(
                    f"{folder} holds no trial of the search in {self.folder}; move it away"
                )
        return found

    def _records(self) -> dict[Path, Result]:
        return {
            path.parent: self._read(path)
            for path in sorted(self.folder.glob("trials/[!.]*/record.json"))
        }

    def results(self) -> list[Result]:
        """Every result of the experiment, by seed and then by norm in the experiment's order.

        Raises `RunError` that names a record which cannot be read or is of another experiment.
        """
        trials = {trial.id: trial for trial in self._possible()}
        records = {
            folder: record
            for folder, record in self._records().items()
            if not record.trial.validation
        }
        for folder, record in records.items():
            if trials.get(folder.name) != record.trial:
                raise RunError(
                    f"{folder} holds no trial of the experiment in {self.folder}; move it away"
                )
            if not self._fits_data(record):
                raise RunError(
                    f"the predictions in {folder} are not for the test images of this experiment; "
                    "remove that folder and run the experiment again: only this trial is repeated"
                )
        order = list(dict.fromkeys(trials))
        return sorted(records.values(), key=lambda record: order.index(record.trial.id))

    def _fits_data(self, record: Result) -> bool:
        if record.predictions is None or not (self.folder / "dataset.json").exists():
            return True
        facts = self.facts()
        return record.predictions.logits.shape == (facts.test_size, len(facts.class_names))

    def check_data(self, facts: DatasetFacts, test_labels: np.ndarray) -> None:
        """Raise `RunError` if the results cannot come from these data, or cannot be read."""
        results = self.results()
        if (self.folder / "dataset.json").exists():
            fits = self.facts().checksums == facts.checksums or not results
        else:  # without facts, the accuracies of the results tell: they follow from the true labels
            fits = all(_accuracy_fits(result, test_labels) for result in results)
        if not fits:
            raise RunError(
                f"the results in {self.folder} come from other {facts.name} data than is loaded "
                "now; choose another folder with --out"
            )

    def _status(self, trial: Trial) -> str | None:
        record = self._folder_of(trial) / "record.json"
        return self._read(record).status if record.exists() else None

    def _read(self, record: Path) -> Result:
        try:
            result = Result.model_validate_json(record.read_text(encoding="utf-8"))
            if result.status != "finished" or result.trial.validation:
                return result
            with record.with_name("predictions.npz").open("rb") as file:
                kept = _read_predictions(file)
            _check_whole(result, kept)
        except DAMAGE as error:
            raise RunError(
                f"the record {record.parent} cannot be read ({type(error).__name__}); remove that "
                "folder and run the experiment again: only this trial is repeated"
            ) from error
        return result.model_copy(update={"predictions": kept})

    def _folder_of(self, trial: Trial) -> Path:
        return self.folder / "trials" / trial.id

    # -- what a report needs besides ---------------------------------------------------------------

    def describe(
        self, facts: DatasetFacts, test_labels: np.ndarray, models: Iterable[ModelSummary]
    ) -> None:
        """Keep the facts of the data set, its test labels, and the layer tables."""
        _write_text(self.folder / "dataset.json", facts.model_dump_json(indent=2))
        with written(self.folder / "test_labels.npy", ADVICE) as partial, partial.open("wb") as f:
            np.save(f, test_labels)
        tables = {summary.norm: summary.model_dump() for summary in models}
        _write_text(self.folder / "models.json", json.dumps(tables, indent=2))

    def facts(self) -> DatasetFacts:
        with self._readable("dataset.json") as path:
            return DatasetFacts.model_validate_json(path.read_text(encoding="utf-8"))

    def test_labels(self) -> np.ndarray:
        """The true classes of the test images: int64, shape (N,)."""
        facts = self.facts()
        with self._readable("test_labels.npy") as path, path.open("rb") as file:
            labels = np.load(file, allow_pickle=False)
            if labels.shape != (facts.test_size,) or not _are_classes(labels, facts):
                raise ValueError("not the labels of this data set")
            return labels

    def models(self) -> dict[str, ModelSummary]:
        with self._readable("models.json") as path:
            tables = TypeAdapter(dict[str, ModelSummary])
            return tables.validate_json(path.read_text(encoding="utf-8"))

    def add_pictures(self, images: np.ndarray, indexes: Iterable[int]) -> None:
        """Keep those test images (uint8, N H W 3) as PNG files, so that a report can show them."""
        with disk_errors(self.pictures, ADVICE):
            self.pictures.mkdir(exist_ok=True)
        for index in indexes:
            path = self.pictures / f"{index}.png"
            if not path.exists():
                with written(path, ADVICE) as partial:
                    Image.fromarray(images[index]).save(partial, format="png")

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @contextmanager
    def _readable(self, name: str) -> Iterator[Path]:
        """A file that `describe` wrote; says what to do if it is gone or damaged."""
        try:
            yield self.folder / name
        except FileNotFoundError as error:
            raise RunError(
                f"{self.folder / name} is missing; run the experiment again, it keeps what is there"
            ) from error
        except DAMAGE as error:
            raise RunError(
                f"{self.folder / name} is damaged; remove it and run the experiment again, which "
                "keeps the trials"
            ) from error


class _StoreLock:
    def __init__(self, folder: Path):
        self.folder = folder
        self.file = FileLock(folder / ".lock", timeout=0)

    def __enter__(self) -> None:
        with disk_errors(self.folder, ADVICE):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self.file.acquire()
            except Timeout as error:
                raise RunError(
                    f"another normscope is training into {self.folder}; wait for it"
                ) from error
        for partial in self.folder.glob(f"trials/{PARTIAL}"):
            discard(partial)

    def __exit__(self, *exception: object) -> None:
        self.file.release()


def preview(folder: Path, experiment: Experiment) -> Experiment:
    """The experiment that `folder` would hold after `Store.open`; writes nothing.

    Raises `UsageError` as `Store.open` does.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; --out needs a folder")
    if not Store.exists(folder):
        return experiment
    kept = _read_header(folder).experiment
    if not kept.same_but_for_size(experiment):
        raise UsageError(
            f"{folder} holds another experiment ({_difference(kept, experiment)}); choose another "
            "folder with --out"
        )
    if experiment.baseline != kept.baseline and experiment.baseline in kept.norms[1:]:
        raise UsageError(
            f"{folder} compares with {kept.baseline}, not {experiment.baseline}: name "
            f"{kept.baseline} first in --norms, or choose another folder with --out"
        )
    # Sizes that nobody named are those of the folder.
    asked_sizes = experiment.batch_sizes if "batch_sizes" in experiment.model_fields_set else ()
    new_norms = [norm for norm in experiment.norms if norm not in kept.norms]
    return kept.model_copy(
        update={
            "norms": (*kept.norms, *new_norms),
            "seeds": max(kept.seeds, experiment.seeds),
            "batch_sizes": tuple(sorted({*kept.batch_sizes, *asked_sizes})),
        }
    )


def _same(earlier: Request, request: Request) -> bool:
    """Whether a request repeats the one before it, whenever it was made."""
    now = {"date": request.date, "results_before": request.results_before}
    return earlier.model_copy(update=now) == request


def _difference(kept: Experiment, asked: Experiment) -> str:
    before, now = _flat(kept), _flat(asked)
    return ", ".join(
        f"{key} {before[key]}, not {now[key]}" for key in before if before[key] != now[key]
    )


def _flat(experiment: Experiment) -> dict[str, Any]:
    values = experiment.model_dump(exclude={"norms", "seeds", "recipe", "batch_sizes"})
    recipe = {f"recipe.{key}": value for key, value in experiment.recipe.model_dump().items()}
    return {**values, **recipe}


def _read_header(folder: Path) -> Header:
    path = folder / "experiment.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = values.get("result_format")
        if found != RESULT_FORMAT:
            raise UsageError(
                f"{folder} was written in result format {found}, this normscope reads "
                f"{RESULT_FORMAT}; choose another folder with --out"
            )
        return Header.model_validate(values)
    except OSError as error:
        raise UsageError(f"{folder} holds no normscope experiment") from error
    except (ValueError, AttributeError, ValidationError) as error:
        raise UsageError(f"{path} is damaged; restore it or choose another folder") from error


def _write_result(result: Result, folder: Path) -> None:
    (folder / "record.json").write_text(result.model_dump_json(indent=2), encoding="utf-8")
    if result.predictions is not None:
        np.savez_compressed(
            folder / "predictions.npz",
            classes=result.predictions.classes,
            logits=result.predictions.logits,
        )
    if result.weights is not None:
        from safetensors.numpy import save  # it is not needed to read a folder

        # safetensors writes memory as it lies; a channels_last weight lies in another order.
        in_order = {name: np.ascontiguousarray(w) for name, w in result.weights.items()}
        (folder / "weights.safetensors").write_bytes(save(in_order))


def _read_predictions(file: BinaryIO) -> Predictions:
    with np.load(file, allow_pickle=False) as arrays:
        return Predictions(classes=arrays["classes"], logits=arrays["logits"])


def _check_whole(result: Result, predictions: Predictions) -> None:
    """Raise `ValueError` if the parts of a finished result do not belong together."""
    images, _ = predictions.logits.shape
    if predictions.classes.shape != (images,) or len(result.history) != result.trial.recipe.epochs:
        raise ValueError("epochs or predictions are missing")


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
