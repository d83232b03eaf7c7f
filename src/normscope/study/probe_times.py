"""What probes took of the time of the trials that they looked into, and which of them failed."""

from normscope.experiment import Result
from normscope.words import counted, number


class ProbeTimes:
    """Adds up the trials that end while an experiment runs."""

    def __init__(self) -> None:
        self.probes_s = self.training_s = 0.0
        self.failures: list[str] = []

    def added(self, result: Result) -> None:
        if result.probes is None:
            return
        self.probes_s += result.probes.seconds
        self.training_s += result.seconds - result.probes.seconds
        self.failures += [
            f"{name} of {result.trial.id} ({why})" for name, why in result.probes.failures.items()
        ]

    def sentences(self) -> list[str]:
        """For whoever waits; none if nothing was probed."""
        told = []
        if self.training_s:
            share = number(100 * self.probes_s / self.training_s, 1)
            told.append(f"Probes took {share} % of the time of the training.")
        if self.failures:
            told.append(f"{counted(len(self.failures), 'probe')} failed, first {self.failures[0]}.")
        return told
