"""What a folder holds, seen from its experiment: which trials it plans, and their results."""

from pathlib import Path

from normscope.experiment import Result, Trial
from normscope.experiment.tuning import all_tuning_trials, planned_trials, possible_trials
from normscope.store import Store
from normscope.store.folder import ExperimentFolder


def search_results(store: Store) -> list[Result]:
    """The results of the search for learning rates; none where rates are not tuned."""
    return [result for result in store.records() if result.trial.validation]


def trials_planned(store: Store) -> list[Trial]:
    """The trials that the experiment plans by now."""
    return planned_trials(store.experiment, search_results(store))


def results_stored(store: Store) -> list[Result]:
    """Every result of the experiment, by seed and then by norm in the experiment's order.

    Raises `RunError` that names a record which cannot be read or is of another experiment.
    """
    check_records(store)
    return store.results(possible_trials(store.experiment, search_results(store)))


def check_records(store: Store) -> None:
    """Raise `RunError` if the folder of a trial holds none of the experiment."""
    experiment = store.experiment
    known = {trial.id for trial in possible_trials(experiment, search_results(store))}
    if experiment.protocol == "tuned":
        known |= {trial.id for trial in all_tuning_trials(experiment)}
    for result in store.records():
        if result.trial.id not in known:
            raise store.foreign(store.files.trial(result.trial.id).path)


def has_results(folder: Path) -> bool:
    """Whether the folder of an experiment holds a result to report on."""
    return Store.exists(folder) and bool(ExperimentFolder(folder).stored_trials())
