"""What a folder holds, seen from its experiment: which trials it plans, and their results."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from normscope.errors import UsageError
from normscope.experiment import Experiment, Result, Trial
from normscope.experiment.tuning import all_tuning_trials, planned_trials, possible_trials
from normscope.norms import canonical
from normscope.store import Store
from normscope.store.folder import ExperimentFolder


def search_results(store: Store) -> list[Result]:
    """The results of the search for learning rates; none where rates are not tuned."""
    return [result for result in store.undamaged() if result.trial.validation]


def trials_planned(store: Store) -> list[Trial]:
    """The trials that the experiment plans by now."""
    return planned_trials(store.experiment, search_results(store))


def results_stored(store: Store) -> list[Result]:
    """Every result of the experiment without arrays, by seed and then by norm in its order.

    Raises `RunError` that names damaged records, or a trial that is of another experiment.
    """
    trials = possible_trials(store.experiment, search_results(store))
    _check_known(store, store.records(), _ids(store.experiment, trials))
    return store.of(trials)


def results_with_weights(store: Store) -> list[Result]:
    """The results of finished trials at the main batch size whose weights are there."""
    return [
        each
        for each in results_stored(store)
        if each.status == "finished"
        and each.trial.recipe.batch_size == store.experiment.main_batch_size
        and store.has_weights(each.trial)
    ]


def check_planned(store: Store, results: Iterable[Result]) -> None:
    """Raise `RunError` if one of the results in a folder is of none of its experiment's trials."""
    _check_known(store, results, possible_ids(store.experiment, search_results(store)))


def _check_known(store: Store, results: Iterable[Result], known: set[str]) -> None:
    for result in results:
        if result.trial.id not in known:
            raise store.foreign(store.files.trial(result.trial.id).path)


def possible_ids(experiment: Experiment, searched: Sequence[Result]) -> set[str]:
    """The ids of all trials that the experiment may have; `searched` are results of its search."""
    return _ids(experiment, possible_trials(experiment, searched))


def _ids(experiment: Experiment, trials: Iterable[Trial]) -> set[str]:
    """Those of the trials, and of all that a search could ask for."""
    known = {trial.id for trial in trials}
    if experiment.protocol == "tuned":
        known |= {trial.id for trial in all_tuning_trials(experiment)}
    return known


def norm_named(store: Store, written: str) -> str:
    """The norm of the experiment that a user means, by whatever name: bn for BatchNorm2d.

    Raises `UsageError`, listing the norms it has, if that is none of them.
    """
    norms = store.experiment.norms
    norm = written if written in norms else canonical(written)
    if norm not in norms:
        raise UsageError(f"{store.folder} has no norm {written!r}; it has {', '.join(norms)}")
    return norm


def check_seed(seed: int, known: Collection[int], what: str) -> None:
    """Raise `UsageError`, listing the `known` seeds, if it is none of them; `what` they are of."""
    if seed not in known:
        there = ", ".join(map(str, sorted(known)))
        raise UsageError(f"there are no {what} with seed {seed}, but with {there}")


def kept_in(folder: Path) -> tuple[int, bool]:
    """The trials that have ended in a folder, and whether the state of others in training is kept.

    Zero and False where there is no experiment.
    """
    files = ExperimentFolder(folder)
    if not Store.exists(folder):
        return 0, False
    return len(files.stored_trials()), any(files.checkpoints.glob("*"))
