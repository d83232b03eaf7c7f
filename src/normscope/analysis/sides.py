"""Two experiments side by side: what both of them have, and what only one has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from normscope.experiment import DatasetFacts, Experiment, Request, Result

Key = tuple[str, int, int]  # a norm, a batch size and a seed


@dataclass(frozen=True)
class Side:
    """One of two experiments: what was asked for and when, its data, and what its trials left.

    `results`: without arrays, by norm, batch size and seed.
    """

    experiment: Experiment
    requests: tuple[Request, ...]
    facts: DatasetFacts
    results: Mapping[Key, Result]

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        requests: Sequence[Request],
        facts: DatasetFacts,
        results: Iterable[Result],
    ) -> "Side":
        """The same from results in any order."""
        keyed = {(r.trial.norm, r.trial.recipe.batch_size, r.trial.seed): r for r in results}
        return cls(experiment, tuple(requests), facts, keyed)

    @property
    def seeds_before_looks(self) -> frozenset[int]:
        """The seeds that were asked for when there was no result yet to look at."""
        first, *later = self.requests
        unseen = takewhile(lambda request: request.results_before == 0, later)
        count = max(first.seeds, *(request.seeds for request in unseen), 0)
        return frozenset(self.experiment.seed_numbers[:count])


@dataclass(frozen=True)
class Both:
    """Two experiments, of which `b` is measured against `a`."""

    a: Side
    b: Side

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that both plan, in the order in which `a` does."""
        theirs = {*self.b.experiment.seed_numbers}
        return tuple(seed for seed in self.a.experiment.seed_numbers if seed in theirs)

    @cached_property
    def norms(self) -> tuple[str, ...]:
        """The norms that both have, in the order in which `a` does."""
        return tuple(n for n in self.a.experiment.norms if n in self.b.experiment.norms)

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The batch sizes that are compared, of `a` and of `b`.

        They are those of both; where either has one alone, a batch size is part of its recipe, and
        the two may differ in it as in anything else.
        """
        ours, theirs = self.a.experiment.batch_sizes, self.b.experiment.batch_sizes
        if len(ours) == len(theirs) == 1:
            return ((ours[0], theirs[0]),)
        return tuple((size, size) for size in ours if size in theirs)

    @property
    def baseline(self) -> str | None:
        """The norm that either experiment compares the others with; None if they are two."""
        mine, theirs = self.a.experiment.baseline, self.b.experiment.baseline
        return mine if mine == theirs else None

    @property
    def looked(self) -> bool:
        """Whether seeds that both have were added to either when there were results to look at.

        Folds are not: none of them is added after a look.
        """
        before = self.a.seeds_before_looks & self.b.seeds_before_looks
        return not self.a.experiment.folds and not before.issuperset(self.seeds)

    @cached_property
    def trials(self) -> tuple[tuple[Result, Result], ...]:
        """The results of the trials that are compared, of `a` and of `b`, whatever their status."""
        found = [
            (self.a.results.get((norm, size_a, seed)), self.b.results.get((norm, size_b, seed)))
            for size_a, size_b in self.sizes
            for norm in self.norms
            for seed in self.seeds
        ]
        return tuple((a, b) for a, b in found if a is not None and b is not None)


def identical(one: Result, other: Result) -> bool:
    """Whether two trials ended alike, with equal losses and accuracies, to the last bit.

    Of every epoch all is compared but its seconds. A trial that failed has no end to compare.
    """
    ended = one.status == other.status != "failed"
    return ended and _measured(one) == _measured(other)


def _measured(result: Result) -> list[tuple[float, ...]]:
    return [
        (
            epoch.train_loss_nats,
            epoch.train_accuracy_percent,
            epoch.test_loss_nats,
            epoch.test_accuracy_percent,
        )
        for epoch in result.history
    ]
