"""How frequent the classes are, and how well each of them is recognised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normscope.analysis.tallies import Tally
from normscope.experiment import DatasetFacts
from normscope.words import number

# Classes are imbalanced if the largest has more than so many times the images of the smallest.
IMBALANCED = 1.5
SHOWN = 40  # of more classes, figures and tables show so many: the largest half, the smallest half
NAMED = 4  # more classes than that are counted in a sentence


@dataclass(frozen=True)
class Classes:
    """The classes in the order of their labels, with the number of images of each.

    `train` is None in folders that were written before classes were counted. `recalls`: by norm,
    how many percent of the test images of a class a finished trial recognises, float64 (trials,
    classes); NaN for a class without test images.
    """

    names: tuple[str, ...]
    train: tuple[int, ...] | None
    test: tuple[int, ...]
    recalls: Mapping[str, np.ndarray]

    @property
    def equally_tested(self) -> bool:
        """Whether test images are divided as evenly as their number allows.

        Then balanced accuracy says what accuracy says.
        """
        return max(self.test) - min(self.test) <= 1

    @property
    def test_imbalanced(self) -> bool:
        return _imbalanced(self.test)

    @property
    def imbalanced(self) -> bool:
        """In training, in the test, or in both."""
        return self.test_imbalanced or (self.train is not None and _imbalanced(self.train))

    @property
    def untested(self) -> tuple[str, ...]:
        """The classes without test images."""
        return tuple(name for name, images in zip(self.names, self.test, strict=True) if not images)

    @property
    def ranked(self) -> list[int]:
        """All classes, that with the most training images first, then by test images."""
        train = self.train or self.test
        return sorted(range(len(self.names)), key=lambda i: (-train[i], -self.test[i]))

    @property
    def shown(self) -> list[int]:
        """Those of `ranked` that figures and tables show: all, or the largest and the smallest."""
        ranked = self.ranked
        return ranked if len(ranked) <= SHOWN else ranked[: SHOWN // 2] + ranked[-SHOWN // 2 :]

    @property
    def hidden(self) -> int:
        """How many classes are left out between the halves of `shown`."""
        return max(0, len(self.names) - SHOWN)

    @property
    def which_shown(self) -> str:
        """Which of many classes are shown."""
        split, half = "test" if self.train is None else "training", SHOWN // 2
        return (
            f"Of {len(self.names):,} classes these are the {half} with the most and the {half} "
            f"with the fewest {split} images."
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """What there is to know of the imbalance, if there is one."""
        found = []
        if self.imbalanced:
            found.append(self._sizes())
        if self.test_imbalanced:
            found.append(
                "Test accuracy is mostly that of the large classes; balanced accuracy and macro F1 "
                "count every class alike."
            )
        if self.untested:
            found.append(self._untested())
        return tuple(found)

    def _sizes(self) -> str:
        """How the largest class compares with the smallest, and what always answering it scores."""
        split, counts = "test", self.test
        if self.train is not None and _imbalanced(self.train):
            split, counts = "training", self.train
        ranked = sorted(zip(counts, self.test, self.names, strict=True), key=lambda row: row[:2])
        (fewest, _, small), (most, tested, large) = ranked[0], ranked[-1]
        compared = f"{number(most / fewest, 1)} times as many" if fewest else f"{most:,}"
        smallest = "as the smallest" if fewest else "and the smallest none"
        percent = number(100 * tested / sum(self.test), 1)
        return (
            f"The largest class has {compared} {split} images {smallest} ({large} {most:,}, "
            f"{small} {fewest:,}); always answering {large} scores {percent} % on the test images."
        )

    def _untested(self) -> str:
        names = self.untested
        if len(names) > NAMED:
            told = f"{len(names)} of {len(self.names)} classes have no test images and are"
        elif len(names) == 1:
            told = f"The class {names[0]} has no test images and is"
        else:
            told = (
                f"The classes {', '.join(names[:-1])} and {names[-1]} have no test images and are"
            )
        return f"{told} left out of balanced accuracy and macro F1."


def _imbalanced(counts: Sequence[int]) -> bool:
    return max(counts) > IMBALANCED * min(counts)


def classes_of(
    facts: DatasetFacts, tallies: Mapping[str, Tally], test_labels: np.ndarray
) -> Classes:
    """From the trials of one batch size; `test_labels`: int64, shape (N_test,)."""
    size = len(facts.class_names)
    return Classes(
        names=facts.class_names,
        train=facts.train_counts,
        test=tuple(np.bincount(test_labels, minlength=size).tolist()),
        recalls={norm: np.array(tally.recalls) for norm, tally in tallies.items()},
    )
