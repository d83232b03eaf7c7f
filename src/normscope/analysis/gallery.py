"""What every norm says of the test images that a report shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from normscope.experiment import Result

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


def image_answers(
    results: Sequence[Result],
    norms: Sequence[str],
    test_labels: np.ndarray,
    indexes: Iterable[int],
) -> dict[int, ImageAnswers]:
    """By index, of the test images at `indexes`, from the results of one batch size."""
    index = np.array(sorted(indexes), dtype=np.int64)
    found = [(norm, _of_norm(results, norm, index)) for norm in norms]
    return {
        int(image): ImageAnswers(
            int(image),
            int(test_labels[image]),
            tuple(
                _answer(norm, percent[:, place], classes[:, place] != test_labels[image])
                for norm, (percent, classes) in found
                if len(classes)
            ),
        )
        for place, image in enumerate(index)
    }


def _of_norm(
    results: Sequence[Result], norm: str, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of its finished trials: probabilities in percent (T, N, num_classes) and classes (T, N)."""
    kept = [r.predictions for r in results if r.status == "finished" and r.trial.norm == norm]
    predictions = [each for each in kept if each is not None]
    percent = np.array([100 * each.probabilities(index) for each in predictions])
    return percent, np.array([each.classes[index] for each in predictions])


def _answer(norm: str, percent: np.ndarray, wrong: np.ndarray) -> NormAnswer:
    """From the trials of a norm: percent (T, num_classes), wrong bool (T,)."""
    return NormAnswer(
        norm,
        int(wrong.sum()),
        len(wrong),
        percent.mean(axis=0),
        percent.min(axis=0),
        percent.max(axis=0),
    )
