"""What every norm says of the test images that a report shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from normscope.experiment import Predictions, Result, Told
from normscope.experiment.folds import Pool, fold_index

RIVALS = 3  # classes shown beside the true one
NAMED = 3  # norms that err on an image and are named


@dataclass(frozen=True)
class NormAnswer:
    """What the finished trials of one norm say of one image; `wrong` of `trials` misclassify it.

    `percent` (num_classes,) is the mean of the softmax probabilities over the trials, `low` and
    `high` are the lowest and the highest of them.
    """

    norm: str
    wrong: int
    trials: int
    percent: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class ImageAnswers:
    """What every norm with a finished trial says of the test image at `index`, of class `true`."""

    index: int
    true: int
    norms: tuple[NormAnswer, ...]

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The true class, then the others that are most probable on the mean over norms."""
        mean = np.mean([answer.percent for answer in self.norms], axis=0)
        order = [int(each) for each in np.argsort(-mean, kind="stable") if each != self.true]
        return (self.true, *order[:RIVALS])

    @property
    def agreement(self) -> str:
        """Who errs on it in few words: ``hard for all``, ``only bn errs``, ``bn 3, gn 1 err``."""
        erring = [answer for answer in self.norms if answer.wrong]
        if all(answer.wrong == answer.trials for answer in self.norms):
            return "hard for all"
        if len(erring) == 1:
            return f"only {erring[0].norm} errs"
        if len(erring) <= NAMED:
            return ", ".join(f"{answer.norm} {answer.wrong}" for answer in erring) + " err"
        return f"{len(erring)} of {len(self.norms)} norms err"


class Answers:
    """The probabilities that the finished trials of one norm give to I images, as sums."""

    def __init__(self, images: int, classes: int):
        self.trials, self.wrong = 0, np.zeros(images, dtype=np.int64)
        self.sum = np.zeros((images, classes))
        self.low, self.high = np.full_like(self.sum, np.inf), np.full_like(self.sum, -np.inf)

    def add(self, percent: np.ndarray, wrong: np.ndarray) -> None:
        """Add a trial: percent (I, num_classes), wrong bool (I,)."""
        self.trials += 1
        self.wrong += wrong
        self.sum += percent
        np.minimum(self.low, percent, out=self.low)
        np.maximum(self.high, percent, out=self.high)

    def of(self, norm: str, place: int) -> NormAnswer:
        """What was said of one of the images."""
        mean = self.sum[place] / self.trials
        wrong = int(self.wrong[place])
        return NormAnswer(norm, wrong, self.trials, mean, self.low[place], self.high[place])


# What a trial says of the shown images that it is tested on: their places among these, the
# predicted classes, both int64, (A,), and the probabilities of all classes, (A, num_classes).
Said = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Showing:
    """`Summarise` predictions as what is said of the images that are shown.

    `index`: int64, ascending, where these are among all test images, which have these `labels`.
    """

    index: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, indexes: Iterable[int], labels: np.ndarray) -> "Showing":
        return cls(np.array(sorted(indexes), dtype=np.int64), labels)

    def __bool__(self) -> bool:
        return len(self.index) > 0

    def __call__(self, told: Sequence[Told], predictions: Sequence[Predictions]) -> list[Said]:
        return [self._said(each, own) for each, own in zip(told, predictions, strict=True)]

    def _said(self, told: Told, predictions: Predictions) -> Said:
        tested = fold_index(told, self.labels)
        _, places, rows = np.intersect1d(self.index, tested, True, return_indices=True)
        return places, predictions.classes[rows], predictions.probabilities(rows)


def image_answers(
    said: Iterable[tuple[Result, Said | None]],
    norms: Sequence[str],
    shown: Showing,
    classes: int,
) -> dict[int, ImageAnswers]:
    """By index, of the images that are `shown`, from what results of one batch size say of them."""
    true = shown.labels[shown.index]
    found = {norm: Answers(len(true), classes) for norm in norms}
    pool = Pool()
    for result, its in said:
        own = found.get(result.trial.norm)
        if own is None or result.status != "finished" or its is None:
            continue
        where, *arrays = its
        whole = pool.add(result.trial, where, arrays)
        if whole is not None:
            _, (predicted, probabilities) = whole
            own.add(100 * probabilities, predicted != true)
    return {
        int(image): ImageAnswers(
            int(image),
            int(true[place]),
            tuple(own.of(norm, place) for norm, own in found.items() if own.trials),
        )
        for place, image in enumerate(shown.index)
    }
