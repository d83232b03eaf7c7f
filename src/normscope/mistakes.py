"""What the norms got wrong: confusion matrices, and the test images that tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normscope.config import Result

EXAMPLES = 10  # images shown per group


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
    """Test images that share a fate; `count` of them, of which the clearest examples are kept."""

    title: str
    caption: str
    count: int
    examples: tuple[Mistake, ...]


@dataclass(frozen=True)
class Mistakes:
    """`confusions`: by norm, mean counts per finished trial, float64 (true, predicted).

    An image counts as wrong for a norm if more than half of the norm's finished trials misclassify
    it. `wrong_for_all`, `wrong_only_for`: how many test images are wrong for every norm, and for
    just that one.
    """

    test_size: int
    confusions: dict[str, np.ndarray]
    wrong_for_all: int
    wrong_only_for: dict[str, int]
    groups: tuple[MistakeGroup, ...]

    def pictures(self) -> set[int]:
        """Indexes of the test images that a report shows."""
        return {example.index for group in self.groups for example in group.examples}

    def sentences(self) -> list[str]:
        if not self.confusions:
            return []
        share = 100 * self.wrong_for_all / self.test_size
        every = "by every norm" if len(self.confusions) > 1 else f"by {next(iter(self.confusions))}"
        sentences = [
            f"{self.wrong_for_all:,} of {self.test_size:,} test images ({share:.1f} %) were "
            f"misclassified {every} in most seeds."
        ]
        if self.wrong_only_for:
            counts = ", ".join(f"{n:,} by {norm} alone" for norm, n in self.wrong_only_for.items())
            sentences.append(f"Others were misclassified by one norm only: {counts}.")
        return sentences


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
    wrong = np.stack([vote.usually_wrong for vote in votes.values()])
    everyone = _Votes(results, None, class_names, test_labels)
    several = len(votes) > 1
    alone = {norm: wrong[i] & (wrong.sum(axis=0) == 1) for i, norm in enumerate(votes) if several}
    groups = [
        everyone.group(
            "Wrong with every norm" if several else f"Wrong with {next(iter(votes))}",
            "Misclassified in most seeds, the most confident first.",
            np.asarray(wrong.all(axis=0)),
        )
    ]
    groups += [
        votes[norm].group(
            f"Wrong only with {norm}",
            f"Misclassified with {norm} in most seeds, and right with every other norm in most.",
            images,
        )
        for norm, images in alone.items()
    ]
    groups += [
        vote.group(
            f"Most confident mistakes of {norm}",
            "Whatever the other norms say of them.",
            vote.usually_wrong,
        )
        for norm, vote in votes.items()
        if several
    ]
    return Mistakes(
        test_size=len(test_labels),
        confusions={norm: vote.confusion() for norm, vote in votes.items()},
        wrong_for_all=int(wrong.all(axis=0).sum()),
        wrong_only_for={norm: int(images.sum()) for norm, images in alone.items()},
        groups=tuple(groups),
    )


class _Votes:
    """The predictions of all finished trials of one norm (None: of all norms), image by image."""

    def __init__(
        self,
        results: Sequence[Result],
        norm: str | None,
        class_names: Sequence[str],
        labels: np.ndarray,
    ):
        kept = [r.predictions for r in results if r.predictions and norm in (None, r.trial.norm)]
        self.class_names, self.labels, self.trials = class_names, labels, len(kept)
        self.classes = np.array([p.classes for p in kept])  # (trials, N)
        self.confidences = np.array([p.confidences() for p in kept])  # (trials, N)
        self.wrong = self.classes != labels if kept else np.zeros((0, len(labels)), dtype=bool)

    @property
    def usually_wrong(self) -> np.ndarray:
        """Misclassified by more than half of the trials: bool, shape (N,)."""
        return self.wrong.mean(axis=0) > 0.5

    def confusion(self) -> np.ndarray:
        """Mean counts per trial: float64, shape (classes, classes), rows are true classes."""
        size = len(self.class_names)
        cells = self.labels * size + self.classes
        counts = np.bincount(cells.ravel(), minlength=size * size).reshape(size, size)
        return counts / self.trials

    def group(self, title: str, caption: str, images: np.ndarray) -> MistakeGroup:
        """The images of a mask, ranked by how sure the trials that erred were on average."""
        indexes = np.flatnonzero(images)
        sureness = (self.confidences * self.wrong)[:, indexes].sum(axis=0)
        clearest = indexes[np.argsort(-sureness, kind="stable")][:EXAMPLES]
        examples = tuple(self._mistake(int(index)) for index in clearest)
        return MistakeGroup(title, caption, len(indexes), examples)

    def _mistake(self, index: int) -> Mistake:
        chosen = self.classes[self.wrong[:, index], index]
        predicted = int(np.bincount(chosen).argmax())
        sure = self.confidences[self.classes[:, index] == predicted, index]
        return Mistake(
            index=index,
            true=self.class_names[int(self.labels[index])],
            predicted=self.class_names[predicted],
            confidence_percent=100 * float(sure.mean()),
            wrong=int(self.wrong[:, index].sum()),
            trials=self.trials,
        )
