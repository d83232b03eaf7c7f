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
from normscope.experiment import LEAST_SEEDS, RULES, Request
from normscope.stats import (
    LOOKS,
    Estimate,
    Looks,
    all_equal,
    anytime_p_value_of_signs,
    direction_of_signs,
    equivalence_p_value,
    holm,
    holm_levels,
    range_of_seeds,
    seeds_to_decide,
    sign_flip_p_value,
    t_equivalence_p_value,
    t_interval,
    t_p_value,
)


@dataclass(frozen=True)
class Rules:
    """How a family is judged. `margin` is in the metric's unit; None where there is none.

    `overlap`: by how much the training sets of seeds overlap, as `stats.t_interval` takes it; 0
    without cross-validation. `version`: that of `Request.rules`. In the first, looks are those of
    an e-process, and equivalence is an interval at alpha over the size of the family; in the
    second, alpha is spent look by look, and equivalence is two one-sided tests, with Holm's
    correction. `late`: chosen when the results were there; no number of seeds is foreseen then,
    because no more seeds of this experiment make such a verdict one that was promised.
    """

    sequential: bool
    alpha: float
    margin: float | None
    overlap: float = 0.0
    version: int = RULES
    late: bool = False

    @property
    def sides_alpha(self) -> float:
        """Of the interval that equivalence rests on, at both of its ends together."""
        return self.alpha if self.version == 1 else 2 * self.alpha

    @property
    def looks(self) -> Looks:
        """The tests of a sequential design."""
        return LOOKS[self.version]


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
    interval at alpha over the size of the family; all of them hold at once. `equivalence`: the one
    that lies within the margin exactly if the difference surely does (`within_margin`); it is
    narrower, for each of two one-sided tests may err at one of its ends alone. There is no interval
    where nothing is known or looks contradict each other, and ordinal differences have no mean
    either. `p_value` is corrected by Holm. `seeds_needed` is the total that would probably decide;
    None where it is decided or nobody can tell: from fewer than `LEAST_SEEDS` seeds, or if more
    were needed than anybody trains.
    """

    pairs: Pairs
    claim: Claim
    difference: Estimate
    simultaneous: tuple[float, float] | None
    p_value: float
    family: int
    equivalence: tuple[float, float] | None = None
    within_margin: bool = False
    contradictory: bool = False
    seeds_needed: int | None = None

    @property
    def more_seeds(self) -> tuple[int, int, int] | None:
        """How many more would probably decide it: about so many, and the range of 80 %."""
        needed, n = self.seeds_needed, self.difference.n
        if needed is None:
            return None
        low, high = range_of_seeds(needed, n)
        return needed - n, low - n, high - n

    @property
    def supporting(self) -> tuple[float, float] | None:
        """The interval that the claim rests on: that of `equivalence`, or that of `difference`."""
        if self.claim == "equivalent" and self.equivalence is not None:
            return self.equivalence
        low, high = self.difference.low, self.difference.high
        return None if low is None or high is None else (low, high)

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


def rules_of(requests: Sequence[Request]) -> int:
    """The version of the rules that a folder is judged by: that of its first request.

    A later version might be chosen for what it says of results that were looked at.
    """
    return requests[0].rules if requests else RULES


def judge(family: Sequence[Pairs], rules: Rules) -> list[Judgement]:
    """Judge all comparisons of a family together, in the order given."""
    p_values = [_p_value(pairs, rules) for pairs in family]
    adjusted = holm(p_values)
    levels = holm_levels(p_values, rules.alpha)
    equivalences = _equivalences(family, rules)
    return [
        _judge_one(pairs, rules, float(p), float(level), equivalence, len(family))
        for pairs, p, level, equivalence in zip(family, adjusted, levels, equivalences, strict=True)
    ]


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference surely lies within the margin, by the interval at that level."""

    within: bool
    level: float


def equivalences_by_holm(p_values: Sequence[float], rules: Rules) -> list[Equivalence]:
    """Of a family, by the p values of two one-sided tests each; from the second version on."""
    levels = holm_levels(p_values, rules.alpha) * (rules.sides_alpha / rules.alpha)
    return [
        Equivalence(bool(p <= rules.alpha), float(level))
        for p, level in zip(holm(p_values), levels, strict=True)
    ]


def _equivalences(family: Sequence[Pairs], rules: Rules) -> list[Equivalence]:
    if rules.margin is None or rules.version == 1:
        level = rules.alpha / max(1, len(family))
        intervals = [_interval(pairs, rules, level) for pairs in family]
        return [Equivalence(within(interval, rules.margin), level) for interval in intervals]
    return equivalences_by_holm(
        [_equivalence_p_value(pairs, rules, rules.margin) for pairs in family], rules
    )


