"""Whether untrained networks foresaw the order of the norms after training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from normscope.analysis.metrics import AREA, DROP_SUM, TEST_ACCURACY, Metric
from normscope.analysis.summaries import NormSummary
from normscope.experiment import Costs, Predictors
from normscope.stats import holm, kendall

# Of five norms only two orders of 120 are extreme enough, and Holm's correction makes that 0.05.
LEAST_NORMS = 6


@dataclass(frozen=True)
class Prediction:
    """How far the order of norms by a predictor agrees with their order by a metric.

    `tau` is Kendall's over so many `norms`, above 0 where they come as arXiv:2106.05956 foresees
    it; None if all are equal in one of the two. `p_value` is Holm's over all predictions.
    """

    predictor: str
    metric: Metric
    norms: int
    tau: float | None
    p_value: float


SIMILARITY = "similarity of samples"
GRADIENT = "gradient norm of the first layer"

# What foresees what: a smaller predictor is better, so that the sign of the metric decides.
FORESEEN: tuple[tuple[str, Callable[[Predictors], float], Metric], ...] = (
    (SIMILARITY, lambda found: found.last_similarity, AREA),
    (SIMILARITY, lambda found: found.last_similarity, TEST_ACCURACY),
    (GRADIENT, lambda found: found.first_gradient_norm, DROP_SUM),
)


def predictions_of(costs: Costs | None, norms: Sequence[NormSummary]) -> tuple[Prediction, ...]:
    """Every prediction, over norms whose trials all finished; none of fewer than `LEAST_NORMS`."""
    known = {each.norm: each.predictors for each in costs.norms} if costs else {}
    both = [
        (found, norm)
        for norm in norms
        if norm.finished == norm.trials and (found := known.get(norm.norm))
    ]
    if len(both) < LEAST_NORMS:
        return ()
    found = []
    for predictor, value, metric in FORESEEN:
        sign = -1 if metric.better == "higher" else 1
        means = [norm.estimates[metric.name].mean or 0.0 for _, norm in both]
        agreement = kendall([value(each) for each, _ in both], [sign * mean for mean in means])
        found.append((predictor, metric, *agreement))
    corrected = holm([p for *_, p in found])
    return tuple(
        Prediction(predictor, metric, len(both), tau, float(p))
        for (predictor, metric, tau, _), p in zip(found, corrected, strict=True)
    )
