"""What a `compare` would do, without training or writing anything: its trials and their cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from normscope.analysis.dropping import still_wanted
from normscope.data import DATASETS, find
from normscope.experiment import Experiment, Trial
from normscope.experiment.plan import plan
from normscope.experiment.tuning import chosen_rates, tuning_plan
from normscope.store import Store
from normscope.study.checks import Checked, check, sizes_of
from normscope.study.placement import place
from normscope.study.rounds import blocks_at_once, dropped_norms, first_seeds, trials_per_seed
from normscope.study.stored import results_stored, search_results
from normscope.training.estimate import Cost, DataSize, estimate_trial


@dataclass(frozen=True)
class Forecast:
    """What `normscope.compare` would do: all trials, those that are not stored, and their cost.

    `notices` are sentences on what a user may not expect.
    """

    folder: Path
    trials: tuple[Trial, ...]
    todo: tuple[Trial, ...]
    seconds: float
    disk_bytes: int
    notices: tuple[str, ...] = ()


def forecast(checked: Checked) -> Forecast:
    """Foresee a `compare` with what was checked for it.

    The time is measured on a few steps of each norm on this machine, right now. Of a design until
    decided only the seeds that it begins with are foreseen, and of a search for learning rates the
    grid; what follows from it is listed with the recipe's rate. Raises `RunError` as `compare`
    does.
    """
    store = Store(checked.folder) if checked.kept else None
    if store is not None:
        results_stored(store)  # or this is the place to refuse it
    trials = _foreseen(checked, store)
    if store and checked.design.until_decided:  # but for norms that are trained no further
        gone = dropped_norms(store, checked.design, results_stored(store))
        trials = still_wanted(trials, checked.experiment, gone)
    todo = store.missing(trials) if store else trials
    placement = place(trials, todo, checked.machine)
    costs = _costs(checked, todo, placement.threads)
    # What a fleet saves is not known before it runs.
    seconds = sum(cost.seconds for cost in costs) / placement.networks_at_once
    return Forecast(
        folder=checked.folder,
        trials=tuple(trials),
        todo=tuple(todo),
        seconds=seconds,
        disk_bytes=sum(cost.disk_bytes for cost in costs),
        notices=(
            *checked.notices,
            *_on_data(checked.experiment.dataset, checked.data_dir),
            *_on_budget(checked, seconds / max(1, len(todo))),
        ),
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


def _costs(checked: Checked, todo: Sequence[Trial], threads: int) -> list[Cost]:
    """The cost of every trial to be run; one of each norm and batch size is timed."""
    experiment, source = checked.experiment, DATASETS[checked.experiment.dataset]
    sizes = sizes_of(experiment, source)
    estimate = partial(estimate_trial, device=checked.machine.here, threads=threads)
    kinds = {(t.norm, t.recipe.batch_size): t for t in todo[::-1]}
    size = DataSize(*sizes, source.num_classes, source.image_shape)
    costs = {kind: estimate(t, size) for kind, t in kinds.items()}
    return [costs[t.norm, t.recipe.batch_size] for t in todo]


def _on_data(dataset: str, data_dir: Path | None) -> list[str]:
    """Whether the data set must be downloaded first."""
    layout = DATASETS[dataset].layout
    if layout is None or find(dataset, data_dir) is not None:
        return []
    megabytes = layout.archive.size / 1e6
    return [f"{dataset} is not on this machine: {megabytes:.0f} MB would be downloaded first."]


def _on_budget(checked: Checked, seconds: float) -> list[str]:
    """How many of the seeds a budget of time has room for, at so many `seconds` a trial."""
    if checked.budget_s is None:
        return []
    experiment = checked.experiment
    if experiment.protocol == "tuned":
        return [f"The budget of {checked.budget_s:g} s includes the search for learning rates."]
    per_seed = seconds * len(experiment.norms) * len(experiment.batch_sizes)
    at_once = blocks_at_once(trials_per_seed(experiment), checked.machine.at_once)
    fit = at_once * max(1, int(checked.budget_s / (per_seed * at_once))) if per_seed else 0
    seeds = "the first seeds, which are run in any case" if fit <= at_once else f"about {fit} seeds"
    return [f"The budget of {checked.budget_s:g} s has room for {seeds}."]
