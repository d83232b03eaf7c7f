"""The trackers of an experiment: told of what is stored, of what is trained, and of the report."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from normscope.analysis.summaries import NormSummary
from normscope.errors import RunError
from normscope.observers import TRACKERS, NormOutcome, Observer, Report, Several
from normscope.observers.tracker import Tracker
from normscope.observers.tracking import Tracking, reason
from normscope.report import SUMMARY
from normscope.store import Store
from normscope.store.folder import ExperimentFolder
from normscope.study.comparison import Comparison


@contextmanager
def tracked(names: Sequence[str], store: Store, observer: Observer) -> Iterator[Observer]:
    """An observer that also tells the trackers of these names, until this is left.

    Trials that the folder holds already are told of first. Raises `RunError` if a tracker does not
    start.
    """
    with ExitStack() as until_left:
        trackings = []
        for name in names:
            tracker = _start(name, store.folder)
            tracking = Tracking(name, tracker, observer.noticed)
            trackings.append(until_left.enter_context(closing(tracking)))
            observer.noticed(f"Trials are logged to {name}; to see them: {tracker.look}")
        for result in store.undamaged():
            for tracking in trackings:
                tracking.stored(result)
        yield Several(observer, *trackings)


def _start(name: str, folder: Path) -> Tracker:
    try:
        return TRACKERS[name](ExperimentFolder(folder).log(name), folder.resolve().name)
    except Exception as error:  # of whatever type: it is the library of somebody else
        raise RunError(
            f"{name} does not start ({reason(error)}); nothing was trained. Mend that, or leave "
            f"{name} out of --log"
        ) from error


def report_of(comparison: Comparison) -> Report:
    """What trackers are told of a report that is written."""
    analysis = comparison.analysis
    return Report(
        experiment=analysis.experiment,
        recommendation=analysis.recommendation.text,
        outcomes=tuple(map(_outcome, analysis.by_batch_size)),
        page=comparison.page,
        summary=comparison.folder / SUMMARY,
    )


def _outcome(norm: NormSummary) -> NormOutcome:
    return NormOutcome(
        norm=norm.norm,
        batch_size=norm.batch_size,
        verdict=norm.outcome,
        test_accuracy_percent_mean=norm.test_accuracy_percent.mean,
        difference_points_mean=norm.difference.mean,
        difference_points_low=norm.difference.low,
        difference_points_high=norm.difference.high,
        difference_points_n=norm.difference.n,
    )
