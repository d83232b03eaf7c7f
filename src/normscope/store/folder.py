"""The names of all files in an experiment's folder, each written once.

::

    experiment.json         what was asked for, and every time it was asked
    experiment.backup.json  a copy of it, written first
    earlier.json            check sums of what an earlier normscope wrote, which had no seals
    earlier.backup.json     a copy of that
    dataset.json            facts of the data set
    test_labels.npy         its test labels
    models.json             the layer table of every norm
    costs.json              what every norm costs, if it was measured
    pictures/INDEX.png      the test images a report shows
    heat_maps/METHOD.npz    where networks looked on these, if that was asked for
    trials/ID/record.json   a result: trial, status, history per epoch, environment
    trials/ID/predictions.npz, weights.safetensors
    trials/ID/probes.npz    what probes measured inside the network, if any were taken
    sources/FINGERPRINT/    the files of a norm of the user's own
    damaged/ID-TIME/        trials that were set aside because they were damaged
    checkpoints/            the state of each trial that trains, or of a fleet of them
    reports/RULES/          reports by rules that were chosen when the results were there
    write-up/               the page to hand in, with its figures, if it was asked for
    processes/NAME/         of a process that trains into the folder: its .lock, which it holds, the
                            trials that it has taken, and progress.json, how far it is
    logs/TRACKER/           what a tracker keeps, such as TensorBoard, if the experiment is logged
    .lock                   held by a process that changes what all of them share
    .report.lock            held by the process that writes the report

Each of them has a seal (see `normscope.seals`), but for predictions and weights, whose check sums
are in the seal of their record, the labels, whose check sum is in that of `dataset.json`, sources,
which are called by theirs, and logs, which no report needs.

A folder that the user did not name lies in ``runs/``, whose ``.gitignore`` keeps it out of a
repository.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from normscope.files import check_folder, damage_named, entries, left_over

RECORD = "record.json"
RUNS = Path("runs")  # the home of folders that the user did not name
GITIGNORE = ".gitignore"


@dataclass(frozen=True)
class TrialFolder:
    """The folder of one trial, named after the trial's id."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / RECORD

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.npz"

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def probes(self) -> Path:
        return self.path / "probes.npz"


@dataclass(frozen=True)
class ProcessFolder:
    """The folder of a process that trains into an experiment's folder."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def taken(self) -> Path:
        return self.path / "taken"

    def claim(self, trial_id: str) -> Path:
        return self.taken / trial_id


@dataclass(frozen=True)
class ExperimentFolder:
    """Where everything is in the folder of an experiment."""

    path: Path

    @property
    def experiment(self) -> Path:
        return self.path / "experiment.json"

    @property
    def experiment_copy(self) -> Path:
        return self.path / "experiment.backup.json"

    @property
    def earlier(self) -> Path:
        return self.path / "earlier.json"

    @property
    def earlier_copy(self) -> Path:
        return self.path / "earlier.backup.json"

    @property
    def dataset(self) -> Path:
        return self.path / "dataset.json"

    @property
    def test_labels(self) -> Path:
        return self.path / "test_labels.npy"

    @property
    def models(self) -> Path:
        return self.path / "models.json"

    @property
    def costs(self) -> Path:
        return self.path / "costs.json"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    def picture(self, index: int) -> Path:
        return self.pictures / f"{index}.png"

    @property
    def all_heat_maps(self) -> Path:
        return self.path / "heat_maps"

    def heat_maps(self, method: str) -> Path:
        return self.all_heat_maps / f"{method}.npz"

    @property
    def sources(self) -> Path:
        return self.path / "sources"

    def source(self, fingerprint: str) -> Path:
        return self.sources / fingerprint

    @property
    def reports(self) -> Path:
        return self.path / "reports"

    @property
    def write_up(self) -> Path:
        return self.path / "write-up"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def log(self, tracker: str) -> Path:
        return self.logs / tracker

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    def trial(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.trials / trial_id)

    def check_folders(self) -> None:
        """Raise `RunError` if a folder in it is a link, which is not followed, or a file."""
        for folder in self._folders():
            with damage_named(folder, "put the folder itself in its place"):
                check_folder(folder)

    def _folders(self) -> tuple[Path, ...]:
        inside = (self.trials, self.pictures, self.all_heat_maps, self.sources, self.damaged)
        return (*inside, self.checkpoints, self.processes, self.logs)

    def left_over(self) -> Iterator[Path]:
        """What processes that are gone left unfinished, also of a report's figures."""
        return left_over(self.path, {*(folder.name for folder in self._folders()), "figures"})

    def stored_trials(self) -> list[TrialFolder]:
        """The folder of every trial, by name; names that begin with a dot are none.

        Raises `RunError` if they cannot be listed, or lie behind a link.
        """
        with damage_named(self.trials, "put the folder itself in its place"):
            found = entries(self.trials)
        return [
            TrialFolder(self.trials / entry.name)
            for entry in found
            if not entry.name.startswith(".") and not entry.is_file(follow_symlinks=False)
        ]

    @property
    def damaged(self) -> Path:
        return self.path / "damaged"

    def name_of(self, path: Path) -> str:
        """What a file in the folder is called there: ``pictures/7.png``."""
        return path.relative_to(self.path).as_posix()

    @property
    def processes(self) -> Path:
        return self.path / "processes"

    def process(self, name: str) -> "ProcessFolder":
        return ProcessFolder(self.processes / name)

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def report_lock(self) -> Path:
        return self.path / ".report.lock"
