"""Verdicts -> sentences: the answers, how they were reached, and the words that others share."""

from collections.abc import Sequence

from normscope.analysis.summaries import ONE_SEED, NormSummary
from normscope.analysis.verdicts import Judgement, Rules, Verdict
from normscope.experiment import Experiment, Request

MANY = 4  # more norms than that beside the baseline are told by the extremes, the rest in tables
MANY_SEEDS = 1000  # what `stats.seeds_to_decide` looks at


def answers(norms: Sequence[NormSummary], rules: Rules, several_sizes: bool) -> tuple[str, ...]:
    """One sentence per comparison with the baseline.

    The decided ones first, then by the size of the difference; or by batch size, as they come.
    """
    verdicts = [norm.verdict for norm in norms if norm.verdict]
    if not verdicts:
        return tuple(_alone(norm, several_sizes) for norm in norms)
    if not several_sizes:
        verdicts.sort(key=lambda v: (not v.decided, -abs(v.difference.mean or 0)))
    return tuple(verdict_sentence(verdict, rules, several_sizes) for verdict in verdicts)


def _alone(norm: NormSummary, several_sizes: bool) -> str:
    mean = norm.test_accuracy_percent.mean
    reached = "finished no trial" if mean is None else f"reached {mean:.1f} % on the test images"
    where = f" with a batch size of {norm.batch_size}" if several_sizes else ""
    return f"{norm.norm} {reached}{where}; there is no other norm to compare it with."


def verdict_sentence(verdict: Verdict, rules: Rules, several_sizes: bool = False) -> str:
    """The sentence that the numbers allow, with its interval and n; what an undecided one lacks."""
    judgement = verdict.judgement
    pairs, mean = judgement.pairs, judgement.difference.mean
    place = f" at batch size {pairs.batch_size}" if several_sizes else ""
    against = f"{pairs.norm} against {verdict.baseline}{place}"
    if not pairs.seeds:
        return f"{against}: no seed in which both finished."
    if mean is None:
        return _ordinal_sentence(verdict, rules, against, place)
    if len(pairs.seeds) == 1:
        return f"{against}: {signed(mean)} points in one run each ({ONE_SEED})."
    interval = interval_words(judgement, rules)
    if verdict.outcome in ("better", "worse"):
        size = f"{abs(mean):.2f} points {verdict.outcome} than {verdict.baseline}{place}"
        small = ", which is within the margin" if judgement.within_margin else ""
        return f"{pairs.norm} is {size} ({interval}){small}."
    if verdict.outcome == "equivalent":
        return (
            f"{pairs.norm} is equivalent to {verdict.baseline}{place}: {signed(mean)} points "
            f"({interval}), within {rules.margin:g} points of it."
        )
    return f"{against} is undecided: {_undecided(verdict, rules, mean, interval)}."


def _ordinal_sentence(verdict: Verdict, rules: Rules, against: str, place: str) -> str:
    """Where a trial diverged only signs are compared, and no interval is given."""
    judgement = verdict.judgement
    values, (own, other) = judgement.pairs.differences, verdict.diverged
    seeds = counted(len(values), "seed")
    counts = (
        f"ahead in {sum(v > 0 for v in values)} and behind in {sum(v < 0 for v in values)} of "
        f"{seeds}, diverged trials ({own} and {other}) counted as guessing; "
        f"{'sign' if rules.sequential else 'sign-flip'} test, p {judgement.p_value:.2g}"
    )
    if verdict.decided:
        norm, outcome, baseline = judgement.pairs.norm, verdict.outcome, verdict.baseline
        return f"{norm} is {outcome} than {baseline}{place}: {counts}."
    return f"{against} is undecided: {counts}."


def standing(verdict: Verdict, several_sizes: bool = False) -> str:
    """``gn: -1.42 [-2.01, -0.83] worse``: how a comparison stands, for a line of a terminal."""
    judgement = verdict.judgement
    pairs, difference = judgement.pairs, judgement.difference
    name = f"{pairs.norm} at {pairs.batch_size}" if several_sizes else pairs.norm
    if not pairs.seeds:
        return f"{name}: no seed in which both finished"
    if difference.mean is None:
        return f"{name}: {verdict.outcome}, by signs, since trials diverged"
    low, high, needed = difference.low, difference.high, judgement.seeds_needed
    interval = "" if low is None or high is None else f" [{signed(low)}, {signed(high)}]"
    more = f", about {needed} seeds needed" if needed else ""
    return f"{name}: {signed(difference.mean)}{interval} {verdict.outcome}{more}"


def interval_words(judgement: Judgement, rules: Rules) -> str:
    """``95 % interval -1.90 to -0.88; 9 seeds``."""
    difference = judgement.difference
    low, high, seeds = difference.low, difference.high, counted(difference.n, "seed")
    if low is None or high is None:
        return f"no interval yet; {seeds}"
    words = f"{confidence(rules)} interval {signed(low)} to {signed(high)}"
    if difference.mean is not None and not low <= difference.mean <= high:
        words += ", to which earlier looks narrowed it, while the mean moved on"
    return f"{words}; {seeds}"


def counted(count: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def signed(points: float) -> str:
    """With its sign and two decimals, and no negative zero."""
    return f"{round(points, 2) + 0.0:+.2f}"


def confidence(rules: Rules) -> str:
    return f"{100 * (1 - rules.alpha):g} %"


def _undecided(verdict: Verdict, rules: Rules, mean: float, interval: str) -> str:
    judgement = verdict.judgement
    n = judgement.difference.n
    if verdict.unfinished and not rules.sequential:
        have = "has" if verdict.unfinished == 1 else "have"
        return (
            f"{verdict.unfinished} of their trials {have} not finished. The seeds in which both "
            f"have differ by {signed(mean)} points ({counted(n, 'seed')})"
        )
    if not judgement.spread:
        return (
            f"{signed(mean)} points in every one of {n} seeds, which leaves no spread to judge by"
        )
    if judgement.contradictory:
        return (
            "its intervals at different numbers of seeds exclude each other: the differences do "
            f"not look like draws from one distribution (mean {signed(mean)} points; {n} seeds)"
        )
    needed = judgement.seeds_needed
    more = f"about {needed} seeds in all" if needed else f"more than {MANY_SEEDS:,} seeds"
    return f"{signed(mean)} points ({interval}); {more} would probably decide it"


def method(
    rules: Rules, experiment: Experiment, requests: Sequence[Request], comparisons: int
) -> str:
    """How the verdicts were reached, in a few sentences."""
    if not comparisons:
        return ""
    family = f"{comparisons} comparison{'s' if comparisons > 1 else ''}"
    if not rules.sequential:
        design = f"Fixed design, n = {experiment.seeds}: paired t intervals"
    elif any(request.design.until_decided for request in requests):
        design = "Sequential design, seeds added until decided: intervals valid at every look"
    else:
        design = (
            "Sequential design, since seeds were added after a look at results: intervals valid "
            "at every look"
        )
    protocol = {
        "drop-in": "Protocol drop-in: one recipe for all norms",
        "tuned": "Protocol tuned: for every norm the learning rate that was best for it on images "
        "held out from the training set",
    }[experiment.protocol]
    return (
        f"{design}; {family}, in which a false claim of a difference has a chance of at most "
        f"{100 * rules.alpha:g} % (Holm), and one of equivalence, within {rules.margin:g} points, "
        f"likewise. {protocol}."
    )
