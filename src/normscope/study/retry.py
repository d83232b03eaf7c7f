"""Running again what failed in a folder, without the command that made it."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from normscope.executors.ray import OnRay
from normscope.experiment import Keeping, ProbePlan
from normscope.files import user_path
from normscope.observers import Observer, usual_observer
from normscope.store import Store
from normscope.study.checks import check
from normscope.study.compare import check_outcome, run
from normscope.study.comparison import Comparison
from normscope.study.heartbeat import heartbeat
from normscope.study.opening import (
    TRAINED_ON,
    experiment_in,
    joined,
    load,
    pictures_kept,
    reporting,
)
from normscope.study.rounds import trials_wanted
from normscope.study.stored import results_stored, search_results
from normscope.study.trackers import report_of, tracked
from normscope.words import counted


def retry(
    folder: Path | str,
    *,
    data_dir: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: str | OnRay | None = None,
    observer: Observer | None = None,
    probes: ProbePlan | Sequence[str] = (),
    checkpoint_s: float = Keeping.every_s,
    log: str | Sequence[str] = (),
) -> Comparison:
    """Run the failed trials of an experiment again, and no others; then report.

    A trial that diverged or collapsed is an outcome and stays. The arguments are those of
    `normscope.compare`. Raises `UsageError` if the folder holds no experiment, and what `compare`
    raises.
    """
    observer, folder = observer or usual_observer(), user_path(folder)
    checked = check(
        experiment_in(folder),
        out=folder,
        data_dir=data_dir,
        device=device,
        workers=workers,
        executor=executor,
        probes=probes,
        checkpoint_s=checkpoint_s,
        observer=observer,
        log=log,
    )
    dataset = load(checked.experiment, checked.data_dir, observer)
    with ExitStack() as until_left:
        store, claims = until_left.enter_context(joined(folder, lambda: Store(folder)))
        results = [*results_stored(store), *search_results(store)]
        store.check_data(dataset.facts(), dataset.test_labels, results, TRAINED_ON)
        told = until_left.enter_context(tracked(checked.log, store, observer))
        failed = [result.trial for result in results if result.status == "failed"]
        if not failed:
            observer.noticed("No trial has failed.")
        # A search for learning rates is a round of its own, as it was.
        of_search = [[t for t in failed if t.validation is search] for search in (True, False)]
        with (
            checked.machine.connected(),
            heartbeat(claims.own, told) as heard,
            pictures_kept(store, dataset),
        ):
            run(store, claims, checked, dataset, heard, filter(None, of_search))
        with reporting(folder, observer, store) as newest:
            stored = {result.trial.id for result in newest.records()}
            absent = sum(
                trial.id not in stored
                for trial in trials_wanted(newest, newest.requests[-1].design)
            )
            if absent and claims.alone():  # or another process is at them
                planned = counted(absent, "planned trial")
                observer.noticed(f"{planned} never ran; the command that planned them runs them.")
            comparison = Comparison.of(newest)
            comparison.report()
        told.reported(report_of(comparison))
    check_outcome(comparison)
    return comparison
