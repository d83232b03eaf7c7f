"""What every norm says of the test images that a report shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from normscope.experiment import Predictions, Result
from normscope.experiment.folds import Pool

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


def image_answers(
    read: Iterable[tuple[Result, Predictions | None]],
    norms: Sequence[str],
    test_labels: np.ndarray,
    classes: int,
    indexes: Iterable[int],
) -> dict[int, ImageAnswers]:
    """By index, of the test images at `indexes`, from the results of one batch size.

    `read`: the results with their predictions, which may come one after the other.
    """
    index = np.array(sorted(indexes), dtype=np.int64)
    if not len(index):
        return {}
    found = {norm: Answers(len(index), classes) for norm in norms}
    pool = Pool(test_labels)
    for result, predictions in read:
        own = found.get(result.trial.norm)
        if own is None or result.status != "finished" or predictions is None:
            continue
        whole = pool.add(result.trial, predictions)
        if whole is not None:
            _, all_images = whole
            wrong = all_images.classes[index] != test_labels[index]
            own.add(100 * all_images.probabilities(index), wrong)
    return {
        int(image): ImageAnswers(
            int(image),
            int(test_labels[image]),
            tuple(own.of(norm, place) for norm, own in found.items() if own.trials),
        )
        for place, image in enumerate(index)
    }
