"""Comparisons of two experiments, each within the seeds that both have: B minus A, judged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from normscope.analysis.guessing import Guessing
from normscope.analysis.pairs import differences_of
from normscope.analysis.sides import Both, identical
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


Trials = Mapping[int, Sequence[Result | None]]  # those of each norm that is taken, by seed


def _trials(both: Both, asked: Asked) -> tuple[Trials, Trials]:
    """What a comparison takes from A and from B, in the seeds that both plan; None: not run."""
    a, b = (
        {seed: [side.results.get((norm, size, seed)) for norm in asked.norms]
         for seed in both.seeds}
        for side, size in zip((both.a, both.b), asked.sizes, strict=True)
    )  # fmt: skip
    return a, b


def _pairs(both: Both, asked: Asked, rules: Rules) -> Pairs:
    """B minus A in every seed in which all of the trials have an outcome."""
    a, b = _trials(both, asked)
    chance_percent = both.a.facts.chance_percent
    values = {
        (name, seed): value
        for name, trials in (("A", a), ("B", b))
        for seed in both.seeds
        if (value := _value(trials[seed], chance_percent)) is not None
    }
    seeds, differences = differences_of(both.seeds, "B", "A", values)
    looked_at = seeds if rules.sequential else both.seeds
    statuses = _statuses(a, looked_at) + _statuses(b, looked_at)
    guessing = any(status in GUESSING for status in statuses)
    complete = len(seeds) == len(both.seeds)
    return Pairs(f"{asked.what} in B", asked.sizes[1], differences, seeds, guessing, complete)


def _value(trials: Sequence[Result | None], chance_percent: float | None) -> float | None:
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


def _statuses(trials: Trials, seeds: Iterable[int]) -> list[Status]:
    return [trial.status for seed in seeds for trial in trials[seed] if trial is not None]


def _compared(both: Both, asked: Asked, judgement: Judgement, rules: Rules) -> Compared:
    """A comparison with what there is beside its judgement."""
    seeds, (a, b) = judgement.pairs.seeds, _trials(both, asked)
    planned = seeds if rules.sequential else both.seeds
    of_a, of_b = _statuses(a, planned), _statuses(b, planned)
    trials = len(planned) * len(asked.norms)
    guessing = Guessing.among(of_b, trials), Guessing.among(of_a, trials)
    unfinished = 2 * trials - sum(status != "failed" for status in (*of_a, *of_b))
    return Compared(
        asked,
        _estimate(a, seeds),
        _estimate(b, seeds),
        verdict_of(judgement, f"{asked.what} in A", guessing, unfinished),
        len(planned),
        bool(seeds) and all(_alike(a[seed], b[seed]) for seed in seeds),
    )


def _estimate(trials: Trials, seeds: Iterable[int]) -> Estimate:
    """Over the seeds in which nothing guesses."""
    values = [_value(trials[seed], None) for seed in seeds]
    return t_interval([value for value in values if value is not None])


def _alike(a: Sequence[Result | None], b: Sequence[Result | None]) -> bool:
    both = zip(a, b, strict=True)
    return all(x is not None and y is not None and identical(x, y) for x, y in both)
