"""Probes -> what they say of the notion that a channel is one feature, and of a drop of bn.

"Each channel in a given layer tries to extract more or less the same feature" has two readings.
R1: one channel is one feature, at all positions and in all images; this is the case for statistics
per channel. R2: the channels of a layer resemble each other; then statistics shared by channels do
no harm. They lead to opposite expectations, so each has a sentence of its own.

All thresholds here were fixed before any recorded run was looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from normscope.analysis.numbers import Numbers
from normscope.analysis.verdicts import Rules
from normscope.experiment import Probes, Series
from normscope.stats import Estimate, confidence_sequence, holm, mcnemar, t_interval
from normscope.words import confidence, counted, number

# More of a channel is shared than is its own: the middle of every scale that is asked here.
HALF = 0.5
LEAST_SEEDS = 5  # below, an interval over seeds is wider than the scales it is on
DROP_POINTS = 1.0  # what a reader of a curve would call a drop; test noise has an sd of 0.3

Outcome = Literal["supported", "contradicted", "not decided"]


@dataclass(frozen=True)
class Reading:
    """What the probes say of one claim, first in words that need no statistics.

    `text` gives the numbers that decide it, `limits` what they do not say.
    """

    claim: str
    plain: str
    outcome: Outcome
    text: str
    limits: str

    def __str__(self) -> str:
        return f"{self.claim}: {self.outcome}. {self.plain} {self.text} {self.limits}"


@dataclass(frozen=True)
class Scale:
    """One measure in the norms' networks: its name for people, and an estimate over seeds."""

    name: str
    estimate: Estimate

    @property
    def words(self) -> str:
        mean, low, high = (
            number(each, 2) for each in (self.estimate.mean, self.estimate.low, self.estimate.high)
        )
        return (
            f"{self.name} {mean} ({low} to {high})"
            if self.estimate.n > 1
            else f"{self.name} {mean}"
        )


def readings_of(numbers: Numbers) -> tuple[Reading, ...]:
    """What can be said of the baseline's network; nothing without probes of finished trials."""
    norm, rules = numbers.experiment.baseline, numbers.rules
    own = probes_of(norm, numbers)
    made = (_alike(own, norm, rules), _one_feature(own, norm, rules), _bump(own, rules))
    return tuple(reading for reading in made if reading is not None)


def probes_of(norm: str, numbers: Numbers) -> list[Probes]:
    """Of each finished trial of a norm that was looked into, at the main batch size."""
    return [
        numbers.probes[result.trial.id]
        for result in numbers.results
        if result.trial.norm == norm
        and result.status == "finished"
        and result.trial.id in numbers.probes
    ]


@dataclass(frozen=True)
class Inside:
    """What a norm's trained networks are like: each measure is a mean over layers, over `n` seeds.

    None where it was not measured.
    """

    norm: str
    n: int
    measures: Mapping[str, float | None]


# What is shown of every norm, by its heading: the measure, and whether the network is trained.
SHOWN: dict[str, tuple[str, bool]] = {
    "Sameness, untrained": ("redundancy.sameness_position", False),
    "Sameness": ("redundancy.sameness_position", True),
    "Shuffled": ("floor.sameness", True),
    "Pooled": ("redundancy.sameness_pooled", True),
    "Best r²": ("redundancy.best_r2_position", True),
    "S1": ("substitution.s1", True),
    "Channels' share": ("variance.channel", True),
    "Images' share": ("variance.sample", True),
    "Share of both together": ("variance.interaction", True),
    "Affine gap": ("affine-gap.affine_gap", True),
}


def inside_of(numbers: Numbers) -> tuple[Inside, ...]:
    """Of every norm whose trials were looked into."""
    rows = []
    for norm in numbers.experiment.norms:
        own = probes_of(norm, numbers)
        measures = {}
        for heading, (name, trained) in SHOWN.items():
            values = _values(own, name, last if trained else first)
            measures[heading] = float(np.mean(values)) if values else None
        if any(value is not None for value in measures.values()):
            rows.append(Inside(norm, len(own), measures))
    return tuple(rows)


