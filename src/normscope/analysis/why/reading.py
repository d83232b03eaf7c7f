"""A claim and what probes say of it, and estimates over seeds of what they measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from normscope.analysis.numbers import Numbers
from normscope.analysis.verdicts import Rules, Verdict
from normscope.experiment import Probes, Series
from normscope.experiment.investigations import SEEDS
from normscope.stats import Estimate, t_interval
from normscope.words import confidence, counted, interval, number, signed

LEAST_SEEDS = SEEDS  # below, an interval over seeds is wider than the scales it is on

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
        mean = f"{self.name} {number(self.estimate.mean, 2)}"
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None or not np.isfinite([low, high]).all():
            return mean  # of a single seed, or of so few that a sequence is infinite
        return f"{mean} ({number(low, 2)} to {number(high, 2)})"


def probes_of(norm: str, numbers: Numbers) -> list[Probes]:
    """Of each finished trial of a norm that was looked into, at the main batch size."""
    return [*probes_by_seed(norm, numbers).values()]


def probes_by_seed(norm: str, numbers: Numbers) -> dict[int, Probes]:
    """The same, by seed."""
    return {
        result.trial.seed: numbers.probes[result.trial.id]
        for result in numbers.results
        if result.trial.norm == norm
        and result.status == "finished"
        and result.trial.id in numbers.probes
    }


def first(series: Series) -> np.ndarray:
    """The readings of the untrained network."""
    return series.first if series.epochs[0] == 0 else np.full_like(series.first, np.nan)


def last_of(numbers: Numbers) -> Callable[[Series], np.ndarray]:
    """What gives the readings of the trained network; NaN if it was not looked at in the end."""
    epochs = numbers.experiment.recipe.epochs

    def last(series: Series) -> np.ndarray:
        there = series.epochs[-1] == epochs
        return series.last if there else np.full_like(series.last, np.nan)

    return last


def scales_of(
    own: Sequence[Probes],
    names: Mapping[str, str],
    rules: Rules,
    moment: Callable[[Series], np.ndarray],
) -> list[Scale] | None:
    """Of each measure the mean over layers, over seeds; None if a seed lacks one."""
    scales = []
    for name, words in names.items():
        values = values_of(own, name, moment)
        if not values or len(values) < len(own):
            return None
        scales.append(Scale(words, over_seeds(values, rules)))
    return scales


def by_layer(
    own: Sequence[Probes], names: Mapping[str, str], moment: Callable[[Series], np.ndarray]
) -> str:
    """Of each measure the least and the greatest mean over seeds of a layer."""
    parts = []
    for name, words in names.items():
        rows = [np.atleast_1d(moment(each.series[name])) for each in own if name in each.series]
        layers = np.ma.masked_invalid(np.array(rows)).mean(axis=0).compressed()
        if layers.size:
            parts.append(f"{words} {number(layers.min(), 2)} to {number(layers.max(), 2)}")
    return ", ".join(parts)


def values_of(
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
    estimate = t_interval(values, 1 - rules.alpha, rules.overlap)
    if not rules.sequential:
        return estimate
    sequence = rules.looks.confidence_sequence(values, rules.alpha)
    return Estimate(estimate.n, estimate.mean, estimate.sd, sequence.low, sequence.high)


def listed(scales: Sequence[Scale]) -> str:
    return ", ".join(scale.words for scale in scales)


def scope_of(scales: Sequence[Scale], rules: Rules) -> str:
    n = scales[0].estimate.n
    spans = f"{confidence(rules.alpha)} intervals, " if n > 1 else ""
    few = f", where {LEAST_SEEDS} are the least to decide by" if n < LEAST_SEEDS else ""
    return f"{spans}{counted(n, 'seed')}{few}; means over layers"


def verdicts_in_words(verdicts: Sequence[Verdict], rules: Rules) -> str:
    """Each with its difference in points, interval and seeds."""
    return "; ".join(_in_words(verdict, rules) for verdict in verdicts)


def _in_words(verdict: Verdict, rules: Rules) -> str:
    found, judgement = verdict.difference, verdict.judgement
    seeds = counted(len(judgement.pairs.differences), "seed")
    lost = verdict.guessing_in_all
    if found.mean is None:
        size = f"({lost.counts or 'not compared'}; {seeds})"
    else:
        spans = f"{confidence(rules.alpha)} {interval(found.low, found.high)}, "
        size = f"{signed(found.mean)} points ({spans if found.low is not None else ''}{seeds})"
    return f"{verdict.norm} against {verdict.baseline} {size}, {verdict.outcome}"
