"""Numbers -> verdicts: what the differences to the baseline allow to say, for a family of norms.

A family is the comparisons that are judged together. The chance that it holds a false claim of a
difference is at most alpha (Holm), and so is the chance that it holds a false claim of equivalence.
In a fixed design (n chosen in advance, one look) the tests are classical; in a sequential one they
are valid at every look. See docs/statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from normscope.analysis.guessing import Guessing
from normscope.experiment import LEAST_SEEDS, Request
from normscope.stats import (
    Estimate,
    all_equal,
    anytime_p_value,
    direction_of_evidence,
    holm,
    holm_levels,
    running_interval,
    seeds_to_decide,
    sign_flip_p_value,
    t_interval,
    t_p_value,
)


@dataclass(frozen=True)
class Rules:
    """How a family is judged. `margin` is in the metric's unit; None where there is none.

    `overlap`: by how much the training sets of seeds overlap, as `stats.t_interval` takes it; 0
    without cross-validation.
    """

    sequential: bool
    alpha: float
    margin: float | None
    overlap: float = 0.0


@dataclass(frozen=True)
class Pairs:
    """Differences of one metric between a norm and its baseline: one for every seed of both.

    Of `ordinal` differences only the sign counts: a trial counts as guessing, or a level was never
    reached. `complete` says whether every planned trial of the two has an outcome: none failed.
    """

    norm: str
    batch_size: int
    differences: tuple[float, ...]
    seeds: tuple[int, ...]
    ordinal: bool = False
    complete: bool = True


Claim = Literal["higher", "lower", "equivalent", "undecided"]


@dataclass(frozen=True)
class Judgement:
    """What the tests say of one comparison.

    `difference`: mean and sd, and the interval at the level of the comparison's step in Holm's
    procedure, which excludes 0 exactly if the claim is "higher" or "lower". `simultaneous`: the
    interval at alpha over the size of the family; all of them hold at once. There is no interval
    where nothing is known or looks contradict each other, and ordinal differences have no mean
    either. `p_value` is corrected by Holm. `seeds_needed` is the total that would probably decide.
    """

    pairs: Pairs
    claim: Claim
    difference: Estimate
    simultaneous: tuple[float, float] | None
    p_value: float
    family: int
    within_margin: bool = False
    contradictory: bool = False
    seeds_needed: int | None = None

    @property
    def spread(self) -> bool:
        """Whether the differences differ from each other, so that there is something to judge."""
        return not all_equal(self.pairs.differences)


Outcome = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What may be said of a norm's test accuracy against its baseline, in percentage points.

    `baseline`: that of the experiment, or the same norm at its other place. `guessing`: the trials
    that count as guessing, of the norm and of the baseline.
    """

    judgement: Judgement
    outcome: Outcome
    baseline: str
    guessing: tuple[Guessing, Guessing] = (Guessing(), Guessing())
    unfinished: int = 0

    @property
    def norm(self) -> str:
        return self.judgement.pairs.norm

    @property
    def batch_size(self) -> int:
        return self.judgement.pairs.batch_size

    @property
    def guessing_in_all(self) -> Guessing:
        """Of the norm and of the baseline together."""
        return sum(self.guessing, Guessing())

    @property
    def difference(self) -> Estimate:
        return self.judgement.difference

    @property
    def decided(self) -> bool:
        return self.outcome != "undecided"


def is_sequential(requests: Sequence[Request]) -> bool:
    """Whether seeds were, or may be, added after a look at results."""
    if any(request.design.until_decided for request in requests):
        return True
    most = 0
    for request in requests:
        looked = request.results_before != 0  # None: unknown, from before it was recorded
        if most and request.seeds > most and looked:
            return True
        most = max(most, request.seeds)
    return False


def judge(family: Sequence[Pairs], rules: Rules) -> list[Judgement]:
    """Judge all comparisons of a family together, in the order given."""
    p_values = [_p_value(pairs, rules) for pairs in family]
    adjusted = holm(p_values)
    levels = holm_levels(p_values, rules.alpha)
    return [
        _judge_one(pairs, rules, float(p), float(level), len(family))
        for pairs, p, level in zip(family, adjusted, levels, strict=True)
    ]


