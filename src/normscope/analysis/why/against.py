"""How the baseline trains against every other norm: speed, smoothness, landscape and drift.

A claim that the baseline is ahead is supported if it is decided against every other norm, and
contradicted if the opposite is against one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from normscope.analysis.contrasts import Contrast
from normscope.analysis.grouping import order_of
from normscope.analysis.metrics import DROP_SUM, Metric
from normscope.analysis.numbers import Numbers
from normscope.analysis.pairs import paired
from normscope.analysis.verdicts import Judgement, Pairs, Rules, judge
from normscope.analysis.why.reading import Outcome, Reading
from normscope.experiment import Probes
from normscope.words import confidence, counted, interval, number, signed

STEP = "0.01"  # of the weights' length: far enough to matter, near enough for one gradient
LIVE = 1e-5  # of a layer's largest deviation: a channel below it is dead

Direction = Literal["higher", "lower"]


def speed(numbers: Numbers) -> Reading | None:
    """Whether the baseline reaches the level of accuracy first."""
    baseline, level = numbers.experiment.baseline, f"{numbers.level_percent:g} %"
    found = contrasts_on(numbers, numbers.level)
    if not found:
        return None
    outcome = ahead([each.judgement for each in found], "higher")
    plain = {
        "supported": f"{baseline} learns faster than every other norm here.",
        "contradicted": f"{baseline} does not learn fastest: another norm is ahead of it.",
        "not decided": f"Whether {baseline} learns fastest is open.",
    }[outcome]
    return Reading(
        f"{baseline} reaches {level} test accuracy first",
        plain,
        outcome,
        f"Compared with {baseline}: {told(found, numbers.rules)}.",
        "At this recipe's learning rate; a rate tuned for each norm may change the order.",
    )


def smoothness(numbers: Numbers) -> Reading | None:
    """Whether the baseline's accuracy falls more than that of every other norm."""
    baseline = numbers.experiment.baseline
    found = contrasts_on(numbers, DROP_SUM)
    if not found:
        return None
    outcome = ahead([each.judgement for each in found], "lower")
    plain = {
        "supported": f"The test accuracy of {baseline} falls back more on its way than that of "
        "every other norm here.",
        "contradicted": f"The test accuracy of {baseline} does not fall back most: that of another "
        "norm falls back more.",
        "not decided": f"Whether the test accuracy of {baseline} falls back most is open.",
    }[outcome]
    return Reading(
        f"{baseline} converges less smoothly than the others",
        plain,
        outcome,
        "All falls of the test accuracy from one epoch to the next together, compared with "
        f"{baseline}: {told(found, numbers.rules)}.",
        "A fall may be one of the statistics that bn is tested with, and not of the network.",
    )


# -- the landscape at equal loss -------------------------------------------------------------------


def landscape(numbers: Numbers) -> Reading | None:
    """Whether a step changes the baseline's gradient less, where losses are equal."""
    baseline = numbers.experiment.baseline
    around = {norm: _surroundings(norm, numbers) for norm in (baseline, *others(numbers))}
    levels: dict[str, float] = {}
    family, at_the_end = [], []
    for norm in others(numbers):
        level = _common_level([*around[norm].values(), *around[baseline].values()])
        if level is None or not around[norm] or not around[baseline]:
            continue
        levels[norm] = level
        family.append(
            pairs_of_seeds(
                numbers,
                norm,
                {seed: each.at(level) for seed, each in around[norm].items()},
                {seed: each.at(level) for seed, each in around[baseline].items()},
            )
        )
        ends = [np.mean([each.change[-1] for each in around[n].values()]) for n in (norm, baseline)]
        at_the_end.append(f"{norm} {signed(float(ends[0] - ends[1]))}")
    if not family:
        return None
    judged = judge(family, without_margin(numbers))
    outcome = ahead(judged, "higher")
    plain = {
        "supported": f"Where networks are equally far in training, {baseline} walks on smoother "
        "ground: a small step changes its gradient less than that of any other norm.",
        "contradicted": f"Where networks are equally far in training, the ground of {baseline} is "
        "not the smoothest: a small step changes another norm's gradient less.",
        "not decided": f"Whether {baseline} walks on smoother ground is open.",
    }[outcome]
    words_of = [
        f"{in_words(each, 'with', numbers.rules)} at a training loss of "
        f"{number(levels[each.pairs.norm], 2)} nats"
        for each in judged
    ]
    return Reading(
        f"The loss is smoother around the weights of {baseline}",
        plain,
        outcome,
        f"By what share of its length the gradient changes in a step of {STEP} of the weights' "
        f"length, compared with {baseline}: {'; '.join(words_of)}.",
        "At equal loss, between the moments that were looked at; at the end of training, where "
        f"losses differ, {', '.join(at_the_end)}. Along the gradient on one training batch.",
    )


