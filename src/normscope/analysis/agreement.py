"""How far trials agree on what is hard: over the whole test set, and between norms and seeds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from normscope.analysis.evidence import Right
from normscope.stats import SharedMistakes, shared_mistakes
from normscope.words import chosen_of, evenly, interval, number, p_value, signed

MOST_SEEDS = 60


@dataclass(frozen=True)
class Split:
    """How many test images are right in all of so many trials, wrong in all of them, or mixed."""

    trials: int
    right: int
    wrong: int
    mixed: int

    @classmethod
    def of(cls, right: np.ndarray) -> "Split":
        """From the right answers: bool, (trials, N)."""
        always, never = right.all(axis=0), ~right.any(axis=0)
        wrong, images = int(never.sum()), right.shape[1]
        return cls(len(right), int(always.sum()), wrong, images - int(always.sum()) - wrong)


@dataclass(frozen=True)
class Agreement:
    """The finished trials of one batch size, image by image.

    `splits` are by norm, of those with a finished trial, and `every` is over all of their trials.
    `shared` compares the `norms` with two finished trials or more, over the `seeds` in which all of
    these finished; None where two norms or two seeds are lacking. Each two trials are compared, so
    of the `seeds_in_all` it is `MOST_SEEDS` at most, chosen evenly. `by_chance_percent` is what two
    of these trials would share if each erred on images at random. `alpha` is that of the one test:
    whether norms make other mistakes than seeds do.
    """

    test_size: int
    splits: Mapping[str, Split]
    every: Split
    norms: tuple[str, ...]
    seeds: tuple[int, ...]
    seeds_in_all: int
    shared: SharedMistakes | None
    by_chance_percent: float | None
    alpha: float

    @property
    def sentences(self) -> tuple[str, ...]:
        """What there is to say of it; the last one needs two norms and two seeds."""
        return (self._on_images(), *([self._on_norms(self.shared)] if self.shared else []))

    def _on_images(self) -> str:
        every, size = self.every, self.test_size
        if every.trials == 1:
            return f"The one finished trial is wrong on {every.wrong:,} of {size:,} test images."
        counts = [
            f"{count:,} ({number(100 * count / size, 1)} %) are {words}"
            for count, words in (
                (every.right, f"right in all {every.trials} finished trials"),
                (every.wrong, "wrong in all of them"),
                (every.mixed, "right in some and wrong in others"),
            )
        ]
        return f"Of {size:,} test images {counts[0]}, {counts[1]}, and {counts[2]}."

    def _on_norms(self, shared: SharedMistakes) -> str:
        seeds, gap = len(self.seeds), shared.within - shared.between
        spread = interval(shared.by_seed.min(), shared.by_seed.max(), 1)
        by_seed = f"by seed {spread}; " if seeds > 2 else ""  # two seeds make one pair
        text = (
            f"Two seeds of the same norm have {number(shared.within, 1)} % of their mistakes in "
            f"common, and two trials that differ in norm and seed {number(shared.between, 1)} %, "
            f"a difference of {signed(gap, 1)} points ({by_seed}{len(self.norms)} norms, "
            f"{chosen_of(seeds, self.seeds_in_all, 'seed')}; "
            f"p {_compared(shared.p_value)}, norms permuted within seeds). "
        )
        if shared.p_value > self.alpha:
            return text + "This does not show that norms make other mistakes than seeds do."
        part = 100 * (100 - shared.within) / (100 - shared.between)
        return text + (
            "So norms make other mistakes than seeds alone do; but another seed alone accounts for "
            f"{number(part, 0)} % of what two norms do not share."
        )


def _compared(p: float) -> str:
    return p_value(p) if p < 0.001 else f"= {p_value(p)}"


def agreement_of(right: Right, test_size: int, alpha: float) -> Agreement | None:
    """From the trials of one batch size; None if none has finished."""
    if not right:
        return None
    several = {norm: by_seed for norm, by_seed in right.items() if len(by_seed) > 1}
    common = sorted(set.intersection(*(set(each) for each in several.values())) if several else ())
    seeds = evenly(common, MOST_SEEDS)
    wrong = np.array([[~each[seed] for seed in seeds] for each in several.values()])
    shared = shared_mistakes(wrong) if wrong.ndim == 3 else None
    return Agreement(
        test_size=test_size,
        splits={norm: Split.of(np.stack([*each.values()])) for norm, each in right.items()},
        every=Split.of(np.stack([one for each in right.values() for one in each.values()])),
        norms=tuple(several),
        seeds=tuple(seeds),
        seeds_in_all=len(common),
        shared=shared,
        by_chance_percent=_by_chance(wrong) if shared else None,
        alpha=alpha,
    )


def _by_chance(wrong: np.ndarray) -> float:
    """Expected share of mistakes at random images, mean over pairs of trials; wrong (k, n, N)."""
    rates = wrong.mean(axis=2).ravel()
    shares = 2 * rates[:, None] * rates / (rates[:, None] + rates)
    return float(100 * shares[~np.eye(len(rates), dtype=bool)].mean())
