"""Verdicts -> one line for who reads no further: which norm to use, or that nothing says which."""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.analysis.contrasts import to_choose
from normscope.analysis.numbers import Numbers
from normscope.analysis.summaries import NormSummary
from normscope.analysis.verdicts import Outcome
from normscope.words import counted, listed, number

NAMED = 3  # of more norms it is said how many they are


@dataclass(frozen=True)
class Recommendation:
    """`norms` are those to use, none shown to be better than another; none where nothing says."""

    norms: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def recommendation_of(numbers: Numbers) -> Recommendation:
    """What the verdicts at the main batch size recommend, no more than they carry."""
    return _Recommending(numbers).line()


class _Recommending:
    def __init__(self, numbers: Numbers):
        self.numbers, self.baseline = numbers, numbers.experiment.baseline
        names = to_choose(numbers.experiment)
        self.norms = {norm.norm: norm for norm in numbers.norms if norm.norm in names}
        self.verdicts = [norm.verdict for norm in self.norms.values() if norm.verdict]
        self.scope = numbers.scope(numbers.experiment.main_batch_size)

    def line(self) -> Recommendation:
        if not self.verdicts:
            return self.none(f"there is no other norm to compare {self.named(self.baseline)} with")
        if {*self.scope.near_chance} >= {*self.norms}:
            return self.none("no norm has learned more than guessing")
        if best := self.best():
            return self.use_one(best)
        if self.with_outcome("undecided"):
            return self.none(self.undecided())
        better = self.with_outcome("better")
        if not better:
            return self.use_equals()
        level = [*better, *self.with_outcome("equivalent")]
        reason = f"{self.called(better)} {_are(better)} ahead of {self.named(self.baseline)}"
        return self.none(f"{reason}, and nothing tells {self.called(level)} apart")

    def best(self) -> str | None:
        """The norm that is ahead of the baseline and of every other, or the baseline itself.

        One that is ahead of the baseline is ahead of all that are behind it. Whether it is ahead of
        others too, the pairs of all norms say.
        """
        better, worse = self.with_outcome("better"), self.with_outcome("worse")
        if len(worse) == len(self.verdicts):
            return self.baseline
        if len(better) == 1 and len(worse) == len(self.verdicts) - 1:
            return better[0]
        winners = self.numbers.winners or ()
        return winners[0] if len(winners) == 1 and winners[0] in better else None

    def use_one(self, best: str) -> Recommendation:
        others = [name for name in self.norms if name != best]
        leads = self.leads(best, others)
        by = ""
        if leads:
            digits = 1 if min(leads) >= 0.1 else 2
            low, high = number(min(leads), digits), number(max(leads), digits)
            by = f", by {low} points" if low == high else f", by {low} to {high} points"
        norm = self.norms[best]
        found = f"{self.accuracy(norm)} over {counted(norm.finished, 'seed')}"
        lost = f"; but it {norm.guessing.in_seeds}" if norm.guessing.total else ""
        text = f"Use {self.named(best)}: {found}, ahead of {self.called(others)}{by}{lost}"
        return Recommendation((best,), f"{text}{self.limits()}.")

    def leads(self, best: str, others: Sequence[str]) -> list[float]:
        """By how many points the best is ahead of each other; none where that has no mean."""
        ahead: dict[str, float | None] = {v.norm: v.difference.mean for v in self.verdicts}
        ahead[self.baseline] = 0.0
        own, means = ahead[best], [ahead[name] for name in others]
        if own is None or None in means:
            return []
        return [own - mean for mean in means if mean is not None]

    def use_equals(self) -> Recommendation:
        equal, worse = self.with_outcome("equivalent"), self.with_outcome("worse")
        norms, margin = (self.baseline, *equal), self.numbers.rules.margin or 0.0
        which = self.called(norms, "or")
        if len(norms) > NAMED:
            which = f"{self.named(self.baseline)} or one of {len(equal)} others"
        text = f"Use {which}: {self.called(equal)} {_are(equal)} equivalent to "
        text += f"{self.named(self.baseline)} ({self.accuracy(self.norms[self.baseline])}) within "
        text += f"{margin:g} points"
        if worse:
            text += f"; {self.called(worse)} {_are(worse)} behind {self.named(self.baseline)}"
        return Recommendation(norms, f"{text}{self.limits()}.")

    def undecided(self) -> str:
        """What is still open, and what would probably close it."""
        open_ones = [v for v in self.verdicts if not v.decided]
        better, names = self.with_outcome("better"), [v.norm for v in open_ones]
        reason = f"{self.called(names)} {_are(names)} undecided against {self.named(self.baseline)}"
        if better:
            ahead = f"{self.called(better)} {_are(better)} ahead of {self.named(self.baseline)}"
            reason = f"{ahead}, but {reason}"
        seeds = [v.difference.n for v in open_ones]
        more = [v.judgement.more_seeds for v in open_ones]
        if not min(seeds):
            return f"{reason}; some of their trials are missing or failed"
        if max(seeds) == 1:
            return f"{reason}; one run each decides nothing, and --until-decided adds seeds"
        known = [seeds_needed for seeds_needed in more if seeds_needed]
        if len(known) < len(more):
            return reason
        about, least, most = max(known)
        seeds_more = f"{counted(about, 'more seed')} ({least} to {most})"
        return f"{reason}; about {seeds_more} would probably decide it"

    def none(self, reason: str) -> Recommendation:
        return Recommendation((), f"No recommendation: {reason}{self.limits()}.")

    def limits(self) -> str:
        """At which batch size, of several; that the training was short, or the rules are late."""
        words = ""
        if self.numbers.several_sizes:
            words = f", at batch size {self.numbers.experiment.main_batch_size}"
        if self.scope.short:
            steps = f"{self.scope.steps:,} of the recipe's {self.scope.usual_steps:,} steps"
            words += f"; after {steps}, which says nothing of full training"
        elif self.scope.falling:
            words += "; the loss still fell when the training ended"
        if self.numbers.promised:
            words += "; exploratory, by rules chosen after seeing the results"
        return words

    def with_outcome(self, outcome: Outcome) -> list[str]:
        return [verdict.norm for verdict in self.verdicts if verdict.outcome == outcome]

    def accuracy(self, norm: NormSummary) -> str:
        return f"{number(norm.test_accuracy_percent.mean, 1)} %"

    def named(self, norm: str) -> str:
        return self.numbers.titles.get(norm, norm)

    def called(self, norms: Sequence[str], last: str = "and") -> str:
        """In full names; of many, how many they are."""
        if len(norms) > NAMED:
            return f"{len(norms)} norms"
        names = [self.named(norm) for norm in norms]
        return listed(names, last)


def _are(norms: Sequence[str]) -> str:
    return "is" if len(norms) == 1 else "are"
