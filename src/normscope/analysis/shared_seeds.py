"""Comparisons of two experiments, each within the seeds that both have: B minus A, judged."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from normscope.analysis.guessing import Guessing
from normscope.analysis.pairs import differences_of
from normscope.analysis.sides import Both, Side, identical
from normscope.analysis.verdicts import Judgement, Pairs, Rules, Verdict, judge, verdict_of
from normscope.experiment import GUESSING, Result, Status
from normscope.stats import Estimate, t_interval


@dataclass(frozen=True)
class Asked:
    """What is compared: the test accuracy of a norm or, `against` another, its gap to that one.

    `sizes`: the batch sizes in A and in B.
    """

    norm: str
    sizes: tuple[int, int]
    against: str | None = None

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms whose trials it takes, in each seed."""
        return (self.norm,) if self.against is None else (self.norm, self.against)

    @property
    def what(self) -> str:
        return self.norm if self.against is None else f"the gap of {self.norm} to {self.against}"


@dataclass(frozen=True)
class Compared:
    """What the shared seeds say of a norm or a gap.

    `a` and `b`: over the seeds that are compared and finished there, in percent, or of a gap in
    points. `verdict`: on B against A. `planned`: how many seeds there were to be. `identical`: all
    of the trials left the same in both, to the last bit.
    """

    asked: Asked
    a: Estimate
    b: Estimate
    verdict: Verdict
    planned: int
    identical: bool

    @property
    def outcome(self) -> str:
        """The verdict in a word; "identical" where nothing is left to judge."""
        return "identical" if self.identical else self.verdict.outcome


def judged_together(both: Both, asked: Sequence[Asked], rules: Rules) -> tuple[Compared, ...]:
    """Judge comparisons of B with A as one family, in the order given.

    A trial that diverged or collapsed counts as guessing, and then only signs are compared. In a
    fixed design a trial that has no outcome leaves its comparison undecided.
    """
    family = [_pairs(both, each, rules) for each in asked]
    judgements = judge(family, rules) if family else []
    return tuple(
        _compared(both, each, judgement, rules)
        for each, judgement in zip(asked, judgements, strict=True)
    )


def _pairs(both: Both, asked: Asked, rules: Rules) -> Pairs:
    """B minus A in every seed in which all of the trials have an outcome."""
    chance_percent, values = both.a.facts.chance_percent, {}
    for name, trials_of in _sides(both, asked):
        for seed in both.seeds:
            value = _value(trials_of(seed), chance_percent)
            if value is not None:
                values[name, seed] = value
    seeds, differences = differences_of(both.seeds, "B", "A", values)
    guessing = [
        status
        for _, trials_of in _sides(both, asked)
        for status in _statuses(trials_of, seeds if rules.sequential else both.seeds)
        if status in GUESSING
    ]
    complete = len(seeds) == len(both.seeds)
    return Pairs(f"{asked.what} in B", asked.sizes[1], differences, seeds, bool(guessing), complete)


TrialsOf = Callable[[int], list[Result | None]]  # those that a comparison takes from a seed


def _sides(both: Both, asked: Asked) -> list[tuple[str, TrialsOf]]:
    """What a comparison takes from A and from B: the trials of its norms, by seed."""

    def trials_of(side: Side, size: int) -> TrialsOf:
        return lambda seed: [side.results.get((norm, size, seed)) for norm in asked.norms]

    (a, b), (size_a, size_b) = (both.a, both.b), asked.sizes
    return [("A", trials_of(a, size_a)), ("B", trials_of(b, size_b))]


def _value(trials: Sequence[Result | None], chance_percent: float) -> float | None:
    """The accuracy of a trial, or the first one's less that of the other; None without outcome."""
    accuracies = [_accuracy(trial, chance_percent) for trial in trials]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return known[0] - sum(known[1:]) if len(known) == len(trials) else None


def _accuracy(trial: Result | None, chance_percent: float | None) -> float | None:
    """Test accuracy in percent; `chance_percent` if the trial guesses, None if it has no end."""
    if trial is None or trial.status == "failed":
        return None
    if trial.status in GUESSING:
        return chance_percent
    return trial.history[-1].test_accuracy_percent


def _statuses(trials_of: TrialsOf, seeds: Iterable[int]) -> list[Status]:
    return [trial.status for seed in seeds for trial in trials_of(seed) if trial is not None]


def _compared(both: Both, asked: Asked, judgement: Judgement, rules: Rules) -> Compared:
    """A comparison with what there is beside its judgement."""
    seeds = judgement.pairs.seeds
    planned = seeds if rules.sequential else both.seeds
    sides = [trials_of for _, trials_of in _sides(both, asked)]
    trials = len(planned) * len(asked.norms)
    mine, theirs = (_statuses(trials_of, planned) for trials_of in sides)
    guessing = Guessing.among(theirs, trials), Guessing.among(mine, trials)
    ended = sum(status != "failed" for status in (*mine, *theirs))
    verdict = verdict_of(judgement, f"{asked.what} in A", guessing, 2 * trials - ended)
    alike = [
        a is not None and b is not None and identical(a, b)
        for seed in seeds
        for a, b in zip(*(trials_of(seed) for trials_of in sides), strict=True)
    ]
    a, b = (_estimate(trials_of, seeds) for trials_of in sides)
    return Compared(asked, a, b, verdict, len(planned), bool(alike) and all(alike))


def _estimate(trials_of: TrialsOf, seeds: Iterable[int]) -> Estimate:
    """Over the seeds in which nothing guesses."""
    values = [_value(trials_of(seed), None) for seed in seeds]
    return t_interval([value for value in values if value is not None])
