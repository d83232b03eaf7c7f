"""Images that are there twice: with the same pixels, or nearly the same."""

from collections.abc import Sequence

import numpy as np

from normscope.data.own.decoding import Decoded

BANDS = 4  # of 16 bits: hashes that differ in less bits than there are bands share a whole band
DISTANCE = 3  # bits, of 64
LIKENESS = 0.85  # correlation of the two grey images, without their finest details
NEIGHBOURS = 200  # in a band's order that an image is held against
PAIRS_AT_ONCE = 1 << 16


def groups_of_twins(decoded: Decoded) -> list[list[int]]:
    """Rows with the same pixels, in groups of two or more; blank images are in none."""
    rows = np.flatnonzero(decoded.usable & ~decoded.blank)
    _, group, sizes = np.unique(
        decoded.digests[rows], axis=0, return_inverse=True, return_counts=True
    )
    group = group.ravel()  # numpy 2.0 alone gives it two dimensions
    several = np.flatnonzero(sizes[group] > 1)
    found: dict[int, list[int]] = {}
    for place in several.tolist():
        found.setdefault(int(group[place]), []).append(int(rows[place]))
    return list(found.values())


def near_pairs(decoded: Decoded, rows: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of `rows` that look nearly the same but have other pixels, lower row first.

    Their perceptual hashes differ in `DISTANCE` bits at most, and their correlation is `LIKENESS`
    or more. Such hashes agree in one of `BANDS` bands at least, so only images that share a band
    are compared: all of them where up to `NEIGHBOURS` do, else those with the next hashes.
    """
    kept = np.array(rows, np.int64)
    kept = kept[~decoded.blank[kept]]
    hashes = decoded.hashes[kept]
    candidates = [_sharing(hashes, band) for band in range(BANDS)]
    pairs = np.unique(np.concatenate(candidates), axis=0)
    first, second = kept[pairs[:, 0]], kept[pairs[:, 1]]
    alike = _alike(decoded, first, second)
    found = np.stack([first[alike], second[alike]], axis=1)
    found.sort(axis=1)
    return [(int(a), int(b)) for a, b in found]


def _sharing(hashes: np.ndarray, band: int) -> np.ndarray:
    """Pairs of places, int64 (P, 2), that share a band and are `DISTANCE` bits apart at most."""
    turned = np.left_shift(hashes, np.uint64(16 * band)) | (
        np.right_shift(hashes, np.uint64(64 - 16 * band)) if band else np.uint64(0)
    )
    order = np.argsort(turned, kind="stable")  # by this band first
    in_band = np.right_shift(turned[order], np.uint64(48))
    pairs: list[np.ndarray] = [np.empty((0, 2), np.int64)]
    for step in range(1, min(NEIGHBOURS, len(order))):
        same = np.flatnonzero(in_band[step:] == in_band[:-step])
        if not len(same):
            break
        first, second = order[same], order[same + step]
        close = _bits(hashes[first] ^ hashes[second]) <= DISTANCE
        pairs.append(np.stack([first[close], second[close]], axis=1))
    return np.sort(np.concatenate(pairs), axis=1)


def _bits(values: np.ndarray) -> np.ndarray:
    """How many bits of each uint64 are set; numpy 1.26 has no function for it."""
    return np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1)


def _alike(decoded: Decoded, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which pairs look the same, and are not: bool (P,)."""
    alike = np.empty(len(first), bool)
    for start in range(0, len(first), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        a, b = first[part], second[part]
        shapes = decoded.shapes[a].astype(np.float32) * decoded.shapes[b].astype(np.float32)
        same = (decoded.digests[a] == decoded.digests[b]).all(axis=1)
        alike[part] = (shapes.sum(axis=1) >= LIKENESS) & ~same
    return alike
