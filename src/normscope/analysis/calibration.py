"""How sure the networks of each norm are, and how often they are right."""

from collections.abc import Mapping

from normscope.analysis.tallies import Tally
from normscope.stats import Reliability


def reliability_of(tallies: Mapping[str, Tally]) -> dict[str, Reliability]:
    """Of the test images of all finished trials of a norm together, by norm."""
    return {norm: tally.reliability.reliability() for norm, tally in tallies.items()}
