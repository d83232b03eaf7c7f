"""What a `compare` would do, without training or writing anything: its trials and their cost."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from normscope.analysis.dropping import still_wanted
from normscope.cores import load
from normscope.data import DATASETS, find
from normscope.experiment import Experiment, Trial
from normscope.experiment.plan import plan
from normscope.experiment.tuning import chosen_rates, tuning_plan
from normscope.store import Store
from normscope.study.checks import Checked, check, sizes_of
from normscope.study.placement import place
from normscope.study.rounds import dropped_norms, first_seeds
from normscope.study.stored import results_stored, search_results
from normscope.training.estimate import Cost, DataSize, estimate_trial

Kind = tuple[str, int]  # of trials that cost the same: a norm and a batch size


@dataclass(frozen=True)
class Forecast:
    """What `normscope.compare` would do: all trials, those that are not stored, and their cost.

    `costs` are those of one trial of each norm at each batch size, on `train_images` images, of
    which so many are trained `at_once`. `notices` are sentences on what a user may not expect;
    `load`, how many programs wanted a core before that was timed, None on systems that do not say.
    """

    folder: Path
    trials: tuple[Trial, ...]
    todo: tuple[Trial, ...]
    costs: Mapping[Kind, Cost]
    train_images: int
    at_once: int
    notices: tuple[str, ...] = ()
    load: float | None = None

    @property
    def busy(self) -> bool:
        """Whether other programs made it seem to take longer than on a quiet machine."""
        return self.load is not None and self.load > (os.cpu_count() or 1) / 2

    @property
    def seconds(self) -> float:
        """What a fleet saves is not known before it runs."""
        return sum(self.costs[_kind(trial)].seconds for trial in self.todo) / self.at_once

    @property
    def seconds_per_seed(self) -> float:
        """Of all norms, at all batch sizes."""
        return sum(cost.seconds for cost in self.costs.values()) / self.at_once

    @property
    def disk_bytes(self) -> int:
        return sum(self.costs[_kind(trial)].disk_bytes for trial in self.todo)


def forecast(checked: Checked, known: Mapping[Kind, Cost] | None = None) -> Forecast:
    """Foresee a `compare` with what was checked for it; `known` costs are not timed again.

    The time is measured on a few steps of each norm on this machine, right now. Of a design until
    decided only the seeds that it begins with are foreseen, and of a search for learning rates the
    grid; what follows from it is listed with the recipe's rate. Raises `RunError` as `compare`
    does.
    """
    store, wanted = Store(checked.folder) if checked.kept else None, load()
    if store is not None:
        results_stored(store)  # or this is the place to refuse it
    trials = _foreseen(checked, store)
    if store and checked.design.until_decided:  # but for norms that are trained no further
        gone = dropped_norms(store, checked.design, results_stored(store))
        trials = still_wanted(trials, checked.experiment, gone)
    todo = store.missing(trials) if store else trials
    placement = place(trials, todo, checked.machine)
    sizes = sizes_of(checked.experiment, DATASETS[checked.experiment.dataset])
    return Forecast(
        folder=checked.folder,
        trials=tuple(trials),
        todo=tuple(todo),
        costs=_costs(checked, todo, placement.threads, known or {}),
        train_images=sizes[0],
        at_once=placement.networks_at_once,
        notices=(*checked.notices, *_on_data(checked.experiment.dataset, checked.data_dir)),
        load=wanted,
    )


def seconds_per_trial(experiment: Experiment) -> float:
    """Seconds of this machine that a trial takes, the mean over the norms, timed right now.

    With as many at once as `compare` runs. Raises `UsageError` as `check` does.
    """
    with TemporaryDirectory() as nowhere:
        foreseen = forecast(check(experiment, out=nowhere))
    return foreseen.seconds / len(foreseen.todo)


def _foreseen(checked: Checked, store: Store | None) -> list[Trial]:
    experiment, design = checked.experiment, checked.design
    if store and design.until_decided:
        experiment = experiment.with_seeds(first_seeds(store, design))
    if experiment.protocol == "drop-in":
        return plan(experiment)
    tuned = search_results(store) if store else []
    rates = chosen_rates(experiment, tuned)
    open_ = [t for t in plan(experiment) if (t.norm, t.recipe.batch_size) not in rates]
    return [*tuning_plan(experiment, tuned), *plan(experiment, rates), *open_]


def _costs(
    checked: Checked, todo: Sequence[Trial], threads: int, known: Mapping[Kind, Cost]
) -> dict[Kind, Cost]:
    """The cost of a trial of each kind that is to be run; what is not known is timed."""
    experiment, source = checked.experiment, DATASETS[checked.experiment.dataset]
    size = DataSize(*sizes_of(experiment, source), source.num_classes, source.image_shape)
    estimate = partial(estimate_trial, device=checked.machine.here, threads=threads)
    kinds = {_kind(trial): trial for trial in todo[::-1]}
    return {kind: known.get(kind) or estimate(trial, size) for kind, trial in kinds.items()}


def _kind(trial: Trial) -> Kind:
    return trial.norm, trial.recipe.batch_size


def _on_data(dataset: str, data_dir: Path | None) -> list[str]:
    """Whether the data set must be downloaded first."""
    layout = DATASETS[dataset].layout
    if layout is None or find(dataset, data_dir) is not None:
        return []
    megabytes = layout.archive.size / 1e6
    return [f"{dataset} is not on this machine: {megabytes:.0f} MB would be downloaded first."]
