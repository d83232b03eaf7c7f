"""The whole pipeline: experiment -> plan -> what is missing -> run -> store -> analyse -> report.

This is the file to open first; the one to open second is `run.py`, which trains one trial.
"""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from normscope.analysis.mistakes import find_mistakes
from normscope.data import DATASETS, Dataset, load_dataset
from normscope.errors import NormscopeError, UsageError, lookup
from normscope.executors.fleets import Fleets, fleets
from normscope.executors.inline import Inline
from normscope.executors.processes import Processes, available_cores
from normscope.experiment import (
    LEAST_SEEDS,
    Design,
    Experiment,
    ModelSummary,
    Request,
    Result,
    Trial,
)
from normscope.experiment.plan import Forecast, plan
from normscope.experiment.tuning import chosen_rates, tuning_plan
from normscope.models import MODELS
from normscope.models.summary import summarize
from normscope.norms import NORMS
from normscope.observers import Observer, PlainLines
from normscope.store import Store, preview
from normscope.study.comparison import Comparison
from normscope.study.rounds import Watch, rounds
from normscope.training import kernels_for
from normscope.training.trial import (
    check_precision,
    choose_device,
    estimate_trial,
    lost_trial,
    run_fleet,
    run_trial,
)

FLEET = 32  # trials at once on a GPU, unless said otherwise; by estimate 20 GB of its memory


def compare(
    experiment: Experiment,
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    observer: Observer | None = None,
    command: str | None = None,
    design: Design | None = None,
    budget_s: float | None = None,
) -> Comparison:
    """Train what is missing of an experiment, then analyse and report all that its folder holds.

    `out` is the experiment's folder (default: ``runs/`` and the experiment's name), `data_dir` the
    first place to look for the data set, `device` "auto", "cpu" or "cuda", `workers` the number of
    trials that run at once (default: one per core of a CPU, a fleet of 32 on a GPU); `observer` is
    told of the progress (default: it prints a line per epoch); `command` is what the report gives
    as the way to repeat the experiment (default: this call). `design` says how verdicts are
    reached (default: the folder's alpha, margin and levels, fixed); until decided, 6 seeds are run
    first, and nothing is begun that would probably end after `budget_s` seconds, but for the first
    seeds. Raises `UsageError` or `RunError`, in one line that says what to do;
    every trial that ended before that, or before a KeyboardInterrupt, stays in the folder, and the
    next call goes on from there.
    """
    observer, folder = observer or PlainLines(), folder_of(experiment, out)
    design = design or kept_design(folder)
    check_names(experiment)
    experiment = begun(experiment, design)
    where = choose_device(device)
    check_precision(experiment.recipe.precision, where)
    check_workers(experiment, where, workers)
    whole = preview(folder, experiment)  # refuse an unfit folder before a data set is downloaded
    check_design(whole, design, budget_s)
    dataset = _load(experiment, data_dir, observer)
    with Store.lock(folder):
        request = _request(folder, experiment, design, command)
        store = _open_store(folder, experiment, dataset, request)
        watch = Watch(store, design, observer)
        with _pictures_kept(store, dataset):
            at_once = workers_or_default(where, workers)
            for todo in rounds(store, design, budget_s, at_once, observer):
                trials = store.plan()
                if todo and todo[0].validation:
                    trials = tuning_plan(store.experiment, store.tuning())
                results, how = start(trials, todo, dataset, where, workers, observer)
                observer.started(todo, len(trials) - len(store.missing(trials)), how)
                with closing(results):
                    for result in results:
                        store.add(result)
                        observer.trial_ended(result)
                        watch.added(result)
        comparison = Comparison.read(store.folder)
        comparison.report()
    return comparison


def begun(experiment: Experiment, design: Design) -> Experiment:
    """The experiment with the seeds that its design begins with.

    Raises `UsageError` if the experiment fixes its seeds and the design does not.
    """
    if not design.until_decided:
        return experiment
    if "seeds" in experiment.model_fields_set:
        raise UsageError(
            "the experiment fixes its seeds and --until-decided does not; leave one out"
        )
    return experiment.model_copy(update={"seeds": min(LEAST_SEEDS, design.max_seeds)})


def check_design(experiment: Experiment, design: Design, budget_s: float | None) -> None:
    """Raise `UsageError` if there is nothing to decide, or a budget for what does not go on."""
    if design.until_decided and len(experiment.norms) < 2:
        raise UsageError("one norm leaves nothing to decide; name two or more in --norms")
    if budget_s is not None and not design.until_decided:
        raise UsageError("a budget of time needs a design until decided")


