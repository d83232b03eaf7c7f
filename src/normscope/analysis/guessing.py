"""How many trials left a network that guesses, because they diverged or collapsed."""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.experiment import GUESSING, Status
from normscope.words import counted


@dataclass(frozen=True)
class Guessing:
    """How many of the planned `trials`, of one norm at one batch size, left a network that guesses.

    What they did is a status in `experiment.GUESSING`: a field for each.
    """

    trials: int = 0
    diverged: int = 0
    collapsed: int = 0

    @classmethod
    def among(cls, statuses: Sequence[Status], trials: int) -> "Guessing":
        """Count the trials that were run, by their statuses; `trials` were planned."""
        return cls(trials, **{status: statuses.count(status) for status in GUESSING})

    def __add__(self, other: "Guessing") -> "Guessing":
        return Guessing(
            self.trials + other.trials,
            self.diverged + other.diverged,
            self.collapsed + other.collapsed,
        )

    @property
    def total(self) -> int:
        return sum(count for _, count in self._by_status())

    @property
    def how(self) -> str:
        """What they did: ``diverged``, ``collapsed`` or ``diverged or collapsed``."""
        return " or ".join(status for status, count in self._by_status() if count)

    @property
    def counts(self) -> str:
        """``1 diverged, 2 collapsed``; "" if there are none."""
        return ", ".join(f"{count} {status}" for status, count in self._by_status() if count)

    @property
    def in_seeds(self) -> str:
        """``diverged in 1 and collapsed in 2 of 6 seeds``; to be said if there are any."""
        parts = [f"{status} in {count}" for status, count in self._by_status() if count]
        return f"{' and '.join(parts)} of {counted(self.trials, 'seed')}"

    def _by_status(self) -> list[tuple[Status, int]]:
        return [(status, getattr(self, status)) for status in GUESSING]
