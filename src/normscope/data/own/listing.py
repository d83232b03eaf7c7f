"""What a folder or file of images holds before any is read: labels, and how to get at them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from normscope.data.own.problems import Findings
from normscope.data.own.reading import Blob
from normscope.errors import UsageError

TRAIN, TEST, UNSPLIT = "train", "test", ""
TEST_NAMES = ("test", "testing", "val", "valid", "validation")
TRAIN_NAMES = ("train", "training")


@dataclass(frozen=True)
class Listing:
    """All images that are to be read, in an order that the file system has no part in.

    `form` says how they were recognised. `paths` names each as the user would; `labels` are places
    in `class_names`; `splits` are `TRAIN`, `TEST` or `UNSPLIT`, which is for us to split.
    ``blobs(n)`` gives the images in the same order, up to `n` at a time, and may be called again.
    `side` is the width and height of all of them, where that is known without a look at each.
    """

    form: str
    class_names: tuple[str, ...]
    paths: Sequence[str]
    labels: Sequence[int]
    splits: Sequence[str]
    blobs: Callable[[int], Iterator[Sequence[Blob]]]
    findings: Findings = field(default_factory=Findings)
    side: tuple[int, int] | None = None


def split_named(name: str) -> str | None:
    """The split that a name means: `TRAIN`, `TEST`, "val", or None."""
    name = name.strip().lower()
    if name in TRAIN_NAMES:
        return TRAIN
    if name in TEST_NAMES:
        return TEST if name.startswith("test") else "val"
    return None


def one_test_split(splits: Sequence[str], findings: Findings) -> list[str | None]:
    """Splits in which one of test and val is the test set; None is for images that are not used."""
    has_test, has_val = TEST in splits, "val" in splits
    if has_test and has_val:
        findings.sentences.append(
            "There are a test and a validation set: the first is used, the second is not."
        )
    elif has_val:
        findings.sentences.append("The validation set is used as the test set.")
    spare = None if has_test else TEST
    return [spare if split == "val" else split for split in splits]


def encoded(
    labels: Sequence[str] | Sequence[int], names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], list[int]]:
    """Class names, and each label's place among them.

    With `names`, labels are places in it already. Raises `UsageError` for one that is not.
    """
    if names is not None:
        wrong = [label for label in labels if not 0 <= int(label) < len(names)]
        if wrong:
            raise UsageError(f"there are {len(names)} class names, and a label is {wrong[0]}")
        return tuple(names), [int(label) for label in labels]
    known = sorted(set(labels))
    places = {label: place for place, label in enumerate(known)}
    return tuple(str(label) for label in known), [places[label] for label in labels]
