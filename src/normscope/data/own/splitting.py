"""Which images are used, and in which split: what the check finds once all of them are read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normscope.data.own.decoding import Decoded
from normscope.data.own.duplicates import groups_of_twins, near_pairs
from normscope.data.own.listing import TEST, TRAIN, UNSPLIT, Listing
from normscope.words import counted, visible

TEST_SHARE = 0.2  # of each class, where we split
IMBALANCE = 10  # times as many training images in the largest class as in the smallest


@dataclass(frozen=True)
class Chosen:
    """The rows of each split in the order in which they are used, with their labels, int64 (N,).

    The order is that of the files' check sums, so that the first N are drawn from all classes.
    """

    class_names: tuple[str, ...]
    train_rows: list[int]
    train_labels: np.ndarray
    test_rows: list[int]
    test_labels: np.ndarray


def choose(listing: Listing, decoded: Decoded, skip_bad: bool) -> Chosen:
    """Split what can be used, and tell the listing's findings what is wrong with the whole.

    With `skip_bad`, blank images, training images with the pixels of a test image, and classes
    without a training image are left out. What is chosen is only good for something if the
    findings do not stop.
    """
    findings = listing.findings
    blank: list[int] = np.flatnonzero(decoded.blank).tolist()
    for row in blank:
        findings.add("blank", listing.paths[row])
    twins = groups_of_twins(decoded)
    splits = list(listing.splits)
    rows = np.flatnonzero(decoded.usable).tolist()
    if UNSPLIT in splits:
        _split(listing, decoded, rows, twins, splits)
        findings.say_of_splits(
            f"There is no test set: {100 * TEST_SHARE:.0f} % of each class are made one, always "
            "the same images."
        )
    copies = _tell_twins(listing, twins, splits)
    if skip_bad:
        left_out = {*copies, *blank}
        rows = [row for row in rows if row not in left_out]
    rows = _of_trained_classes(listing, rows, splits, skip_bad)
    _tell_near(listing, near_pairs(decoded, rows), splits)
    _tell_imbalance(listing, rows, splits)
    chosen = _chosen(listing, decoded, rows, splits)
    findings.refusal = _refusal(chosen)
    findings.say_of_splits(
        f"{len(chosen.train_rows):,} training and {len(chosen.test_rows):,} test images in "
        f"{len(chosen.class_names)} classes."
    )
    return chosen


def _split(
    listing: Listing,
    decoded: Decoded,
    rows: Sequence[int],
    twins: Sequence[Sequence[int]],
    splits: list[str],
) -> None:
    """Put `TEST_SHARE` of each class into the test set, in place; twins stay together.

    Which images those are follows from their content alone: it is those with the lowest check sums.
    """
    group_of = {row: min(group) for group in twins for row in group}
    members: dict[int, list[int]] = {}
    for row in rows:
        members.setdefault(group_of.get(row, row), []).append(row)
    by_class: dict[int, list[list[int]]] = {}
    for group in members.values():
        by_class.setdefault(listing.labels[group[0]], []).append(group)
    for groups in by_class.values():
        groups.sort(key=lambda group: min(_rank(decoded, row) for row in group))
        count = sum(map(len, groups))
        wanted = max(1, round(TEST_SHARE * count)) if count > 1 else 0
        taken = 0
        for group in groups:
            split = TEST if taken < wanted else TRAIN
            taken += len(group) if split == TEST else 0
            for row in group:
                splits[row] = split


def _rank(decoded: Decoded, row: int) -> bytes:
    return decoded.sources[row].tobytes()


def _tell_twins(
    listing: Listing, twins: Sequence[Sequence[int]], splits: Sequence[str]
) -> list[int]:
    """Tell of images with the same pixels; gives the training images that the test set has too."""
    findings, paths, copies = listing.findings, listing.paths, []
    for group in twins:
        parts = {split: [r for r in group if splits[r] == split] for split in (TRAIN, TEST)}
        if parts[TRAIN] and parts[TEST]:
            for row in parts[TRAIN]:
                findings.add("twin_across", paths[row], f"as {paths[parts[TEST][0]]}")
            copies += parts[TRAIN]
        for part in parts.values():
            for row in part[1:]:
                findings.add("twin", paths[row], f"as {paths[part[0]]}")
        for row in group[1:]:
            if listing.labels[row] != listing.labels[group[0]]:
                findings.add("twin_labels", paths[row], _both_labels(listing, row, group[0]))
    return copies


def _tell_near(listing: Listing, pairs: Sequence[tuple[int, int]], splits: Sequence[str]) -> None:
    """Tell of each image once, with the first that it resembles; of two splits the training one."""
    told: dict[str, set[int]] = {"near_across": set(), "near": set(), "near_labels": set()}

    def tell(kind: str, row: int, detail: str) -> None:
        if row not in told[kind]:
            told[kind].add(row)
            listing.findings.add(kind, listing.paths[row], detail)

    for first, second in pairs:
        across = splits[first] != splits[second]
        row, other = (first, second) if across and splits[first] == TRAIN else (second, first)
        tell("near_across" if across else "near", row, f"as {listing.paths[other]}")
        if listing.labels[row] != listing.labels[other]:
            tell("near_labels", row, _both_labels(listing, row, other))


def _both_labels(listing: Listing, row: int, other: int) -> str:
    names, labels = listing.class_names, listing.labels
    return f"{names[labels[row]]}; {names[labels[other]]} is {listing.paths[other]}"


def _of_trained_classes(
    listing: Listing, rows: Sequence[int], splits: Sequence[str], skip_bad: bool
) -> list[int]:
    """Tell of classes that a split lacks; the rows of the others if those are to be left out."""
    trained = Counter(listing.labels[row] for row in rows if splits[row] == TRAIN)
    tested = Counter(listing.labels[row] for row in rows if splits[row] == TEST)
    for label, name in enumerate(listing.class_names):
        if not trained[label]:
            listing.findings.add("untrained" if tested[label] else "empty_class", name)
        elif not tested[label]:
            listing.findings.add("untested", name)
    return [row for row in rows if trained[listing.labels[row]] or not skip_bad]


def _tell_imbalance(listing: Listing, rows: Sequence[int], splits: Sequence[str]) -> None:
    sizes = Counter(listing.class_names[listing.labels[r]] for r in rows if splits[r] == TRAIN)
    if not sizes:
        return
    (largest, most), (smallest, least) = sizes.most_common()[0], sizes.most_common()[-1]
    if most >= IMBALANCE * least:
        listing.findings.add(
            "imbalance", smallest, f"{counted(least, 'training image')}; {largest} has {most:,}"
        )


def _chosen(
    listing: Listing, decoded: Decoded, rows: Sequence[int], splits: Sequence[str]
) -> Chosen:
    ordered = sorted(rows, key=lambda row: (_rank(decoded, row), listing.paths[row]))
    used = sorted({listing.labels[row] for row in rows})
    places = {label: place for place, label in enumerate(used)}
    parts = {split: [row for row in ordered if splits[row] == split] for split in (TRAIN, TEST)}
    labels = {
        split: np.array([places[listing.labels[row]] for row in part], np.int64)
        for split, part in parts.items()
    }
    names = tuple(visible(listing.class_names[label]) for label in used)
    return Chosen(names, parts[TRAIN], labels[TRAIN], parts[TEST], labels[TEST])


def _refusal(chosen: Chosen) -> str:
    """Why nothing can be trained on what is left, or an empty string."""
    if not chosen.train_rows:
        return "no training image can be used"
    if not chosen.test_rows:
        return "no test image can be used"
    if len(chosen.class_names) == 1:
        return f"there is one class ({chosen.class_names[0]}), and telling apart takes two"
    return ""
