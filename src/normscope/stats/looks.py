"""The tests that are valid at every look, by the version of the rules of verdicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from normscope.stats import mixture, spending
from normscope.stats.mixture import Interval


@dataclass(frozen=True)
class Looks:
    """Functions of paired differences, shape (n,), that are looked at one after the other.

    See the functions of these names in `mixture` and `spending`.
    """

    anytime_p_value: Callable[[Sequence[float]], float]
    direction_of_evidence: Callable[[Sequence[float]], int]
    confidence_sequence: Callable[[Sequence[float], float], Interval]
    running_intervals: Callable[[Sequence[float], float], list[Interval]]
    running_interval: Callable[[Sequence[float], float], Interval]
    half_width: Callable[[int, float], float]


LOOKS: Mapping[int, Looks] = {
    version: Looks(
        tests.anytime_p_value,
        tests.direction_of_evidence,
        tests.confidence_sequence,
        tests.running_intervals,
        tests.running_interval,
        tests.half_width,
    )
    for version, tests in ((1, mixture), (2, spending))
}
