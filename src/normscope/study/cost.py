"""What norms cost, measured side by side, and kept in an experiment's folder if there is one."""

from pathlib import Path
from tempfile import TemporaryDirectory

from normscope.cores import available_cores
from normscope.data import Dataset
from normscope.errors import RunError, UsageError
from normscope.experiment import Costs, Experiment, Trial
from normscope.experiment.plan import plan
from normscope.files import user_path
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.checks import Checked, check
from normscope.study.comparison import Comparison
from normscope.study.opening import load, reporting
from normscope.study.stored import results_stored
from normscope.training.collapse import LEAST_STEPS
from normscope.training.cost import measure_costs
from normscope.words import counted

ROUNDS = 7
ROUNDS_AFTER_TRAINING = 5


def cost(
    experiment: Experiment,
    *,
    data_dir: Path | str | None = None,
    device: str = "auto",
    threads: int = 1,
    observer: Observer | None = None,
) -> Costs:
    """Measure what each norm of an experiment costs on this machine; nothing is trained or kept.

    See `NormCost` for what is measured. `threads` are those of a CPU. Raises `UsageError` or
    `RunError` as `compare` does.
    """
    with TemporaryDirectory() as nowhere:
        checked = _check(experiment, nowhere, data_dir, device, threads)
    observer = observer or Observer()
    dataset = load(checked.experiment, checked.data_dir, observer)
    observer.noticed("Measuring what each norm costs.")
    return _measure(checked, dataset, checked.experiment.norms, threads, ROUNDS)


def cost_of_folder(
    folder: Path | str,
    *,
    data_dir: Path | str | None = None,
    device: str = "auto",
    threads: int = 1,
    observer: Observer | None = None,
) -> Costs:
    """`cost` of the norms of an experiment's folder, kept there and told of in its report."""
    folder = user_path(folder)
    if not Store.exists(folder):
        raise UsageError(f"{folder} holds no normscope experiment")
    checked = _check(Store(folder).experiment, folder, data_dir, device, threads)
    observer = observer or Observer()
    dataset = load(checked.experiment, checked.data_dir, observer)
    observer.noticed("Measuring what each norm costs.")
    with reporting(folder, observer) as store:
        norms = store.experiment.norms
        costs = _measure(checked, dataset, norms, threads, ROUNDS)
        store.keep_costs(costs)
        Comparison.of(store).report()
    return costs


def keep_costs(store: Store, checked: Checked, dataset: Dataset, observer: Observer) -> None:
    """Measure the norms that were trained, if the folder does not tell of all of them yet.

    Not where trials are shorter than `LEAST_STEPS`, which somebody only tries out. If a norm cannot
    be measured, that is told, and the folder stays as it is.
    """
    experiment = store.experiment
    recipe = _trials(experiment, experiment.norms)[0].recipe
    steps = recipe.epochs * recipe.steps_per_epoch(len(dataset.train_labels))
    ran = {result.trial.norm for result in results_stored(store) if result.status != "failed"}
    norms = tuple(norm for norm in checked.experiment.norms if norm in ran)
    known = store.costs()
    told = {each.norm for each in known.norms} if known else set()
    if steps < LEAST_STEPS or told.issuperset(norms):
        return
    observer.noticed("Measuring what each norm costs.")
    try:
        store.keep_costs(_measure(checked, dataset, norms, 1, ROUNDS_AFTER_TRAINING))
    except RunError as error:
        observer.noticed(f"{error}.")


def _check(
    experiment: Experiment,
    folder: Path | str,
    data_dir: Path | str | None,
    device: str,
    threads: int,
) -> Checked:
    """Nothing here needs worker processes, which would not see what a script has put in a table."""
    if not 1 <= threads <= available_cores():
        cores = counted(available_cores(), "core")
        raise UsageError(f"{threads} threads were asked for; this machine has {cores}")
    return check(experiment, out=folder, data_dir=data_dir, device=device, workers=1)


def _measure(
    checked: Checked, dataset: Dataset, norms: tuple[str, ...], threads: int, rounds: int
) -> Costs:
    trials = _trials(checked.experiment, norms)
    return measure_costs(trials, dataset, checked.machine.here, threads, rounds)


def _trials(experiment: Experiment, norms: tuple[str, ...]) -> list[Trial]:
    """One trial of each norm at the main batch size."""
    single = experiment.model_copy(update={"norms": norms, "seeds": 1, "protocol": "drop-in"})
    size = experiment.main_batch_size
    return [trial for trial in plan(single) if trial.recipe.batch_size == size]
