"""Whether it matters where a norm sits: before its activation against after it, within seeds."""

from collections.abc import Sequence

from normscope.analysis.contrasts import accuracy_verdicts
from normscope.analysis.summaries import Trials
from normscope.analysis.verdicts import Rules, Verdict
from normscope.experiment import Experiment


def places_on(
    experiment: Experiment, trials: Trials, rules: Rules, chance_percent: float
) -> tuple[Verdict, ...]:
    """The verdict on every norm that sits at both places, before the activation against after it.

    Test accuracy at the main batch size, in points: one family. The `norm` of a verdict is the one
    before the activation, its `baseline` the same norm after it. `chance_percent` as for
    `verdicts_on`.
    """
    size = experiment.main_batch_size
    compared = [(pre, post, size) for pre, post in at_both_places(experiment.norms)]
    return tuple(accuracy_verdicts(experiment, trials, compared, rules, chance_percent))


def at_both_places(norms: Sequence[str]) -> list[tuple[str, str]]:
    """``("gn:groups=2:pre", "gn:groups=2")`` for every norm that is there with and without pre.

    An experiment writes a norm in one way only (`normscope.norms.canonical`), with its place last,
    and without any if the place makes no difference.
    """
    return [(f"{norm}:pre", norm) for norm in norms if f"{norm}:pre" in norms]
