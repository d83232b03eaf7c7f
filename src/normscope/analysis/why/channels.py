"""The notion behind bn, from the channels of a network: its two readings.

"Each channel in a given layer tries to extract more or less the same feature" has two readings.
R1: one channel is one feature, at all positions and in all images; this is the case for statistics
per channel. R2: the channels of a layer resemble each other; then statistics shared by channels do
no harm. They lead to opposite expectations, so each has a sentence of its own.
"""

from collections.abc import Sequence

from normscope.analysis.numbers import Numbers
from normscope.analysis.why.reading import (
    LEAST_SEEDS,
    Outcome,
    Reading,
    by_layer,
    first,
    last_of,
    listed,
    probes_of,
    scales_of,
    scope_of,
)
from normscope.stats import Estimate

# More of a channel is shared than is its own: the middle of every scale that is asked here.
HALF = 0.5

ALIKE = {
    "redundancy.sameness_position": "sameness",
    "redundancy.best_r2_position": "best r²",
    "substitution.s1": "S1",
}
BESIDE = {
    "redundancy.sameness_before_activation": "before the activation",
    "redundancy.sameness_pooled": "pooled over pixels",
}


def alike(numbers: Numbers) -> Reading | None:
    """R2, of the baseline's trained networks."""
    norm, rules = numbers.experiment.baseline, numbers.rules
    own, last = probes_of(norm, numbers), last_of(numbers)
    scales = scales_of(own, ALIKE, rules, last)
    if scales is None:
        return None
    outcome = decided([scale.estimate for scale in scales])
    plain = {
        "supported": f"In a trained network of {norm} the channels of a layer say much the same, "
        "on average over layers.",
        "contradicted": f"In a trained network of {norm} no single other channel of the layer says "
        "most of what a channel says, on average over layers.",
        "not decided": f"Whether channels of {norm} say much the same is open.",
    }[outcome]
    beside = scales_of(own, BESIDE, rules, last) or []
    untrained = scales_of(own, {"redundancy.sameness_position": "untrained"}, rules, first) or []
    floor = scales_of(own, {"floor.sameness": "shuffled between images"}, rules, last) or []
    context = "; ".join(scale.words for scale in [*untrained, *floor, *beside])
    return Reading(
        "The channels of a layer resemble each other",
        plain,
        outcome,
        f"At each position, on a scale from 0 (nothing in common) to 1 (alike), {listed(scales)} "
        f"({scope_of(scales, rules)}); all three must lie above {HALF}, or all below. By layer: "
        f"{by_layer(own, ALIKE, last)}.",
        "This is per position after the activation. "
        + (f"Sameness {context}." if context else "Other ways of looking were not taken."),
    )


FEATURE = {
    "features.mean_channel": "of the means",
    "features.log_sd_channel": "of the logarithms of the deviations",
}


# What else there is in a map's mean.
REST = {
    "features.mean_image": "which image",
    "features.mean_interaction": "which channel meets which image",
}


def one_feature(numbers: Numbers) -> Reading | None:
    """R1, of the baseline's trained networks."""
    norm, rules = numbers.experiment.baseline, numbers.rules
    own, last = probes_of(norm, numbers), last_of(numbers)
    scales = scales_of(own, FEATURE, rules, last)
    if scales is None:
        return None
    rest = scales_of(own, REST, rules, last)
    outcome = decided([scale.estimate for scale in scales])
    plain = {
        "supported": f"How strongly a channel of {norm} responds is mostly a fixed property of the "
        "channel, on average over layers.",
        "contradicted": f"How strongly a channel of {norm} responds is mostly not a fixed property "
        "of the channel: it depends on the image, on average over layers.",
        "not decided": f"Whether how strongly a channel of {norm} responds is a fixed property of "
        "the channel is open.",
    }[outcome]
    return Reading(
        "One channel is one feature, equally strong in all images",
        plain,
        outcome,
        "Every map has a mean and a standard deviation. Which channel it is of accounts for this "
        f"share of their variance over channels and images: {listed(scales)} "
        f"({scope_of(scales, rules)}); both must lie above {HALF}, or both below. By layer: "
        f"{by_layer(own, FEATURE, last)}."
        + (f" Of the means, the rest: {listed(rest)}." if rest else ""),
        "A filter is the same in all images; this is of how strongly it responds to them.",
    )


def decided(estimates: Sequence[Estimate]) -> Outcome:
    """Whether all intervals lie above `HALF`, or all below, over `LEAST_SEEDS` seeds or more.

    All of them must, so each may be at the full level (intersection-union).
    """
    if any(estimate.n < LEAST_SEEDS or estimate.low is None for estimate in estimates):
        return "not decided"
    if all(estimate.low > HALF for estimate in estimates):  # pyright: ignore  # none is None
        return "supported"
    if all(estimate.high < HALF for estimate in estimates):  # pyright: ignore
        return "contradicted"
    return "not decided"