@dataclass(frozen=True)
class Surroundings:
    """The loss of a trained network, in nats, and the change of its gradient, by moment (T,)."""

    loss: np.ndarray
    change: np.ndarray

    def at(self, level: float) -> float:
        """The change where the loss was at that level, between two moments."""
        order = np.argsort(self.loss)
        return float(np.interp(level, self.loss[order], self.change[order]))


def _surroundings(norm: str, numbers: Numbers) -> dict[int, Surroundings]:
    """By seed, of trials whose landscape was looked at when they were trained."""
    found = {}
    for seed, probes in _by_seed(norm, numbers):
        loss = probes.series.get("landscape.loss_nats")
        change = probes.series.get("landscape.gradient_change")
        if loss is None or change is None or STEP not in loss.names[0]:
            continue
        trained = loss.epochs > 0
        here = loss.readings[trained, loss.names[0].index("0")]
        moved = change.readings[trained, change.names[0].index(STEP)]
        if len(here) and np.isfinite([here, moved]).all():
            found[seed] = Surroundings(here, moved)
    return found


def _common_level(all_of: Sequence[Surroundings]) -> float | None:
    """The middle of the losses that all of them went through; None if there are none."""
    if not all_of:
        return None
    low = max(float(each.loss.min()) for each in all_of)
    high = min(float(each.loss.max()) for each in all_of)
    return (low + high) / 2 if low < high else None


# -- drift -----------------------------------------------------------------------------------------

DRIFTS = {"mean": "means, in deviations", "sd": "deviations, as logarithms"}


def drift(numbers: Numbers) -> Reading | None:
    """Whether what the baseline's norms hand on shifts less from epoch to epoch."""
    baseline, compared = numbers.experiment.baseline, others(numbers)
    family, parts = [], []
    for measure, words in DRIFTS.items():
        own = _drifts(baseline, f"output_{measure}", numbers)
        for norm in compared:
            if (other := _drifts(norm, f"output_{measure}", numbers)) and own:
                family.append(pairs_of_seeds(numbers, norm, other, own))
                parts.append(words)
    if not family:
        return None
    judged = judge(family, without_margin(numbers))
    claims = [each.claim for each in judged]
    outcome: Outcome = "not decided"
    if all(claim == "higher" for claim in claims):
        outcome = "supported"
    elif any(_all_lower(judged, norm) for norm in compared):
        outcome = "contradicted"
    plain = {
        "supported": f"What a layer gets to see shifts less from epoch to epoch with {baseline} "
        "than with any other norm.",
        "contradicted": f"What a layer gets to see does not shift least with {baseline}.",
        "not decided": f"Whether what a layer gets to see shifts least with {baseline} is open.",
    }[outcome]
    words_of = [
        f"{in_words(each, 'with', numbers.rules)} ({words})"
        for each, words in zip(judged, parts, strict=True)
    ]
    return Reading(
        f"The inputs of layers shift less in a network of {baseline}",
        plain,
        outcome,
        "By how much mean and deviation of a channel change per epoch as it leaves a norm, "
        f"compared with {baseline}: {'; '.join(words_of)}. Contradicted if both shift less with "
        "another norm.",
        "A norm over the batch fixes mean and deviation of a channel but for two weights, so that "
        "less shift is its definition; whether that helps is another question.",
    )


def _all_lower(judged: Sequence[Judgement], norm: str) -> bool:
    own = [each.claim for each in judged if each.pairs.norm == norm]
    return bool(own) and all(claim == "lower" for claim in own)


