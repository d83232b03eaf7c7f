"""What experiments say, in which channels change groups, of why bn is ahead.

Correlations inside one network cannot tell that a norm is ahead because of them. Networks that
differ in nothing but who shares statistics with whom can.
"""

from collections.abc import Sequence

from normscope.analysis.grouping import SIMILAR, order_of
from normscope.analysis.numbers import Numbers
from normscope.analysis.verdicts import Outcome as Said
from normscope.analysis.verdicts import Verdict
from normscope.analysis.why.reading import Outcome, Reading, verdicts_in_words
from normscope.norms import parse

SHARING = ("ln", "gn")  # whose statistics are shared by channels


def which_channels(numbers: Numbers) -> Reading | None:
    """Whether groups of similar channels are better than groups of dissimilar ones."""
    found = _of(numbers, SIMILAR)
    if not found:
        return None
    itself = _of(numbers, "random")
    outcome = _which(found, itself)
    plain = {
        "supported": "A norm that shares its statistics among channels does better if these are of "
        "similar scale: mixing them costs accuracy.",
        "contradicted": "It makes no difference which channels share their statistics, similar or "
        "dissimilar ones.",
        "not decided": "Whether it matters which channels share their statistics is open.",
    }[outcome]
    beside = (
        f" A norm against itself: {verdicts_in_words(itself, numbers.rules)}." if itself else ""
    )
    return Reading(
        "It matters which channels share their statistics",
        plain,
        outcome,
        f"{verdicts_in_words(found, numbers.rules)}.{beside} Supported if similar groups are "
        f"better in one order or more and worse in none; contradicted if in none they differ by "
        f"{numbers.rules.margin or 0:g} points or more.",
        "The same channels, convolutions and images; only who shares a group with whom changes. "
        + ("" if itself else "The test of a norm against itself is missing: add gn:order=random. ")
        + "Grouped once, at the start: filters that change in training may leave their group.",
    )


def _which(found: Sequence[Verdict], itself: Sequence[Verdict]) -> Outcome:
    outcomes = {practical(verdict) for verdict in found}
    if any(practical(verdict) in ("better", "worse") for verdict in itself):
        return "not decided"  # then something else than the order is at work
    if "better" in outcomes and "worse" not in outcomes:
        return "supported"
    return "contradicted" if outcomes <= {"equivalent", "worse"} else "not decided"


def edge(numbers: Numbers) -> Reading | None:
    """Whether bn is ahead because its channels differ in scale; only of an experiment on causes."""
    if parse(numbers.experiment.baseline).name != "bn":
        return None
    size = numbers.experiment.main_batch_size
    behind = [
        verdict
        for verdict in numbers.verdicts
        if verdict.batch_size == size
        and parse(verdict.norm).name in SHARING
        and order_of(verdict.norm) is None
    ]
    scale, center = (_of_norm(numbers, name) for name in ("bn-scale", "bn-center"))
    which, halves = which_channels(numbers), [v for v in (scale, center) if v]
    if not behind or (which is None and not halves):
        return None
    ahead = any(verdict.outcome == "worse" for verdict in behind)
    outcome = _edge(ahead, which.outcome if which else "not decided", scale, center)
    plain = {
        "supported": "bn is ahead because it treats channels of different scale each by itself.",
        "contradicted": "That channels differ in scale is not why bn is ahead.",
        "not decided": "Whether bn is ahead because its channels differ in scale is open."
        if ahead
        else "bn is not shown to be ahead of norms that share statistics, so there is no edge to "
        "explain.",
    }[outcome]
    grouped = f"That it matters who shares a group: {which.outcome}. " if which else ""
    halved = f"Half of bn: {verdicts_in_words(halves, numbers.rules)}. " if halves else ""
    return Reading(
        "bn's edge comes from channels of different scale",
        plain,
        outcome,
        f"The edge: {verdicts_in_words(behind, numbers.rules)}. {grouped}{halved}".rstrip(),
        "Supported only if bn is ahead, similar groups are better than dissimilar ones, bn that "
        "only subtracts is behind bn, and bn that only divides is not. A "
        f"difference that surely is below {numbers.rules.margin or 0:g} points counts as none.",
    )


def _edge(ahead: bool, which: Outcome, scale: Verdict | None, center: Verdict | None) -> Outcome:
    if not ahead:
        return "not decided"
    no_harm = center is not None and practical(center) in ("equivalent", "better")
    no_help = scale is not None and practical(scale) == "worse"
    if which == "contradicted" or no_harm or no_help:
        return "contradicted"
    helps = scale is not None and not no_help
    harms = center is not None and practical(center) == "worse"
    return "supported" if which == "supported" and helps and harms else "not decided"


def practical(verdict: Verdict) -> Said:
    """The verdict, where a difference that surely lies within the margin is none."""
    return "equivalent" if verdict.judgement.within_margin else verdict.outcome


def _of(numbers: Numbers, order: str) -> list[Verdict]:
    """On norms whose order begins so."""
    return [v for v in numbers.grouping if (order_of(v.norm) or "").startswith(order)]


def _of_norm(numbers: Numbers, name: str) -> Verdict | None:
    return next((v for v in numbers.grouping if parse(v.norm).name == name), None)
