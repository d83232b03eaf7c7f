"""What experiments say, in which channels change groups, of why bn is ahead.

Correlations inside one network cannot tell that a norm is ahead because of them. Networks that
differ in nothing but who shares statistics with whom can.
"""

from collections.abc import Sequence

from normscope.analysis.grouping import SIMILAR
from normscope.analysis.numbers import Numbers
from normscope.analysis.verdicts import Outcome as Said
from normscope.analysis.verdicts import Verdict
from normscope.analysis.why.reading import Outcome, Reading, verdicts_in_words
from normscope.norms import order_of, parse

SHARING = ("ln", "gn")  # whose statistics are shared by channels


def which_channels(numbers: Numbers) -> Reading | None:
    """Whether groups of similar channels are better than groups of dissimilar ones."""
    found = _of(numbers, SIMILAR)
    if not found:
        return None
    itself = _of(numbers, "random")
    outcome = _which(found, itself)
    plain = {
        "supported": "A norm that shares its statistics among channels does better if these are "
        "similar: mixing them costs accuracy.",
        "contradicted": "It makes no difference which channels share their statistics, similar or "
        "dissimilar ones.",
        "not decided": "Whether it matters which channels share their statistics is open.",
    }[outcome]
    if outcome == "contradicted" and any(practical(verdict) == "worse" for verdict in found):
        plain = (
            "It matters which channels share their statistics, but the other way: dissimilar ones "
            "do better together."
        )
    beside = (
        f" A norm against itself: {verdicts_in_words(itself, numbers.rules)}." if itself else ""
    )
    margin = f"{numbers.rules.margin or 0:g} points"
    return Reading(
        "A norm does better if similar channels share their statistics",
        plain,
        outcome,
        f"{verdicts_in_words(found, numbers.rules)}.{beside} Supported if similar groups are "
        f"better by some order and worse by none; contradicted if by all orders they are worse, or "
        f"surely differ by less than {margin}; not decided if a norm differs from itself.",
        "The same channels, convolutions and images; only who shares a group with whom changes. "
        + ("" if itself else "A norm was not tested against itself (gn and gn:order=random). ")
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
    halves = [verdict for verdict in (scale, center) if verdict]
    if not behind or not (halves or _of(numbers, SIMILAR)):
        return None
    by_scale = [v for v in _of(numbers, SIMILAR) if "-scale-" in (order_of(v.norm) or "")]
    grouped = _which(by_scale, _of(numbers, "random")) if by_scale else "not decided"
    ahead = any(verdict.outcome == "worse" for verdict in behind)
    outcome = _edge(ahead, grouped, scale, center)
    plain = {
        "supported": "bn is ahead because it treats channels of different scale each by itself.",
        "contradicted": "That channels differ in scale is not why bn is ahead.",
        "not decided": "Whether bn is ahead because its channels differ in scale is open."
        if ahead
        else "bn is not shown to be ahead of norms that share statistics, so there is no edge to "
        "explain.",
    }[outcome]
    halved = f" Half of bn: {verdicts_in_words(halves, numbers.rules)}." if halves else ""
    return Reading(
        "bn's edge comes from channels of different scale",
        plain,
        outcome,
        f"The edge: {verdicts_in_words(behind, numbers.rules)}. That groups of similar scale are "
        f"better: {grouped}.{halved}",
        "Supported if bn is ahead, groups of similar scale are better, bn that only subtracts is "
        "behind bn, and bn that only divides is equivalent to it or better; contradicted if "
        "they are not better, or bn that only subtracts is not behind. A difference that surely is "
        f"below {numbers.rules.margin or 0:g} points counts as none.",
    )


def _edge(ahead: bool, grouped: Outcome, scale: Verdict | None, center: Verdict | None) -> Outcome:
    """By whether bn is ahead, what the groups say, and what bn's halves do beside bn."""
    if not ahead:
        return "not decided"
    said = [practical(verdict) if verdict else "undecided" for verdict in (scale, center)]
    if grouped == "contradicted" or said[1] in ("equivalent", "better"):
        return "contradicted"
    helps, harms = said[0] in ("equivalent", "better"), said[1] == "worse"
    return "supported" if grouped == "supported" and helps and harms else "not decided"


def practical(verdict: Verdict) -> Said:
    """The verdict, where a difference that surely lies within the margin is none."""
    return "equivalent" if verdict.judgement.within_margin else verdict.outcome


def _of(numbers: Numbers, order: str) -> list[Verdict]:
    """On norms whose order begins so."""
    return [v for v in numbers.grouping if (order_of(v.norm) or "").startswith(order)]


def _of_norm(numbers: Numbers, name: str) -> Verdict | None:
    return next((v for v in numbers.grouping if parse(v.norm).name == name), None)
