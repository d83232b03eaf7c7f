"""The folder of an experiment: one record per trial, added atomically, and all a report needs."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    Predictions,
    Probes,
    Request,
    Result,
    Summarise,
    Told,
    Trial,
)
from normscope.experiment.heat_maps import METHODS
from normscope.files import (
    Broken,
    damage_named,
    disk_errors,
    entries,
    is_there,
    make_folder,
    put,
    written,
)
from normscope.seals import seal_bytes, seal_text, sha256
from normscope.store import records
from normscope.store.claims import Claims
from normscope.store.folder import ExperimentFolder
from normscope.store.header import Header, Kept, is_repeated, read_header
from normscope.store.lock import FolderLock, clear_up
from normscope.store.many import Truth
from normscope.store.reading import Reader, expected_content, take_stock
from normscope.store.trials import Trials, ids

ADVICE = (
    "choose another folder with --out, then run the same command again: the trials "
    "that ended are kept"
)


class Store:
    """Holds the results of one experiment in one folder.

    `Store.create` makes a folder; `Store(folder)` reads one that exists, and raises `UsageError` if
    it holds no experiment or was written in another result format. A store reads each record once,
    when it is first asked for; it learns of later ones by `add` and `look_again` alone.
    """

    def __init__(self, folder: Path):
        self.files = ExperimentFolder(folder)
        self.files.check_folders()
        self.kept = read_header(folder)
        self.reader = Reader(self.files, self.kept)
        self.trials = Trials(self.files, self.reader, self._truth, ADVICE)

    @classmethod
    def create(cls, folder: Path, experiment: Experiment, request: Request) -> "Store":
        """Make the folder of a new experiment; raises `RunError` if it cannot be written."""
        files = ExperimentFolder(folder)
        header = Header(result_format=RESULT_FORMAT, experiment=experiment, requests=(request,))
        with disk_errors(folder, ADVICE):
            make_folder(files.trials)
        _write_header(files, Kept(header, sealed=True))
        return cls(folder)

    def ask(self, experiment: Experiment, request: Request) -> None:
        """Let an extended experiment take the place of the one in the folder.

        `request` is appended to the record of what was asked when, unless it repeats the last.
        Raises `FolderChanged` if another process has changed the folder since it was read, and
        `RunError` if it cannot be written.
        """
        with self.lock(self.folder):
            if read_header(self.folder).header != self.header:
                raise FolderChanged(self.folder)
            earlier = self.requests
            again = earlier and is_repeated(earlier[-1], request)
            requests = earlier if again else (*earlier, request)
            update = {"experiment": experiment, "requests": requests}
            header = self.header.model_copy(update=update)
            self._write_header(header)
            self.kept = replace(self.kept, header=header)

    def extend(self, seeds: int) -> None:
        """Plan that many seeds, in answer to a request that was recorded before.

        What another process has changed since the folder was read stays: its changes in the folder,
        and the seeds that it plans by now are planned by this store, too.
        """
        with self.lock(self.folder):
            newest, mine = read_header(self.folder).header, self.experiment
            whole = mine = mine.with_seeds(seeds)
            if newest != self.header:
                mine = self.experiment.with_seeds_of(newest.experiment)
                mine = mine.with_seeds(max(seeds, mine.seeds))
                whole = newest.experiment.with_seeds_of(mine)
            self._write_header(_planning(newest, whole))
            self.kept = replace(self.kept, header=_planning(self.header, mine))

    def plan_fewer(self, seeds: int) -> bool:
        """Plan no more than so many seeds, as if they had been asked for; whether that was done.

        Not if another request was made since, or a result is there of a seed that would go.
        """
        with self.lock(self.folder):
            newest = read_header(self.folder).header
            fewer = self.experiment.with_seeds(seeds)
            beyond = {*self.experiment.seed_numbers} - {*fewer.seed_numbers}
            if newest != self.header or any(r.trial.seed in beyond for r in self.undamaged()):
                return False
            asked = self.requests[-1].model_copy(update={"seeds": seeds})
            requests = (*self.requests[:-1], asked)
            header = _planning(self.header, fewer).model_copy(update={"requests": requests})
            self._write_header(header)
            self.kept = replace(self.kept, header=header)
            return True

    def _write_header(self, header: Header) -> None:
        """Write a header in the newest format; a folder without seals gets them."""
        earlier = self.kept.earlier
        if not self.kept.sealed:
            stock = take_stock(self.files)
            for path in (self.files.earlier_copy, self.files.earlier):
                _write(path, stock)
            earlier = sha256(stock)
        kept = Kept(header, True, earlier)
        _write_header(self.files, kept)
        if not self.kept.sealed:
            self.reader.now_sealed(kept)
        self.kept = replace(self.kept, sealed=True, earlier=earlier, trouble="")

    def _sealed(self) -> None:
        """Make sure that the folder has seals, before anything with a seal is written into it."""
        if not self.kept.sealed:
            self._write_header(self.header)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether `folder` holds an experiment; raises `RunError` if that cannot be told."""
        files = ExperimentFolder(folder)
        return is_there(files.experiment) or is_there(files.experiment_copy)

    @staticmethod
    def lock(folder: Path) -> FolderLock:
        """Held for a moment while what all processes share is changed; makes the folder.

        Raises `RunError` if another process does not let go of it, or the folder cannot be made.
        """
        return FolderLock(ExperimentFolder(folder).lock, ADVICE)

    @staticmethod
    def report_lock(folder: Path, waiting: Callable[[], None]) -> FolderLock:
        """Held while the folder is analysed and its report written; `waiting` is called if it is.

        Whoever has it last has read all that is there.
        """
        return FolderLock(ExperimentFolder(folder).report_lock, ADVICE, None, waiting)

    @staticmethod
    def clear_up(folder: Path) -> None:
        """Remove what killed processes left unfinished in a folder; its lock must be held."""
        clear_up(ExperimentFolder(folder), ADVICE)

    @staticmethod
    def claims(folder: Path) -> Claims:
        """The trials that this process takes for itself among those that train into a folder."""
        return Claims(ExperimentFolder(folder), ADVICE)

    def newest(self) -> "Store":
        """This store, or one read anew if other processes have changed the folder since."""
        same = read_header(self.folder).header == self.header and self.trials.are_current()
        return self if same else Store(self.folder)

    @property
    def folder(self) -> Path:
        return self.files.path

    @property
    def header(self) -> Header:
        return self.kept.header

    @property
    def experiment(self) -> Experiment:
        return self.header.experiment

    @property
    def requests(self) -> tuple[Request, ...]:
        return self.header.requests

    # -- results -----------------------------------------------------------------------------------

    def records(self) -> list[Result]:
        """Every stored result, without its arrays, in the order of the trials' ids.

        Raises `RunError` that names damaged records, or one in the folder of another trial.
        """
        return list(self.trials.known().values())

    def undamaged(self) -> list[Result]:
        """The same, as long as they are whole; what is damaged is left out."""
        return list(self.trials.undamaged().values())

    def missing(self, trials: Iterable[Trial]) -> list[Trial]:
        """The trials still to be run: without a record, or failed when they last were.

        A trial that diverged or collapsed is an outcome and is not run again.
        """
        known = self.trials.known()
        return [t for t in trials if t.id not in known or known[t.id].status == "failed"]

    def of(self, trials: Iterable[Trial]) -> list[Result]:
        """The results of those of the trials that have one, in their order, without arrays.

        Raises `RunError` as `records` does.
        """
        known = self.trials.known()
        return [known[trial_id] for trial_id in ids(trials) if trial_id in known]

    def summarised(self, results: Sequence[Result], summarise: Summarise) -> Iterator[Any]:
        """What `summarise` makes of the predictions of each stored result, in order.

        None where there are none. If they are many, several processes read them and call it. Raises
        `RunError` that names damaged trials, after the last of them: those that are not what was
        written, that are for other test images, or whose history is not that of their predictions.
        """
        return self.trials.summarised(results, summarise)

    def predictions(self, results: Sequence[Result]) -> Iterator[Predictions | None]:
        """What the networks of stored results say of their test images, with what that raises."""
        return self.summarised(results, _as_they_are)

    def results(self, trials: Iterable[Trial]) -> list[Result]:
        """What `of` gives, with predictions: all of them in memory. Raises what both do."""
        found = self.of(trials)
        read = zip(found, self.predictions(found), strict=True)
        return [result.model_copy(update={"predictions": each}) for result, each in read]

    def look_again(self, trials: Iterable[Trial]) -> list[Result]:
        """What other processes have stored of some trials since they were read, without arrays."""
        return self.trials.look_again(ids(trials))

    def add(self, result: Result) -> None:
        """Write one record; a reader sees all of it or nothing. Replaces an earlier failed try.

        Raises `RunError` if the disk does not take it.
        """
        self._sealed()
        self.trials.add(result)

    def probes(self, trial: Trial) -> Probes | None:
        """What probes measured in a stored trial; None if none were taken.

        Raises `RunError` if it cannot be read.
        """
        return self.trials.probes(trial.id)

    def all_probes(self) -> dict[str, Probes]:
        """What probes measured, by the id of each stored trial that they looked into."""
        found = {each: self.trials.probes(each) for each in self.trials.probed()}
        return {trial_id: probes for trial_id, probes in found.items() if probes is not None}

    def weights(self, trial: Trial) -> dict[str, np.ndarray] | None:
        """Parameters and buffers of a stored trial's network; None if the folder has them not.

        Raises `RunError` if they cannot be read.
        """
        return self.trials.weights(trial.id) if self.has_weights(trial) else None

    def has_weights(self, trial: Trial) -> bool:
        """Whether the folder has the weights of a stored trial's network."""
        return self.trials.has_weights(trial.id)

    def keep_probes(self, trial: Trial, probes: Probes) -> None:
        """Keep what probes measured in a stored trial, beside what they measured before."""
        self._sealed()
        self.trials.keep_probes(trial.id, probes)

    def foreign(self, folder: Path) -> RunError:
        """The error that a folder among the trials holds what this experiment did not plan."""
        return self.trials.foreign(folder)

    def check_data(
        self,
        facts: DatasetFacts,
        test_labels: np.ndarray,
        results: Sequence[Result],
        advice: str = "choose another folder with --out",
    ) -> None:
        """Raise `RunError`, with `advice`, if the stored `results` cannot come from these data."""
        before = self._facts_if_whole()
        if before is not None:
            fits = before.checksums == facts.checksums or not results
        else:  # without facts, the accuracies of the results tell: they follow from the true labels
            truth = test_labels, len(facts.class_names)
            fits = all(self.trials.may_come_from(truth, result) for result in results)
        if not fits:
            raise RunError(
                f"the results in {self.folder} come from other {facts.name} data than is loaded "
                f"now; {advice}"
            )

    def set_damaged_aside(self, facts: DatasetFacts, test_labels: np.ndarray) -> list[str]:
        """Move damaged trials out of the way, so that they are missing; a sentence on each.

        The data must be those of the folder: see `check_data`.
        """
        damage = self.trials.damage((test_labels, len(facts.class_names)))
        return [
            f"{trial_id} is damaged ({reason}), is kept as {self.trials.set_aside(trial_id)}, and "
            "is missing now."
            for trial_id, reason in damage.items()
        ]

    def set_damaged_probes_aside(self) -> list[str]:
        """The same of what probes measured in trials that are whole otherwise."""
        damage = {each: self.trials.damage_of_probes(each) for each in self.trials.probed()}
        return [
            f"The probes of {trial_id} are damaged ({reason}) and are kept as "
            f"{self.trials.set_probes_aside(trial_id)}."
            for trial_id, reason in damage.items()
            if reason
        ]

    # -- what a report needs besides ---------------------------------------------------------------

    def describe(
        self, facts: DatasetFacts, test_labels: np.ndarray, models: Iterable[ModelSummary]
    ) -> None:
        """Keep the facts of the data set, its test labels, and the layer tables."""
        self._sealed()
        file = io.BytesIO()
        np.save(file, test_labels)
        labels = file.getvalue()
        of = {"of": self.header.origin}
        about = {**of, "files": {self.files.test_labels.name: sha256(labels)}}
        _write(self.files.dataset, seal_text(facts.model_dump_json(indent=2), about))
        _write(self.files.test_labels, labels)
        tables = {summary.norm: summary.model_dump() for summary in models}
        _write(self.files.models, seal_text(json.dumps(tables, indent=2), of))

    def facts(self) -> DatasetFacts:
        return self._facts()[0]

    def _facts(self) -> tuple[DatasetFacts, Mapping[str, str]]:
        """The facts of the data set, and the check sums of files beside them, if they are known."""
        with damage_named(self.files.dataset, DESCRIBED_AGAIN):
            text, about = self.reader.text(self.files.dataset)
            with expected_content():
                return DatasetFacts.model_validate_json(text), (about or {}).get("files", {})

    def _facts_if_whole(self) -> DatasetFacts | None:
        """The facts of the data set; None if they are lost or damaged."""
        try:
            text, _ = self.reader.text(self.files.dataset)
            with expected_content():
                return DatasetFacts.model_validate_json(text)
        except (FileNotFoundError, Broken):
            return None

    def test_labels(self) -> np.ndarray:
        """The true classes of the test images: int64, shape (N,)."""
        facts, beside = self._facts()
        path = self.files.test_labels
        with damage_named(path, DESCRIBED_AGAIN):
            content = self.reader.beside(path, beside.get(path.name))
            with expected_content():
                labels = np.load(io.BytesIO(content), allow_pickle=False)
            _check_labels(labels, facts)
            return labels

    def _truth(self) -> Truth | None:
        """What predictions are held against; None while no data set is described."""
        if not is_there(self.files.dataset):
            return None
        return self.test_labels(), len(self.facts().class_names)

    def models(self) -> dict[str, ModelSummary]:
        with damage_named(self.files.models, DESCRIBED_AGAIN):
            text, _ = self.reader.text(self.files.models)
            with expected_content():
                return TypeAdapter(dict[str, ModelSummary]).validate_json(text)

    def keep_costs(self, costs: Costs) -> None:
        """Keep what the norms cost, in the place of what was measured before."""
        self._sealed()
        of = {"of": self.header.origin}
        _write(self.files.costs, seal_text(costs.model_dump_json(indent=2), of))

    def costs(self) -> Costs | None:
        """What the norms cost; None if it was not measured, or is damaged: it can be made again.

        Norms that the experiment does not have are left out.
        """
        try:
            text, _ = self.reader.text(self.files.costs)
            with expected_content():
                found = Costs.model_validate_json(text)
        except (FileNotFoundError, Broken):
            return None
        own = [cost for cost in found.norms if cost.norm in self.experiment.norms]
        return found.model_copy(update={"norms": tuple(own)}) if own else None

    def keep_heat_maps(self, heat_maps: HeatMaps) -> None:
        """Keep where networks looked, in the place of what the same method said before."""
        self._sealed()
        path = self.files.heat_maps(heat_maps.method)
        with disk_errors(path, ADVICE):
            make_folder(path.parent)
        _write(path, seal_bytes(records.heat_maps_bytes(heat_maps), self.files.name_of(path)))

    def heat_maps(self) -> tuple[HeatMaps, ...]:
        """Where networks looked, by one method each; what is damaged is left out.

        It can be made again, as long as the folder holds the weights.
        """
        found = []
        for method in METHODS:
            try:
                content = self.reader.content(self.files.heat_maps(method))
                found.append(records.heat_maps_of(content))
            except (FileNotFoundError, Broken):
                continue
        return tuple(found)

    def keep_sources(self, sources: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep the files of users' norms, by fingerprint and name, that are not here already."""
        for fingerprint, files in sources.items():
            target = self.files.source(fingerprint)
            if not is_there(target):
                with disk_errors(target, ADVICE):
                    make_folder(target.parent)
                with written(target, ADVICE) as partial:
                    for name, content in files.items():
                        (partial / name).parent.mkdir(parents=True, exist_ok=True)
                        put(partial / name, content)

    def add_pictures(self, images: np.ndarray, indexes: Iterable[int]) -> None:
        """Keep those test images (uint8, N H W 3) as PNG files, so that a report can show them."""
        self._sealed()
        with disk_errors(self.pictures, ADVICE):
            make_folder(self.pictures)
        for index in indexes:
            path = self.files.picture(index)
            if self._trouble_with(path):
                file = io.BytesIO()
                Image.fromarray(images[index]).save(file, format="png")
                _write(path, seal_bytes(file.getvalue(), self.files.name_of(path)))

    @property
    def pictures(self) -> Path:
        return self.files.pictures

    def left_out(self) -> list[str]:
        """What of the folder a report leaves out, or reads elsewhere, because it is damaged."""
        files, said = self.files, []
        if self.kept.trouble:
            copy = files.experiment_copy.name
            said.append(f"{files.experiment.name}: {self.kept.trouble}; its copy {copy} was read.")
        shown = [files.pictures / entry.name for entry in entries(files.pictures)]
        paths = [path for path in shown if path.suffix == ".png"]
        paths += [path for path in map(files.heat_maps, METHODS) if is_there(path)]
        for path in [*paths, *([files.costs] if is_there(files.costs) else [])]:
            if trouble := self._trouble_with(path):
                said.append(f"{files.name_of(path)} is left out: {trouble}.")
        return said

    def _trouble_with(self, path: Path) -> str:
        """Why a file is not what was written, in words; "" if it is."""
        try:
            (self.reader.text if path.suffix == ".json" else self.reader.content)(path)
        except FileNotFoundError:
            return "it is missing"
        except Broken as error:
            return str(error)
        return ""


def _as_they_are(
    _told: Sequence[Told], predictions: Sequence[Predictions]
) -> Sequence[Predictions]:
    return predictions


DESCRIBED_AGAIN = "run the experiment again: it makes this file anew and keeps the trials"


def _check_labels(labels: np.ndarray, facts: DatasetFacts) -> None:
    """Raise `Broken` if these are not the labels of the data set."""
    if labels.shape != (facts.test_size,):
        raise Broken("it is not for these test images")
    if not ((labels >= 0) & (labels < len(facts.class_names))).all():
        raise Broken("a label is no class")
    expected = facts.checksums.get("test_labels")
    if expected is not None and sha256(np.ascontiguousarray(labels).tobytes()) != expected:
        raise Broken("it is not what the data set's check sum tells")


class FolderChanged(RunError):
    """Another process has changed the experiment in a folder since it was read."""

    def __init__(self, folder: Path):
        super().__init__(f"another normscope has just changed {folder}; run the same command again")


def _planning(header: Header, experiment: Experiment) -> Header:
    return header.model_copy(update={"experiment": experiment})


def _write_header(files: ExperimentFolder, kept: Kept) -> None:
    """The copy first: whatever was asked for is never known to the trials alone."""
    about = {"earlier": kept.earlier} if kept.earlier else {}
    content = seal_text(kept.header.model_dump_json(indent=2), about)
    _write(files.experiment_copy, content)
    _write(files.experiment, content)


def _write(path: Path, content: bytes) -> None:
    with written(path, ADVICE) as partial:
        put(partial, content)
