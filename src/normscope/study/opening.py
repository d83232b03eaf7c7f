"""Loading the data, opening the folder, and keeping in it what its report will show."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from normscope.analysis.mistakes import find_mistakes
from normscope.analysis.tallies import Tallies, answered
from normscope.data import Dataset, load_dataset
from normscope.errors import NormscopeError, UsageError
from normscope.experiment import RULES, DatasetFacts, Experiment, ModelSummary, Request
from normscope.models.summary import summarize
from normscope.observers import Observer
from normscope.store import Store
from normscope.store.claims import Claims
from normscope.store.folder import GITIGNORE, RUNS
from normscope.study.checks import Checked, check, checked_again, kept_header
from normscope.study.own import sources_of
from normscope.study.stored import check_planned, results_stored

# What helps those who may name other data, but no other folder: see `Store.check_data`.
TRAINED_ON = "name the data that it was trained on with --data-dir"


def load(experiment: Experiment, data_dir: Path | None, observer: Observer) -> Dataset:
    """The images of an experiment, downloaded first where this machine has no copy."""
    dataset = load_dataset(
        experiment.dataset,
        data_dir,
        experiment.train_limit,
        experiment.test_limit,
        progress=observer.downloaded,
        notice=observer.noticed,
    )
    return dataset.in_folds() if experiment.folds else dataset


def experiment_in(folder: Path) -> Experiment:
    """The experiment that a folder holds; raises `UsageError` if there is none."""
    if not Store.exists(folder):
        raise UsageError(f"{folder} holds no normscope experiment")
    return Store(folder).experiment


def load_for_folder(
    folder: Path, data_dir: Path | str | None, device: str, observer: Observer
) -> tuple[Checked, Dataset]:
    """What it takes to look into the networks of a folder: the machine, and the images.

    Worker processes do not see what a script has put in a table, and looking into networks needs
    none. Raises `UsageError` if the folder holds no experiment.
    """
    experiment = experiment_in(folder)
    checked = check(
        experiment, out=folder, data_dir=data_dir, device=device, workers=1, observer=observer
    )
    return checked, load(checked.experiment, checked.data_dir, observer)


@contextmanager
def joined(folder: Path, opened: Callable[[], Store]) -> Iterator[tuple[Store, Claims]]:
    """Open a folder, and be one of the processes that train into it until this is left."""
    with ExitStack() as until_left:
        with Store.lock(folder):
            claims = until_left.enter_context(Store.claims(folder))
            _clear_up(folder, claims)
            store = opened()
        yield store, claims


def _clear_up(folder: Path, claims: Claims) -> None:
    """Remove what is unfinished, unless another process may be about to finish it."""
    if claims.alone():
        Store.clear_up(folder)


@contextmanager
def reporting(folder: Path, observer: Observer, store: Store | None = None) -> Iterator[Store]:
    """All that a folder holds by now, for one process at a time to add to and to report on.

    `store` is what is known of it already.
    """

    def waiting() -> None:
        observer.noticed(f"Another normscope works on the report of {folder}; waiting for it.")

    with Store.report_lock(folder, waiting):
        if store is None:
            with Store.lock(folder):
                _clear_up(folder, Store.claims(folder))
                store = Store(folder)
        yield store.newest()


def open_folder(checked: Checked, dataset: Dataset, observer: Observer, command: str) -> Store:
    """Make or extend the folder; one that cannot be reported on is refused, and stays as it is.

    Damaged trials are set aside first, so that they are missing; the observer is told. The folder's
    lock must be held. Another process may have changed the folder since it was checked. Raises
    `RunError` if its results come from other data.
    """
    folder, before = checked.folder, 0
    if kept_header(folder) != checked.kept:
        checked = checked_again(checked)
    facts = dataset.facts()
    if checked.experiment.folds:
        left_out = facts.test_size // checked.experiment.folds
        of_each = {"train_size": facts.test_size - left_out, "mean": None, "std": None}
        facts = facts.model_copy(update=of_each)
    summaries = _summaries(checked.experiment, facts)
    store = Store(folder) if checked.kept else None
    if store is not None:
        stored = store.undamaged()
        check_planned(store, stored)
        store.check_data(facts, dataset.test_labels, stored)
        aside = store.set_damaged_aside(facts, dataset.test_labels)
        for sentence in (*aside, *store.set_damaged_probes_aside(), *store.left_out()):
            observer.noticed(sentence)
        before = len(results_stored(store)) + len(aside)
    request = Request(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        norms=checked.asked.norms,
        seeds=checked.asked.seeds,
        design=checked.design,
        results_before=before,
        batch_sizes=checked.experiment.batch_sizes,
        rules=RULES,
    )
    if store is None:
        store = Store.create(folder, checked.experiment, request)
        _keep_out_of_repositories(folder)
    else:
        store.ask(checked.experiment, request)
    store.describe(facts, dataset.test_labels, summaries)
    store.keep_sources(sources_of(checked.experiment))
    return store


def _keep_out_of_repositories(folder: Path) -> None:
    """What lies in the usual place is hidden from git, unless its owner says otherwise there."""
    if folder.parent == RUNS and not (RUNS / GITIGNORE).exists():
        with suppress(OSError):  # a place where only the experiment may write is good enough
            (RUNS / GITIGNORE).write_text("*\n", encoding="utf-8")


def _summaries(experiment: Experiment, facts: DatasetFacts) -> list[ModelSummary]:
    data = len(facts.class_names), facts.image_shape
    return [summarize(experiment.model, norm, *data) for norm in experiment.norms]


@contextmanager
def pictures_kept(store: Store, dataset: Dataset) -> Iterator[None]:
    """Leave in the folder the pictures its report shows, however the training ends."""
    try:
        yield
    except BaseException as reason:
        try:
            keep_pictures(store, dataset)
        except NormscopeError as error:
            raise reason from error  # why the training ended matters more
        raise
    keep_pictures(store, dataset)


def keep_pictures(store: Store, dataset: Dataset) -> None:
    """Leave in the folder the pictures that its report shows by now."""
    store.add_pictures(dataset.test_images, pictures_shown(store))


def pictures_shown(store: Store) -> set[int]:
    """Indexes of the test images that the report shows."""
    experiment, names, labels = store.experiment, store.facts().class_names, store.test_labels()
    size = experiment.main_batch_size
    main = [r for r in results_stored(store) if r.trial.recipe.batch_size == size]
    tallies = Tallies(experiment.norms, labels, len(names))
    for result, own in zip(main, store.summarised(main, answered), strict=True):
        tallies.add(result, own)
    return find_mistakes(tallies.by_norm, names, labels).pictures()