def _drifts(norm: str, measure: str, numbers: Numbers) -> dict[int, float]:
    """By seed, the mean over channels, layers and epochs of `drift_of`."""
    found = {}
    for seed, probes in _by_seed(norm, numbers):
        series = probes.series.get(f"channels.{measure}")
        deviations = probes.series.get("channels.output_sd")
        if series is None or deviations is None:
            continue
        trained = series.epochs > 0
        if trained.sum() >= 2:
            found[seed] = drift_of(
                series.readings[trained],
                deviations.readings[trained],
                as_logarithm=measure.endswith("sd"),
            )
    return found


def drift_of(values: np.ndarray, deviations: np.ndarray, as_logarithm: bool) -> float:
    """By how much values (T, L, C) of live channels change from moment to moment, on average.

    As differences of logarithms, or else in deviations (T, L, C) before the change.
    """
    live = deviations > LIVE * np.nanmax(deviations, axis=2, keepdims=True)
    both = live[1:] & live[:-1]
    if as_logarithm:
        changes = np.abs(np.diff(np.log(np.where(live, values, 1.0)), axis=0))
    else:
        changes = np.abs(np.diff(values, axis=0)) / np.where(live, deviations, 1.0)[:-1]
    return float(changes[both].mean()) if both.any() else float("nan")


# -- what they share -------------------------------------------------------------------------------


def ahead(judged: Iterable[Judgement], claim: Direction) -> Outcome:
    """Supported if all are decided so, contradicted if one is decided the other way."""
    claims = [each.claim for each in judged]
    if claims and all(each == claim for each in claims):
        return "supported"
    other = "lower" if claim == "higher" else "higher"
    return "contradicted" if other in claims else "not decided"


def others(numbers: Numbers) -> list[str]:
    """All norms but the baseline, and but those whose channels were put into other groups."""
    return [norm for norm in numbers.experiment.norms[1:] if order_of(norm) is None]


def contrasts_on(numbers: Numbers, metric: Metric) -> list[Contrast]:
    """On a secondary metric, judged in the family of all of them."""
    compared = others(numbers)
    return [each for each in numbers.secondary if each.metric == metric and each.norm in compared]


def _by_seed(norm: str, numbers: Numbers) -> list[tuple[int, Probes]]:
    return [
        (result.trial.seed, numbers.probes[result.trial.id])
        for result in numbers.results
        if result.trial.norm == norm
        and result.status == "finished"
        and result.trial.id in numbers.probes
    ]


def pairs_of_seeds(
    numbers: Numbers, norm: str, own: Mapping[int, float], baseline: Mapping[int, float]
) -> Pairs:
    """The differences of values by seed, of every seed that both have."""
    experiment = numbers.experiment
    values = {(norm, seed): value for seed, value in own.items()}
    values |= {(experiment.baseline, seed): value for seed, value in baseline.items()}
    return paired(experiment, norm, experiment.baseline, experiment.main_batch_size, values)


def without_margin(numbers: Numbers) -> Rules:
    return Rules(numbers.rules.sequential, numbers.rules.alpha, None)


def told(found: Sequence[Contrast], rules: Rules) -> str:
    parts = []
    for each in found:
        judgement, metric = each.judgement, each.metric
        if judgement.pairs.ordinal:
            decided = "undecided" if judgement.claim == "undecided" else judgement.claim
            parts.append(f"{each.norm} {decided} (by rank: the level was not always reached)")
        else:
            parts.append(in_words(judgement, "", rules, metric.decimals, f" {metric.unit}"))
    return "; ".join(parts)


def in_words(
    judgement: Judgement, before: str, rules: Rules, digits: int = 2, unit: str = ""
) -> str:
    """``with ln +0.12 (95 % +0.02 to +0.22, 5 seeds)``."""
    found = judgement.difference
    spans = ""
    if found.low is not None:
        spans = f"{confidence(rules.alpha)} {interval(found.low, found.high, digits)}, "
    name = f"{before} {judgement.pairs.norm}".strip()
    return f"{name} {signed(found.mean, digits)}{unit} ({spans}{counted(found.n, 'seed')})"
