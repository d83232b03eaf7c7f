"""Verdicts -> one line for who reads no further: which norm to use, or that nothing says which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normscope.analysis.contrasts import to_choose
from normscope.analysis.numbers import Numbers
from normscope.analysis.summaries import NormSummary
from normscope.analysis.verdicts import Verdict
from normscope.words import counted, number

NAMED = 3  # of more norms it is said how many they are


@dataclass(frozen=True)
class Recommendation:
    """`norms` are those to use, equally good ones behind each other; none where nothing says."""

    norms: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def recommendation_of(numbers: Numbers) -> Recommendation:
    """What the verdicts at the main batch size recommend, no more than they carry."""
    names = to_choose(numbers.experiment)
    there = {norm.norm: norm for norm in numbers.norms if norm.norm in names}
    verdicts = [norm.verdict for norm in there.values() if norm.verdict]
    if not verdicts:
        return _none(numbers, "there is no other norm to compare it with")
    best = _ahead_of_all(numbers, verdicts)
    if best is not None:
        others = [name for name in names if name != best]
        return _of_one(numbers, there[best], others, _leads(best, others, verdicts))
    outcomes = {verdict.outcome for verdict in verdicts}
    if outcomes <= {"equivalent", "worse"}:
        return _of_equals(numbers, there, verdicts)
    return _open(numbers, verdicts)


def _ahead_of_all(numbers: Numbers, verdicts: Sequence[Verdict]) -> str | None:
    """The norm that is shown to be ahead of every other, if there is one.

    By the answers, where all others are behind the baseline, or by the pairs of all norms. One that
    is ahead of the baseline is ahead of all that are behind it.
    """
    baseline, outcomes = numbers.experiment.baseline, [v.outcome for v in verdicts]
    if all(outcome == "worse" for outcome in outcomes):
        return baseline
    better = [v.norm for v in verdicts if v.outcome == "better"]
    if len(better) == 1 and outcomes.count("worse") == len(outcomes) - 1:
        return better[0]
    winners = numbers.winners
    return winners[0] if winners is not None and len(winners) == 1 else None


def _leads(best: str, others: Sequence[str], verdicts: Sequence[Verdict]) -> list[float]:
    """By how many points the best is ahead of each other; none where that has no mean."""
    ahead: dict[str, float | None] = {v.norm: v.difference.mean for v in verdicts}
    ahead[verdicts[0].baseline] = 0.0
    own = ahead[best]
    leads = [own - mean for name in others if (mean := ahead[name]) is not None and own is not None]
    return leads if len(leads) == len(others) else []


def _of_one(
    numbers: Numbers, best: NormSummary, others: Sequence[str], leads: Sequence[float]
) -> Recommendation:
    by = ""
    if leads:
        low, high = number(min(leads), 1), number(max(leads), 1)
        by = f", by {low} points" if low == high else f", by {low} to {high} points"
    ahead = f"ahead of {_called(others, numbers.titles)}{by}"
    text = f"Use {_name(best.norm, numbers)}: {_accuracy(best)}, {ahead}{_limits(numbers)}."
    return Recommendation((best.norm,), text)


def _of_equals(
    numbers: Numbers, there: Mapping[str, NormSummary], verdicts: Sequence[Verdict]
) -> Recommendation:
    baseline, margin = numbers.experiment.baseline, numbers.rules.margin or 0.0
    equal = [v.norm for v in verdicts if v.outcome == "equivalent"]
    behind = [v.norm for v in verdicts if v.outcome == "worse"]
    norms = (baseline, *equal)
    accuracies = [there[name].test_accuracy_percent.mean for name in norms]
    known = [mean for mean in accuracies if mean is not None]
    which = _called(norms, numbers.titles, "or") if len(norms) <= NAMED else "any of these norms"
    same = f"equivalent to {_name(baseline, numbers)} within {margin:g} points"
    text = f"Use {which}: {_range(known)}, {same}"
    text += f", and ahead of {_called(behind, numbers.titles)}" if behind else ""
    return Recommendation(norms, f"{text}{_limits(numbers)}.")


def _open(numbers: Numbers, verdicts: Sequence[Verdict]) -> Recommendation:
    """What is still open, and what would probably close it."""
    undecided = [v for v in verdicts if not v.decided]
    better = [v.norm for v in verdicts if v.outcome == "better"]
    baseline = numbers.experiment.baseline
    if not undecided:
        told = f"{_called(better, numbers.titles)} are ahead of {_name(baseline, numbers)}, and "
        return _none(numbers, f"{told}nothing tells which of them is best")
    open_ones = _called([v.norm for v in undecided], numbers.titles)
    is_ = "is" if len(undecided) == 1 else "are"
    reason = f"{open_ones} {is_} undecided against {_name(baseline, numbers)}"
    if better:
        ahead = "is" if len(better) == 1 else "are"
        reason = f"{_called(better, numbers.titles)} {ahead} ahead of it, but {reason}"
    needed = [v.judgement.more_seeds for v in undecided]
    if all(needed):
        most = max(more for more in needed if more)
        reason += f"; about {counted(most[0], 'more seed')} ({most[1]} to {most[2]}) would decide"
    elif any(v.difference.n < 2 for v in undecided):
        reason += "; one run each decides nothing: `--seeds 5`, or `--until-decided`"
    return _none(numbers, reason)


def _none(numbers: Numbers, reason: str) -> Recommendation:
    return Recommendation((), f"No recommendation{_limits(numbers, ',')}: {reason}.")


def _limits(numbers: Numbers, before: str = ";") -> str:
    """That the training was short, and says nothing of a full one."""
    scope = numbers.scope(numbers.experiment.main_batch_size)
    if not scope.limited:
        return ""
    steps = counted(scope.steps, "step")
    if scope.short:
        steps = f"{scope.steps:,} of the recipe's {scope.usual_steps:,} steps"
    return f"{before} after {steps}, which says nothing of full training"


def _accuracy(norm: NormSummary) -> str:
    return f"{number(norm.test_accuracy_percent.mean, 1)} %"


def _range(means: Sequence[float]) -> str:
    """``75.7 to 75.9 %``, of several."""
    low, high = number(min(means), 1), number(max(means), 1)
    return f"{low} %" if low == high else f"{low} to {high} %"


def _name(norm: str, numbers: Numbers) -> str:
    return numbers.titles.get(norm, norm)


def _called(norms: Sequence[str], titles: Mapping[str, str], last: str = "and") -> str:
    """In full names; of many, how many they are."""
    if len(norms) > NAMED:
        return f"{len(norms)} others"
    names = [titles.get(norm, norm) for norm in norms]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"
