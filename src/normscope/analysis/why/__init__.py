"""Probes -> what they say of why a norm wins: claims, each supported, contradicted or not decided.

Every threshold here was fixed before any recorded run was looked at.
"""

from collections.abc import Callable, Mapping

from normscope.analysis.numbers import Numbers
from normscope.analysis.why.against import drift, landscape, smoothness, speed
from normscope.analysis.why.batches import small_batches
from normscope.analysis.why.bump import bump
from normscope.analysis.why.channels import alike, one_feature
from normscope.analysis.why.foreseen import foreseen
from normscope.analysis.why.groups import edge, which_channels
from normscope.analysis.why.inside import SHOWN, Inside, inside_of
from normscope.analysis.why.reading import Outcome, Reading
from normscope.analysis.why.regularization import regularization, without_dropout

__all__ = [
    "ACROSS",
    "READINGS",
    "SHOWN",
    "Inside",
    "Outcome",
    "Reading",
    "inside_of",
    "readings_of",
]

# Each says nothing, None, of an experiment that does not have what it needs.
READINGS: dict[str, Callable[[Numbers], Reading | None]] = {
    "similar channels": alike,
    "one feature per channel": one_feature,
    "who shares a group": which_channels,
    "the edge": edge,
    "the bump": bump,
    "speed": speed,
    "smoothness": smoothness,
    "landscape": landscape,
    "drift": drift,
    "regularization": regularization,
    "small batches": small_batches,
    "forecast": foreseen,
}


# Of several experiments together, by the name of each.
ACROSS: dict[str, Callable[[Mapping[str, Numbers]], Reading | None]] = {
    "without dropout": without_dropout,
}


def readings_of(numbers: Numbers) -> tuple[Reading, ...]:
    """All that can be said; nothing of an experiment whose networks were not looked into."""
    if not numbers.probes:
        return ()
    made = (read(numbers) for read in READINGS.values())
    return tuple(reading for reading in made if reading is not None)