def _equivalence_p_value(pairs: Pairs, rules: Rules, margin: float) -> float:
    if pairs.ordinal or not _may_be_judged(pairs, rules):
        return 1.0
    if rules.sequential:
        return equivalence_p_value(pairs.differences, margin)
    return t_equivalence_p_value(pairs.differences, margin, rules.overlap)


def _p_value(pairs: Pairs, rules: Rules) -> float:
    if not _may_be_judged(pairs, rules):
        return 1.0
    if pairs.ordinal:
        test = anytime_p_value_of_signs if rules.sequential else sign_flip_p_value
        return test(pairs.differences)
    if rules.sequential:
        return rules.looks.anytime_p_value(pairs.differences)
    return t_p_value(pairs.differences, rules.overlap)


def _may_be_judged(pairs: Pairs, rules: Rules) -> bool:
    """A fixed design is looked at once, when it is complete; and there must be some spread.

    Signs of folds are no independent draws, for which there is no correction.
    """
    if pairs.ordinal and rules.overlap:
        return False
    spread = pairs.ordinal or not all_equal(pairs.differences)
    return spread and (rules.sequential or pairs.complete)


def _judge_one(
    pairs: Pairs, rules: Rules, p: float, level: float, equivalence: Equivalence, family: int
) -> Judgement:
    plain = t_interval(pairs.differences)
    if pairs.ordinal:
        plain = Estimate(plain.n, None, None, None, None)
    simultaneous, own, sides = (
        _interval(pairs, rules, alpha) for alpha in (rules.alpha / family, level, equivalence.level)
    )
    direction = _direction(pairs, rules)
    empty = own is not None and own[0] > own[1]
    contradictory = empty or (p <= rules.alpha and direction == 0)
    if contradictory:
        own = simultaneous = sides = None
    if rules.version == 1 or (sides is not None and sides[0] > sides[1]):
        sides = None  # the first version has none of its own, and of an empty one nothing is said
    low, high = own or (None, None)
    difference = Estimate(plain.n, plain.mean, plain.sd, low, high)
    inside = equivalence.within and not contradictory
    inside = inside and (rules.version == 1 or sides is not None)
    claim: Claim = "undecided"
    if p <= rules.alpha and not contradictory:
        claim = "higher" if direction > 0 else "lower"
    elif inside:
        claim = "equivalent"
    needed = _seeds_needed(pairs, rules, family) if claim == "undecided" else None
    return Judgement(
        pairs, claim, difference, simultaneous, p, family, sides, inside, contradictory, needed
    )


def _seeds_needed(pairs: Pairs, rules: Rules, family: int) -> int | None:
    """The total of seeds that would probably decide, if the differences go on as they were."""
    plain = t_interval(pairs.differences)
    if rules.late or rules.overlap:
        return None  # more folds do not make their overlap smaller
    if pairs.ordinal or plain.mean is None or not _may_be_judged(pairs, rules):
        return None
    if plain.n < LEAST_SEEDS:
        return None  # an sd of so few may be anything
    return seeds_to_decide(
        plain.mean,
        plain.sd or 0.0,
        rules.margin or 0.0,
        (rules.alpha / family, rules.sides_alpha / family),
        rules.looks.half_width,  # adding seeds after a look makes any design sequential
        plain.n + 1,
    )


def _interval(pairs: Pairs, rules: Rules, alpha: float) -> tuple[float, float] | None:
    """The interval of the mean difference at one level; None where it is infinite, or worthless."""
    if pairs.ordinal or not _may_be_judged(pairs, rules):
        return None
    if not rules.sequential:
        plain = t_interval(pairs.differences, 1 - alpha, rules.overlap)
        return None if plain.low is None or plain.high is None else (plain.low, plain.high)
    running = rules.looks.running_interval(pairs.differences, alpha)
    return (running.low, running.high) if np.isfinite([running.low, running.high]).all() else None


def within(interval: tuple[float, float] | None, margin: float | None) -> bool:
    """Whether the interval lies inside +-margin."""
    if interval is None or margin is None:
        return False
    return -margin < interval[0] <= interval[1] < margin


def _direction(pairs: Pairs, rules: Rules) -> int:
    """Which way the evidence points: 1, -1, or 0 where looks contradict each other."""
    if rules.sequential:
        test = direction_of_signs if pairs.ordinal else rules.looks.direction_of_evidence
        return test(pairs.differences)
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
