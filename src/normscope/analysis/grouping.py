"""Whether it matters which channels share statistics, and which statistics are a channel's own."""

from collections.abc import Sequence

from normscope.analysis.contrasts import accuracy_verdicts
from normscope.analysis.summaries import Trials
from normscope.analysis.verdicts import Rules, Verdict
from normscope.experiment import Experiment
from normscope.norms import in_given_order, order_of, parse, renamed

SIMILAR, DISSIMILAR = "similar-", "dissimilar-"
HALVES = ("bn-scale", "bn-center")  # bn that only divides, and bn that only subtracts


def grouping_on(
    experiment: Experiment, trials: Trials, rules: Rules, chance_percent: float
) -> tuple[Verdict, ...]:
    """The verdicts on the pairs of `planned`, on test accuracy at the main batch size: one family.

    `chance_percent` as for `verdicts_on`.
    """
    size = experiment.main_batch_size
    compared = [(norm, other, size) for norm, other in planned(experiment.norms)]
    return tuple(accuracy_verdicts(experiment, trials, compared, rules, chance_percent))


def planned(norms: Sequence[str]) -> list[tuple[str, str]]:
    """What is compared with what, of the norms that are there.

    Groups of similar channels with groups of dissimilar ones; channels in random order with those
    in the order given, which is a norm against itself; and half of bn with the whole of it.
    """
    pairs = [(norm, other) for norm in norms if (other := _counterpart(norm))]
    return [(norm, other) for norm, other in pairs if other in norms]


def _counterpart(norm: str) -> str | None:
    order = order_of(norm)
    if order is not None and order.startswith(SIMILAR):
        return norm.replace(f"order={SIMILAR}", f"order={DISSIMILAR}")
    if order == "random":
        return in_given_order(norm)
    return renamed(norm, "bn") if parse(norm).name in HALVES else None