def kept_design(folder: Path) -> Design:
    """The alpha, margin and levels that a folder was last asked for, or the defaults."""
    if not Store.exists(folder) or not Store(folder).requests:
        return Design()
    last = Store(folder).requests[-1].design
    return Design(
        alpha=last.alpha, margin_points=last.margin_points, levels_percent=last.levels_percent
    )


def check_baseline(folder: Path, baseline: str) -> None:
    """Raise `UsageError` if the folder compares with another norm."""
    kept = Store(folder).experiment.baseline if Store.exists(folder) else baseline
    if kept != baseline:
        raise UsageError(
            f"{folder} compares with {kept}, not {baseline}; leave out --baseline, or choose "
            "another folder with --out"
        )


def workers_or_default(device: torch.device, workers: int | None) -> int:
    """How many trials run at once, unless there are fewer."""
    return workers or (FLEET if device.type == "cuda" else available_cores())


def folder_of(experiment: Experiment, out: Path | str | None) -> Path:
    """Where an experiment is kept: `out`, or a folder named after it in ``runs/``."""
    return Path(out) if out else Path("runs") / experiment.slug


def start(
    trials: list[Trial],
    todo: list[Trial],
    dataset: Dataset,
    device: torch.device,
    workers: int | None,
    observer: Observer,
) -> tuple[Generator[Result], str]:
    """The results as they come, in the way that is fastest here, and the words that say how."""
    at_once, threads = share(trials, todo, device, workers)
    one = partial(run_trial, dataset=dataset, device=device)
    precision = todo[0].recipe.precision if todo else ""
    words = f"{at_once} at a time on {device.type}, {precision}"
    if device.type == "cuda":
        fleet = partial(run_fleet, dataset=dataset, device=device)
        return Fleets(at_once).run(fleet, todo, observer), f"{words}, as one network"
    if workers == 1 or available_cores() == 1:
        words = f"{words}, threads: {torch.get_num_threads()}, norms by {kernels_for(device)}"
        return Inline().run(one, todo, observer), words
    processes = Processes(at_once, threads, partial(lost_trial, device))
    words = f"{words}, threads: {threads} each, norms by {kernels_for(device)}"
    return processes.run(one, todo, observer), words


