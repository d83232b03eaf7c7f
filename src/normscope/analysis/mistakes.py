"""What the norms got wrong: confusion matrices, and the test images that tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normscope.experiment import Result
from normscope.stats import confusion_counts

EXAMPLES = 10  # images shown per group
RANKED = "the most confident mistakes first"


@dataclass(frozen=True)
class Mistake:
    """One misclassified test image.

    `predicted` is the wrong class chosen most often by the trials in question, `confidence_percent`
    its mean softmax probability where it was chosen; `wrong` of `trials` trials erred.
    """

    index: int
    true: str
    predicted: str
    confidence_percent: float
    wrong: int
    trials: int


@dataclass(frozen=True)
class MistakeGroup:
    """Test images that share a fate; `count` of them, of which the most confident are kept."""

    title: str
    caption: str
    count: int
    examples: tuple[Mistake, ...]


@dataclass(frozen=True)
class Mistakes:
    """`confusions`: by norm, mean counts per finished trial, float64 (true, predicted).

    An image is wrong for a norm if more than half of the norm's finished trials misclassify it, and
    right if more than half classify it correctly; at a tie it is neither. `wrong_for_all`: how many
    test images are wrong for every norm; `wrong_only_for`: wrong for that one and right for every
    other.
    """

    test_size: int
    confusions: dict[str, np.ndarray]
    wrong_for_all: int
    wrong_only_for: dict[str, int]
    groups: tuple[MistakeGroup, ...]

    def pictures(self) -> set[int]:
        """Indexes of the test images that a report shows."""
        return {example.index for group in self.groups for example in group.examples}


def find_mistakes(
    results: Sequence[Result],
    norms: Sequence[str],
    class_names: Sequence[str],
    test_labels: np.ndarray,
) -> Mistakes:
    """Compare the predictions of the finished trials; `test_labels`: int64, shape (N_test,)."""
    votes = {norm: _Votes(results, norm, class_names, test_labels) for norm in norms}
    votes = {norm: vote for norm, vote in votes.items() if vote.trials}
    if not votes:
        return Mistakes(len(test_labels), {}, 0, {}, ())
    wrong = {norm: vote.usually_wrong for norm, vote in votes.items()}
    for_all = np.all(list(wrong.values()), axis=0)
    several = len(votes) > 1
    alone = {norm: _only(norm, votes) for norm in votes if several}
    everyone = _Votes(results, None, class_names, test_labels)
    groups = [
        everyone.group(
            "Wrong with every norm" if several else f"Wrong with {next(iter(votes))}",
            f"Misclassified {'with every norm ' if several else ''}in most seeds, {RANKED}.",
            for_all,
        )
    ]
    groups += [
        votes[norm].group(
            f"Wrong only with {norm}",
            f"Misclassified with {norm} in most seeds and classified correctly with every other "
            f"norm in most; {RANKED}.",
            images,
        )
        for norm, images in alone.items()
    ]
    groups += [
        vote.group(
            f"Most confident mistakes of {norm}",
            f"Misclassified with {norm} in most seeds, whatever the other norms say of them.",
            wrong[norm],
        )
        for norm, vote in votes.items()
        if several
    ]
    return Mistakes(
        test_size=len(test_labels),
        confusions={norm: vote.confusion() for norm, vote in votes.items()},
        wrong_for_all=int(for_all.sum()),
        wrong_only_for={norm: int(images.sum()) for norm, images in alone.items()},
        groups=tuple(groups),
    )


def _only(norm: str, votes: dict[str, "_Votes"]) -> np.ndarray:
    """Wrong with this norm, and right with every other one: bool, shape (N,)."""
    others = [vote.usually_right for other, vote in votes.items() if other != norm]
    return votes[norm].usually_wrong & np.all(others, axis=0)


class _Votes:
    """The predictions of all finished trials of one norm (None: of all norms), image by image."""

    def __init__(
        self,
        results: Sequence[Result],
        norm: str | None,
        class_names: Sequence[str],
        labels: np.ndarray,
    ):
        finished = [r for r in results if r.status == "finished" and norm in (None, r.trial.norm)]
        kept = [result.predictions for result in finished if result.predictions]
        self.class_names, self.labels, self.trials = class_names, labels, len(kept)
        self.classes = np.array([p.classes for p in kept])  # (trials, N)
        self.confidences = np.array([p.confidences() for p in kept])  # (trials, N)
        self.wrong = self.classes != labels if kept else np.zeros((0, len(labels)), dtype=bool)

    @property
    def usually_wrong(self) -> np.ndarray:
        """Misclassified by more than half of the trials: bool, shape (N,)."""
        return self.wrong.mean(axis=0) > 0.5

    @property
    def usually_right(self) -> np.ndarray:
        """Classified correctly by more than half of the trials: bool, shape (N,)."""
        return self.wrong.mean(axis=0) < 0.5

    def confusion(self) -> np.ndarray:
        """Mean counts per trial: float64, shape (classes, classes), rows are true classes."""
        counts = confusion_counts(self.labels, self.classes, len(self.class_names))
        return counts / self.trials

    def group(self, title: str, caption: str, images: np.ndarray) -> MistakeGroup:
        """The images of a mask, ranked by the confidence that is shown with them."""
        indexes = np.flatnonzero(images)
        predicted, percent = self._wrong_classes(indexes)
        first = np.argsort(-percent, kind="stable")[:EXAMPLES]
        examples = tuple(
            Mistake(
                index=int(indexes[i]),
                true=self.class_names[int(self.labels[indexes[i]])],
                predicted=self.class_names[int(predicted[i])],
                confidence_percent=float(percent[i]),
                wrong=int(self.wrong[:, indexes[i]].sum()),
                trials=self.trials,
            )
            for i in first
        )
        return MistakeGroup(title, caption, len(indexes), examples)

    def _wrong_classes(self, indexes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The wrong class that most trials chose for each image, int64, and their mean confidence.

        The confidence is in percent, float64; both have the shape of `indexes`. The lowest class
        number decides a tie.
        """
        classes, wrong = self.classes[:, indexes], self.wrong[:, indexes]
        counts = np.zeros((len(self.class_names), len(indexes)), dtype=np.int64)
        np.add.at(counts, (classes, np.arange(len(indexes))), wrong)
        predicted = counts.argmax(axis=0)
        chosen = classes == predicted
        sure = (self.confidences[:, indexes] * chosen).sum(axis=0) / chosen.sum(axis=0)
        return predicted, 100 * sure
