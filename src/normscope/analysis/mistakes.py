"""What the norms got wrong: confusion matrices, and the test images that tell them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normscope.analysis.tallies import Tally, WrongAnswers

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
    other. `by_norm`: what each norm says of the images of the first group, where there are several.
    """

    test_size: int
    confusions: dict[str, np.ndarray]
    wrong_for_all: int
    wrong_only_for: dict[str, int]
    groups: tuple[MistakeGroup, ...]
    by_norm: dict[str, tuple[Mistake, ...]]

    def pictures(self) -> set[int]:
        """Indexes of the test images that a report shows."""
        return {example.index for group in self.groups for example in group.examples}


def find_mistakes(
    tallies: Mapping[str, Tally], class_names: Sequence[str], test_labels: np.ndarray
) -> Mistakes:
    """Compare what finished trials predicted, by norm; `test_labels`: int64, shape (N_test,)."""
    if not tallies:
        return Mistakes(len(test_labels), {}, 0, {}, (), {})
    votes = {norm: _Votes.of([tally], class_names, test_labels) for norm, tally in tallies.items()}
    wrong = {norm: tally.usually_wrong for norm, tally in tallies.items()}
    for_all = np.all(list(wrong.values()), axis=0)
    several = len(votes) > 1
    alone = {norm: _only(norm, tallies) for norm in votes if several}
    everyone = _Votes.of([*tallies.values()], class_names, test_labels)
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
    same = np.array([each.index for each in groups[0].examples], dtype=np.int64)
    return Mistakes(
        test_size=len(test_labels),
        confusions={norm: tally.confusion / tally.trials for norm, tally in tallies.items()},
        wrong_for_all=int(for_all.sum()),
        wrong_only_for={norm: int(images.sum()) for norm, images in alone.items()},
        groups=tuple(groups),
        by_norm={norm: vote.mistakes(same) for norm, vote in votes.items() if several},
    )


def _only(norm: str, tallies: Mapping[str, Tally]) -> np.ndarray:
    """Wrong with this norm, and right with every other one: bool, shape (N,)."""
    others = [tally.usually_right for other, tally in tallies.items() if other != norm]
    return tallies[norm].usually_wrong & np.all(others, axis=0)


@dataclass(frozen=True)
class _Votes:
    """What the finished trials of one norm, or of all, got wrong; `wrong`: int64, shape (N,)."""

    class_names: Sequence[str]
    labels: np.ndarray
    trials: int
    wrong: np.ndarray
    answers: WrongAnswers

    @classmethod
    def of(
        cls, tallies: Sequence[Tally], class_names: Sequence[str], labels: np.ndarray
    ) -> "_Votes":
        return cls(
            class_names,
            labels,
            sum(tally.trials for tally in tallies),
            np.sum([tally.wrong for tally in tallies], axis=0),
            WrongAnswers.together([tally.wrong_answers for tally in tallies]),
        )

    def group(self, title: str, caption: str, images: np.ndarray) -> MistakeGroup:
        """The images of a mask, ranked by the confidence that is shown with them."""
        indexes = np.flatnonzero(images)
        _, sure = self.answers.usual(indexes)
        first = np.argsort(-sure, kind="stable")[:EXAMPLES]
        return MistakeGroup(title, caption, len(indexes), self.mistakes(indexes[first]))

    def mistakes(self, indexes: np.ndarray) -> tuple[Mistake, ...]:
        """What is answered wrongly to these images, each of which has a wrong answer."""
        predicted, sure = self.answers.usual(indexes)
        return tuple(
            Mistake(
                index=int(index),
                true=self.class_names[int(self.labels[index])],
                predicted=self.class_names[int(answer)],
                confidence_percent=float(100 * confidence),
                wrong=int(self.wrong[index]),
                trials=self.trials,
            )
            for index, answer, confidence in zip(indexes, predicted, sure, strict=True)
        )
