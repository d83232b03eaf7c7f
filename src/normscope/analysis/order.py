"""The one order in which everything shows the norms: the baseline, then by test accuracy."""

from collections.abc import Collection, Hashable, Mapping
from statistics import fmean
from typing import TypeVar

from normscope.analysis.contrasts import candidates
from normscope.analysis.metrics import TEST_ACCURACY
from normscope.analysis.summaries import Trials
from normscope.experiment import Experiment

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def in_order(experiment: Experiment, trials: Trials) -> Experiment:
    """The experiment with its norms in the order in which they are shown.

    The baseline, then the candidates, then what is no choice; each of these by the mean test
    accuracy of the finished trials at the main batch size, the best first. Norms without a finished
    trial are last, as they were asked for.
    """
    chosen, size = candidates(experiment), experiment.main_batch_size

    def place(norm: str) -> tuple[bool, float]:
        reached = [t.metrics[TEST_ACCURACY.name] for t in trials.of(norm, size) if t.metrics]
        known = [percent for percent in reached if percent is not None]
        return norm not in chosen, -fmean(known) if known else 0.0

    baseline, *others = experiment.norms
    return experiment.model_copy(update={"norms": (baseline, *sorted(others, key=place))})


def sorted_by(order: Collection[Key], found: Mapping[Key, Value]) -> dict[Key, Value]:
    """The same mapping in this order, which has all of its keys."""
    return {key: found[key] for key in order if key in found}