# -- R2: channels resemble each other ----------------------------------------------------------

ALIKE = {
    "redundancy.sameness_position": "sameness",
    "redundancy.best_r2_position": "best r²",
    "substitution.s1": "S1",
}
BESIDE = {
    "redundancy.sameness_before_activation": "before the activation",
    "redundancy.sameness_pooled": "pooled over pixels",
}


def _alike(own: Sequence[Probes], norm: str, rules: Rules) -> Reading | None:
    scales = _scales(own, ALIKE, rules, last)
    if scales is None:
        return None
    outcome = decided([scale.estimate for scale in scales])
    plain = {
        "supported": f"In a trained network of {norm} the channels of a layer say much the same.",
        "contradicted": f"In a trained network of {norm} most of what a channel says is its own.",
        "not decided": f"Whether channels of {norm} say much the same is open.",
    }[outcome]
    beside = _scales(own, BESIDE, rules, last) or []
    untrained = _scales(own, {"redundancy.sameness_position": "untrained"}, rules, first) or []
    floor = _scales(own, {"floor.sameness": "shuffled between images"}, rules, last) or []
    context = "; ".join(scale.words for scale in [*untrained, *floor, *beside])
    return Reading(
        "The channels of a layer resemble each other",
        plain,
        outcome,
        f"At each position, on a scale from 0 (nothing in common) to 1 (alike), {_listed(scales)} "
        f"({_of(scales, rules)}); all three must lie above {HALF}, or all below.",
        "This is per position after the activation. "
        + (f"Sameness {context}." if context else "Other ways of looking were not taken."),
    )


# -- R1: a channel is one feature -----------------------------------------------------------------

FEATURE = {
    "features.mean_channel": "of a map's mean",
    "features.log_sd_channel": "of its log deviation",
}


def _one_feature(own: Sequence[Probes], norm: str, rules: Rules) -> Reading | None:
    scales = _scales(own, FEATURE, rules, last)
    if scales is None:
        return None
    outcome = decided([scale.estimate for scale in scales])
    plain = {
        "supported": f"Which channel it is says more of a map of {norm} than which image it is of.",
        "contradicted": f"Which channel it is says little of a map of {norm}: the image counts.",
        "not decided": f"Whether the channel or the image says more of a map of {norm} is open.",
    }[outcome]
    return Reading(
        "One channel is one feature, in all images",
        plain,
        outcome,
        f"The channel's share {_listed(scales)} ({_of(scales, rules)}); both must lie above "
        f"{HALF}, or both below. The rest is the image's and of both together.",
        "A channel may be one feature and still be strong in some images and weak in others.",
    )


# -- the bump: are running statistics at fault? ----------------------------------------------------


@dataclass(frozen=True)
class Drop:
    """The deepest fall of one seed's accuracy by running statistics from one epoch to the next.

    `running` and `precise` are by how many points accuracy fell by either, and `p` is McNemar's
    for the images that one of them alone gets right in the epoch of the fall.
    """

    epoch: float
    running: float
    precise: float
    gain: float
    p: float


def drop_of(probes: Probes) -> Drop | None:
    """None without accuracies of two epochs."""
    running, precise = (
        probes.series.get(f"eval-gap.{name}_percent") for name in ("running", "precise")
    )
    if running is None or precise is None or len(running.epochs) < 3:
        return None
    trained = running.epochs > 0
    fell = -np.diff(running.readings[trained])
    deepest = int(fell.argmax())
    place = int(np.flatnonzero(trained)[deepest + 1])
    only = [
        round(float(probes.series[f"eval-gap.only_{name}"].readings[place]))
        for name in ("running_precise", "precise")
    ]
    return Drop(
        epoch=float(running.epochs[place]),
        running=float(fell[deepest]),
        precise=float(-np.diff(precise.readings[trained])[deepest]),
        gain=float(precise.readings[place] - running.readings[place]),
        p=mcnemar(*only),
    )