def _p_value(pairs: Pairs, rules: Rules) -> float:
    if not _may_be_judged(pairs, rules):
        return 1.0
    if rules.sequential:
        return anytime_p_value(pairs.differences, by_sign=pairs.ordinal)
    if pairs.ordinal:
        return sign_flip_p_value(pairs.differences)
    return t_p_value(pairs.differences, rules.overlap)


def _may_be_judged(pairs: Pairs, rules: Rules) -> bool:
    """A fixed design is looked at once, when it is complete; and there must be some spread.

    Signs of folds are no independent draws, for which there is no correction.
    """
    if pairs.ordinal and rules.overlap:
        return False
    spread = pairs.ordinal or not all_equal(pairs.differences)
    return spread and (rules.sequential or pairs.complete)


def _judge_one(pairs: Pairs, rules: Rules, p: float, level: float, family: int) -> Judgement:
    plain = t_interval(pairs.differences)
    if pairs.ordinal:
        plain = Estimate(plain.n, None, None, None, None)
    simultaneous, own = (_interval(pairs, rules, alpha) for alpha in (rules.alpha / family, level))
    direction = _direction(pairs, rules)
    empty = own is not None and own[0] > own[1]
    contradictory = empty or (p <= rules.alpha and direction == 0)
    if contradictory:
        own = simultaneous = None
    low, high = own or (None, None)
    difference = Estimate(plain.n, plain.mean, plain.sd, low, high)
    within = _within(simultaneous, rules.margin)
    claim: Claim = "undecided"
    if p <= rules.alpha and not contradictory:
        claim = "higher" if direction > 0 else "lower"
    elif within:
        claim = "equivalent"
    needed = _seeds_needed(pairs, rules, family) if claim == "undecided" else None
    return Judgement(
        pairs, claim, difference, simultaneous, p, family, within, contradictory, needed
    )


def _seeds_needed(pairs: Pairs, rules: Rules, family: int) -> int | None:
    """The total of seeds that would probably decide, if the differences go on as they were."""
    plain = t_interval(pairs.differences)
    if pairs.ordinal or plain.mean is None or not _may_be_judged(pairs, rules) or rules.overlap:
        return None  # more folds do not make their overlap smaller
    return seeds_to_decide(
        plain.mean,
        plain.sd or 0.0,
        rules.margin or 0.0,
        rules.alpha / family,
        True,
        max(plain.n + 1, LEAST_SEEDS if rules.sequential else 0),
    )


def _interval(pairs: Pairs, rules: Rules, alpha: float) -> tuple[float, float] | None:
    """The interval of the mean difference at one level; None where it is infinite, or worthless."""
    if pairs.ordinal or not _may_be_judged(pairs, rules):
        return None
    if not rules.sequential:
        plain = t_interval(pairs.differences, 1 - alpha, rules.overlap)
        return None if plain.low is None or plain.high is None else (plain.low, plain.high)
    running = running_interval(pairs.differences, alpha)
    return (running.low, running.high) if np.isfinite([running.low, running.high]).all() else None


def _within(interval: tuple[float, float] | None, margin: float | None) -> bool:
    if interval is None or margin is None:
        return False
    return -margin < interval[0] <= interval[1] < margin


def _direction(pairs: Pairs, rules: Rules) -> int:
    """Which way the evidence points: 1, -1, or 0 where looks contradict each other."""
    if rules.sequential:
        return direction_of_evidence(pairs.differences, by_sign=pairs.ordinal)
    return int(np.sign(np.sum(pairs.differences)))


def verdict_of(
    judgement: Judgement, baseline: str, guessing: tuple[Guessing, Guessing], unfinished: int
) -> Verdict:
    """The verdict on test accuracy, of which more is better."""
    outcomes: dict[Claim, Outcome] = {
        "higher": "better",
        "lower": "worse",
        "equivalent": "equivalent",
        "undecided": "undecided",
    }
    return Verdict(judgement, outcomes[judgement.claim], baseline, guessing, unfinished)