def share(
    trials: list[Trial], todo: list[Trial], device: torch.device, workers: int | None
) -> tuple[int, int]:
    """How many trials run at once, and with how many threads each.

    Threads change the last bits of a result, so they depend on the whole experiment and not on how
    much of it is left.
    """
    if device.type == "cuda":
        sizes = [len(fleet) for fleet in fleets(todo, workers or FLEET)]
        return max(sizes, default=1), available_cores()
    at_once = min(workers or available_cores(), max(1, len(trials)))
    return min(at_once, max(1, len(todo))), max(1, available_cores() // at_once)


def check_workers(experiment: Experiment, device: torch.device, workers: int | None) -> None:
    """Raise `UsageError` if a norm is a script's own: a worker's table does not have it."""
    if device.type == "cuda" or workers == 1 or available_cores() == 1:
        return
    for norm in experiment.norms:
        home = str(getattr(NORMS[norm], "__module__", None))
        if not home.startswith("normscope."):
            raise UsageError(f"the norm {norm} is of your own program; use --workers 1 (workers=1)")


def check_names(experiment: Experiment) -> None:
    """Raise `UsageError`, listing the known names, if the experiment uses one that is unknown."""
    lookup(DATASETS, "data set", experiment.dataset)
    lookup(MODELS, "model", experiment.model)
    for norm in experiment.norms:
        lookup(NORMS, "norm", norm)


def forecast(
    experiment: Experiment,
    *,
    out: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    design: Design | None = None,
) -> Forecast:
    """Foresee a `compare` without training or writing anything.

    The time is measured on a few steps of each norm on this machine, right now. Of a design until
    decided only the seeds that it begins with are foreseen, and of a search for learning rates the
    grid; what follows from it is listed with the recipe's rate. Raises `UsageError` as `compare`
    does.
    """
    check_names(experiment)
    experiment = begun(experiment, design or Design())
    where = choose_device(device)
    check_precision(experiment.recipe.precision, where)
    folder = folder_of(experiment, out)
    whole = preview(folder, experiment)
    check_design(whole, design or Design(), None)
    trials = _foreseen(folder, whole)
    todo = Store(folder).missing(trials) if Store.exists(folder) else trials
    source = DATASETS[experiment.dataset]
    sizes = experiment.train_limit or source.train_size, experiment.test_limit or source.test_size
    for asked, there in zip(sizes, (source.train_size, source.test_size), strict=True):
        if asked > there:
            raise UsageError(f"{asked} images of {experiment.dataset} were asked for of {there}")
    _check_batch(experiment, sizes[0])
    at_once, threads = share(trials, todo, where, workers)
    estimate = partial(estimate_trial, device=where, threads=threads)
    kinds = {(t.norm, t.recipe.batch_size): t for t in todo[::-1]}
    costs = {kind: estimate(t, *sizes, source.num_classes) for kind, t in kinds.items()}
    return Forecast(
        folder=folder,
        trials=tuple(trials),
        todo=tuple(todo),
        # What a fleet saves is not known before it runs.
        seconds=sum(costs[t.norm, t.recipe.batch_size].seconds for t in todo)
        / (at_once if where.type == "cpu" else 1),
        disk_bytes=sum(costs[t.norm, t.recipe.batch_size].disk_bytes for t in todo),
    )


def seconds_per_trial(experiment: Experiment) -> float:
    """Seconds of this machine that a trial takes, the mean over the norms, timed right now.

    With as many at once as `compare` runs. Raises `UsageError` as `forecast` does.
    """
    with TemporaryDirectory() as nowhere:
        foreseen = forecast(experiment, out=nowhere)
    return foreseen.seconds / len(foreseen.todo)


def _foreseen(folder: Path, experiment: Experiment) -> list[Trial]:
    if experiment.protocol == "drop-in":
        return plan(experiment)
    tuned = Store(folder).tuning() if Store.exists(folder) else []
    rates = chosen_rates(experiment, tuned)
    open_ = [t for t in plan(experiment) if (t.norm, t.recipe.batch_size) not in rates]
    return [*tuning_plan(experiment, tuned), *plan(experiment, rates), *open_]


def _load(experiment: Experiment, data_dir: Path | str | None, observer: Observer) -> Dataset:
    dataset = load_dataset(
        experiment.dataset,
        Path(data_dir) if data_dir else None,
        experiment.train_limit,
        experiment.test_limit,
        progress=observer.downloaded,
    )
    _check_batch(experiment, len(dataset.train_images))
    return dataset


def _check_batch(experiment: Experiment, images: int) -> None:
    batch = max(experiment.batch_sizes)
    if experiment.protocol == "tuned":
        images -= images // 10  # what is held out
    if batch > images:
        raise UsageError(f"a batch of {batch} is larger than the training set of {images} images")


def _open_store(folder: Path, experiment: Experiment, dataset: Dataset, request: Request) -> Store:
    """Make or extend the folder; one that is refused, or cannot be reported on, stays as it is."""
    facts, whole = dataset.facts(), preview(folder, experiment)
    summaries = _summaries(whole, dataset)
    if Store.exists(folder):
        Store(folder).check_data(facts, dataset.test_labels)
    store = Store.open(folder, experiment, request)
    store.describe(facts, dataset.test_labels, summaries)
    return store


def has_results(folder: Path) -> bool:
    """Whether the folder of an experiment holds a result to report on."""
    return Store.exists(folder) and bool(Store(folder).results() or Store(folder).tuning())


def _request(folder: Path, experiment: Experiment, design: Design, command: str | None) -> Request:
    before = len(Store(folder).results()) if Store.exists(folder) else 0
    return Request(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command or f"normscope.compare({experiment!r})",
        norms=experiment.norms,
        seeds=experiment.seeds,
        design=design,
        results_before=before,
        batch_sizes=preview(folder, experiment).batch_sizes,
    )


def _summaries(experiment: Experiment, dataset: Dataset) -> list[ModelSummary]:
    classes = len(dataset.class_names)
    return [summarize(experiment.model, norm, classes) for norm in experiment.norms]


@contextmanager
def _pictures_kept(store: Store, dataset: Dataset) -> Iterator[None]:
    """Leave in the folder the pictures its report shows, however the training ends."""

    def keep() -> None:
        size, facts = store.experiment.main_batch_size, store.facts()
        main = [r for r in store.results() if r.trial.recipe.batch_size == size]
        mistakes = find_mistakes(
            main, store.experiment.norms, facts.class_names, store.test_labels()
        )
        store.add_pictures(dataset.test_images, mistakes.pictures())

    try:
        yield
    except BaseException as reason:
        try:
            keep()
        except NormscopeError as error:
            raise reason from error  # why the training ended matters more
        raise
    keep()