def _bump(own: Sequence[Probes], rules: Rules) -> Reading | None:
    found = [drop for each in own if (drop := drop_of(each)) is not None]
    drops = [drop for drop in found if drop.running >= DROP_POINTS]
    if not found:
        return None
    corrected = holm([drop.p for drop in drops])
    halved = [drop.precise < drop.running / 2 for drop in drops]
    at_fault = [
        less and drop.gain > 0 and p <= rules.alpha
        for drop, less, p in zip(drops, halved, corrected, strict=True)
    ]
    outcome: Outcome = "not decided"
    if len(drops) >= LEAST_SEEDS and all(at_fault):
        outcome = "supported"
    elif len(drops) >= LEAST_SEEDS and not any(halved):
        outcome = "contradicted"
    told = "; ".join(
        f"epoch {drop.epoch:g}: {number(drop.running, 1)} points by running, "
        f"{number(drop.precise, 1)} by precise statistics"
        for drop in drops
    )
    none = len(found) - len(drops)
    plain = (
        f"In {sum(at_fault)} of {counted(len(found), 'seed')} the deepest fall of the accuracy is "
        "one of the statistics that the network is tested with, and not of the network"
        + (f"; in {none} there is none of a point." if none else ".")
    )
    return Reading(
        "A sudden drop of the test accuracy comes from the running statistics",
        plain,
        outcome,
        f"Deepest falls: {told or 'none of a point or more'}. Running statistics are at fault if "
        "precise ones get more images right in that epoch (McNemar's exact test, with Holm's "
        "correction over seeds) and fall by less than half as much, and are not if these fall by "
        "half as much or more.",
        "On 1,000 of the test images.",
    )


# -- what they share -------------------------------------------------------------------------------


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


def first(series: Series) -> np.ndarray:
    """The readings of the untrained network."""
    return series.first if series.epochs[0] == 0 else np.full_like(series.first, np.nan)


def last(series: Series) -> np.ndarray:
    return series.last


def _scales(
    own: Sequence[Probes],
    names: Mapping[str, str],
    rules: Rules,
    moment: Callable[[Series], np.ndarray],
) -> list[Scale] | None:
    """Of each measure the mean over layers, over seeds; None if a seed lacks one."""
    scales = []
    for name, words in names.items():
        values = _values(own, name, moment)
        if not values or len(values) < len(own):
            return None
        scales.append(Scale(words, over_seeds(values, rules)))
    return scales


def _values(
    own: Sequence[Probes], name: str, moment: Callable[[Series], np.ndarray]
) -> list[float]:
    """Of each trial that has the measure, the mean over layers."""
    values = [layer_mean(moment(each.series[name])) for each in own if name in each.series]
    return [value for value in values if not np.isnan(value)]


def layer_mean(readings: np.ndarray) -> float:
    """Over the layers that have the measure; NaN if none has."""
    there = readings[~np.isnan(readings)]
    return float(there.mean()) if there.size else float("nan")


def over_seeds(values: Sequence[float], rules: Rules) -> Estimate:
    """Mean and interval, valid at every look where the design is sequential."""
    estimate = t_interval(values, 1 - rules.alpha)
    if not rules.sequential:
        return estimate
    sequence = confidence_sequence(values, rules.alpha)
    return Estimate(estimate.n, estimate.mean, estimate.sd, sequence.low, sequence.high)


def _listed(scales: Sequence[Scale]) -> str:
    return ", ".join(scale.words for scale in scales)


def _of(scales: Sequence[Scale], rules: Rules) -> str:
    n = scales[0].estimate.n
    spans = f"{confidence(rules.alpha)} intervals, " if n > 1 else ""
    few = f", where {LEAST_SEEDS} are the least to decide by" if n < LEAST_SEEDS else ""
    return f"{spans}{counted(n, 'seed')}{few}; means over layers"
