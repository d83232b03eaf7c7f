"""What the probes of a trial measured inside its network, over its training."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

TEST_IMAGES = 1000  # an accuracy by them has an sd of 1.4 points, a difference one of about 1


@dataclass(frozen=True)
class ProbePlan:
    """Which probes are taken while a trial trains, and when.

    `names` are those of the table of probes. `epochs` are the moments of the probes that are taken
    over the whole training, 0 being the untrained network and 2.5 the middle of the third epoch;
    None stands for the beginning and the end of every epoch. `images` is the number of test images
    for accuracies; with more than there are, all are taken.
    """

    names: tuple[str, ...] = ()
    epochs: tuple[float, ...] | None = None
    images: int = TEST_IMAGES


@dataclass(frozen=True)
class Series:
    """One measure at several moments of a training.

    `epochs` (T,): when, in epochs; 0 is the untrained network. `readings` (T, ...), with an axis
    for each of `axes` after the first; what was not measured is NaN. The positions along an axis
    have names: layers, or numbers such as the sizes of steps.
    """

    epochs: np.ndarray
    readings: np.ndarray
    axes: tuple[str, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()

    @property
    def first(self) -> np.ndarray:
        return self.readings[0]

    @property
    def last(self) -> np.ndarray:
        return self.readings[-1]


@dataclass(frozen=True)
class Probes:
    """The `series` by name, ``"probe.measure"``; what the probes took; and which of them raised.

    `failures` gives the reason by the name of a probe. `seconds` are no part of those of the
    trial's epochs.
    """

    series: Mapping[str, Series]
    seconds: float = 0.0
    failures: Mapping[str, str] = field(default_factory=dict)

    def merged_with(self, other: "Probes") -> "Probes":
        """Both; where they hold the same series, the moments of both, those of `other` first."""
        merged = dict(self.series)
        for name, new in other.series.items():
            old = merged.get(name)
            same = old is not None and (old.axes, old.names) == (new.axes, new.names)
            merged[name] = _joined(new, old) if old is not None and same else new
        done = {name.partition(".")[0] for name in other.series}
        failures = {n: reason for n, reason in self.failures.items() if n not in done}
        return Probes(merged, self.seconds + other.seconds, {**failures, **other.failures})


def _joined(new: Series, old: Series) -> Series:
    kept = ~np.isin(old.epochs, new.epochs)
    epochs = np.concatenate([new.epochs, old.epochs[kept]])
    readings = np.concatenate([new.readings, old.readings[kept]])
    order = np.argsort(epochs, kind="stable")
    return Series(epochs[order], readings[order], new.axes, new.names)
