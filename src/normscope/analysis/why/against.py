"""How the baseline trains against every other norm: speed, smoothness, landscape and drift.

A claim that the baseline is ahead is supported if it is decided against every norm that it can be
compared with, and contradicted if the opposite is decided against one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from normscope.analysis.contrasts import Contrast, candidates, to_choose
from normscope.analysis.metrics import DROP_SUM, Metric
from normscope.analysis.numbers import Numbers
from normscope.analysis.pairs import paired
from normscope.analysis.verdicts import Judgement, Pairs, Rules, judge
from normscope.analysis.why.reading import LEAST_SEEDS, Outcome, Reading, probes_by_seed
from normscope.experiment import Series
from normscope.norms import running_momentum
from normscope.words import confidence, counted, interval, number, signed

STEP = "0.01"  # of the weights' length: far enough to matter, near enough for one gradient
LIVE = 1e-5  # of a layer's largest deviation: a channel below it is dead

Direction = Literal["higher", "lower"]


def speed(numbers: Numbers) -> Reading | None:
    """Whether the baseline reaches the level of accuracy first."""
    baseline, level = numbers.experiment.baseline, f"{numbers.level_percent:g} %"
    found = on_metric(numbers, numbers.level)
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
    found = on_metric(numbers, DROP_SUM)
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
        "A fall may be one of the statistics that a norm is tested with, and not of the network.",
    )


# -- the landscape at equal loss -------------------------------------------------------------------


def landscape(numbers: Numbers) -> Reading | None:
    """Whether a step changes the baseline's gradient less, where losses are equal."""
    baseline = numbers.experiment.baseline
    around = {norm: _surroundings(norm, numbers) for norm in to_choose(numbers.experiment)}
    levels: dict[str, float] = {}
    family, at_the_end = [], []
    for norm in candidates(numbers.experiment):
        level = _common_level([*around[norm].values(), *around[baseline].values()])
        if level is None or not around[norm] or not around[baseline]:
            continue
        levels[norm] = level
        both = (
            {seed: each.at(level) for seed, each in around[n].items()} for n in (norm, baseline)
        )
        family.append(pairs_of_seeds(numbers, norm, *both))
        ends = [np.mean([each.change[-1] for each in around[n].values()]) for n in (norm, baseline)]
        at_the_end.append(f"{norm} {signed(float(ends[0] - ends[1]))}")
    if not family:
        return None
    judged = judge(family, without_margin(numbers))
    outcome = ahead_inside(judged, "higher")
    compared = enumerated(list(levels))
    plain = {
        "supported": f"Where networks are equally far in training, {baseline} walks on smoother "
        f"ground: a step of 1 % of the weights' length changes its gradient less than that of "
        f"{compared}.",
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
        f"length, compared with {baseline}: {'; '.join(words_of)}.{_too_few(judged)}",
        "At equal loss, between the moments that were looked at; at the end of training, where "
        f"losses differ, {', '.join(at_the_end)}. Along the gradient on one training batch."
        f"{_left_out(numbers, levels)}",
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
    for seed, probes in probes_by_seed(norm, numbers).items():
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

DRIFTS = {"mean": "means, in standard deviations", "sd": "logarithms of the deviations"}


def drift(numbers: Numbers) -> Reading | None:
    """Whether what the baseline's norms hand on shifts less from epoch to epoch."""
    baseline, taken = numbers.experiment.baseline, _outputs(numbers)
    moments = _shared_epochs(taken)
    compared = [norm for norm in candidates(numbers.experiment) if norm in taken]
    if baseline not in taken or not compared or len(moments) < 2:
        return None
    family, parts = [], []
    for measure, words in DRIFTS.items():
        shifts = {norm: _drifts(taken[norm], measure, moments) for norm in (baseline, *compared)}
        for norm in compared:
            family.append(pairs_of_seeds(numbers, norm, shifts[norm], shifts[baseline]))
            parts.append(words)
    judged = judge(family, without_margin(numbers))
    outcome = _drift_outcome(judged, compared)
    plain = {
        "supported": f"What a layer gets to see shifts less from epoch to epoch with {baseline} "
        f"than with {enumerated(compared)}.",
        "contradicted": f"What a layer gets to see does not shift least with {baseline}.",
        "not decided": f"Whether what a layer gets to see shifts least with {baseline} is open.",
    }[outcome]
    words_of = [
        f"{in_words(each, 'with', numbers.rules)} ({words})"
        for each, words in zip(judged, parts, strict=True)
    ]
    over_the_batch = running_momentum(baseline) is not None
    return Reading(
        f"The inputs of layers shift less in a network of {baseline}",
        plain,
        outcome,
        "By how much mean and deviation of a channel change per epoch as it leaves a norm, "
        f"compared with {baseline}: {'; '.join(words_of)}. Contradicted if both shift less with "
        f"another norm.{_too_few(judged)}",
        (
            "A norm over the batch fixes mean and deviation of a channel but for two weights, so "
            "that less shift is its definition; whether that helps is another question."
            if over_the_batch
            else "Whether less shift helps is another question."
        )
        + _left_out(numbers, compared),
    )


def _drift_outcome(judged: Sequence[Judgement], compared: Sequence[str]) -> Outcome:
    if any(each.difference.n < LEAST_SEEDS for each in judged):
        return "not decided"
    if all(each.claim == "higher" for each in judged):
        return "supported"
    lower = [{e.claim for e in judged if e.pairs.norm == norm} == {"lower"} for norm in compared]
    return "contradicted" if any(lower) else "not decided"


Outputs = tuple[Series, Series]  # means and deviations of channels as they leave the norms


def _outputs(numbers: Numbers) -> dict[str, dict[int, Outputs]]:
    """By norm and seed, where they were measured; no norm without any."""
    found: dict[str, dict[int, Outputs]] = {}
    for norm in to_choose(numbers.experiment):
        for seed, probes in probes_by_seed(norm, numbers).items():
            both = [probes.series.get(f"channels.output_{name}") for name in DRIFTS]
            if both[0] is not None and both[1] is not None:
                found.setdefault(norm, {})[seed] = (both[0], both[1])
    return found


def _shared_epochs(taken: Mapping[str, Mapping[int, Outputs]]) -> list[float]:
    """The moments after the start of training at which every network was looked at."""
    all_of = [{*mean.epochs} for by_seed in taken.values() for mean, _ in by_seed.values()]
    return sorted(float(e) for e in set.intersection(*all_of) if e > 0) if all_of else []


def _drifts(
    by_seed: Mapping[int, Outputs], measure: str, moments: Sequence[float]
) -> dict[int, float]:
    found = {}
    for seed, (mean, sd) in by_seed.items():
        at = np.isin(mean.epochs, moments)
        values = (mean if measure == "mean" else sd).readings[at]
        found[seed] = drift_of(values, sd.readings[at], np.diff(moments), measure == "sd")
    return {seed: value for seed, value in found.items() if not np.isnan(value)}


def drift_of(
    values: np.ndarray, deviations: np.ndarray, epochs: np.ndarray, as_logarithm: bool
) -> float:
    """By how much values (T, L, C) of live channels change per epoch, on average.

    As differences of logarithms, or else in deviations (T, L, C) before the change. `epochs`
    (T - 1,) lie between the moments. NaN if no channel is live.
    """
    live = deviations > LIVE * np.nanmax(deviations, axis=2, keepdims=True)
    both = live[1:] & live[:-1]
    if as_logarithm:
        changes = np.abs(np.diff(np.log(np.where(live, values, 1.0)), axis=0))
    else:
        changes = np.abs(np.diff(values, axis=0)) / np.where(live, deviations, 1.0)[:-1]
    per_epoch = changes / epochs[:, None, None]
    return float(per_epoch[both].mean()) if both.any() else float("nan")


# -- what they share -------------------------------------------------------------------------------


def ahead(judged: Iterable[Judgement], claim: Direction) -> Outcome:
    """Supported if all are decided so, contradicted if one is decided the other way."""
    claims = [each.claim for each in judged]
    if claims and all(each == claim for each in claims):
        return "supported"
    other = "lower" if claim == "higher" else "higher"
    return "contradicted" if other in claims else "not decided"


def ahead_inside(judged: Sequence[Judgement], claim: Direction) -> Outcome:
    """The same of what was measured inside networks, which takes `LEAST_SEEDS` seeds."""
    few = any(each.difference.n < LEAST_SEEDS for each in judged)
    return "not decided" if few else ahead(judged, claim)


def on_metric(numbers: Numbers, metric: Metric) -> list[Contrast]:
    """The contrasts on a secondary metric, judged in the family of all of them."""
    compared = candidates(numbers.experiment)
    return [each for each in numbers.secondary if each.metric == metric and each.norm in compared]


def pairs_of_seeds(
    numbers: Numbers, norm: str, own: Mapping[int, float], baseline: Mapping[int, float]
) -> Pairs:
    """The differences of values by seed, of every seed that both have."""
    experiment = numbers.experiment
    values = {(norm, seed): value for seed, value in own.items()}
    values |= {(experiment.baseline, seed): value for seed, value in baseline.items()}
    return paired(experiment, norm, experiment.baseline, experiment.main_batch_size, values)


def without_margin(numbers: Numbers) -> Rules:
    return replace(numbers.rules, margin=None)


def told(found: Sequence[Contrast], rules: Rules) -> str:
    """Each norm with its difference, interval and seeds."""
    parts = []
    for each in found:
        judgement, metric = each.judgement, each.metric
        if judgement.pairs.ordinal:
            words = {"higher": metric.greater, "lower": metric.smaller}
            claim = words.get(judgement.claim, "undecided")
            parts.append(f"{each.norm} {claim} (by rank: not every trial got there)")
        else:
            parts.append(in_words(judgement, "", rules, metric.decimals, f" {metric.unit}"))
    return "; ".join(parts)


def in_words(
    judgement: Judgement, before: str, rules: Rules, digits: int = 2, unit: str = ""
) -> str:
    """``with ln +0.12 (95 % +0.02 to +0.22, 5 seeds)``."""
    found = judgement.difference
    name = f"{before} {judgement.pairs.norm}".strip()
    if found.mean is None:
        return f"{name} in no seed"
    spans = ""
    if found.low is not None:
        spans = f"{confidence(rules.alpha)} {interval(found.low, found.high, digits)}, "
    return f"{name} {signed(found.mean, digits)}{unit} ({spans}{counted(found.n, 'seed')})"


def enumerated(names: Sequence[str]) -> str:
    """``gn``, ``gn and ln``, ``gn, ln and in``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _too_few(judged: Sequence[Judgement]) -> str:
    least = min(each.difference.n for each in judged)
    return f" {LEAST_SEEDS} seeds are the least to decide by." if least < LEAST_SEEDS else ""


def _left_out(numbers: Numbers, compared: Iterable[str]) -> str:
    """Which norms could not be compared."""
    missing = [norm for norm in candidates(numbers.experiment) if norm not in compared]
    return f" Not compared: {enumerated(missing)}." if missing else ""
