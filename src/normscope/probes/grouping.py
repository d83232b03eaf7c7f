"""Which channels to put into one group: those that are alike, or those that are not."""

import numpy as np


def order_by_scale(deviations: np.ndarray, groups: int, similar: bool) -> np.ndarray:
    """The channels in an order in which consecutive ones make up `groups` groups: int64, (C,).

    By their deviations, (C,): a group holds channels of similar ones, or as many of small as of
    large ones. `groups` must divide C.
    """
    ascending = np.argsort(deviations, kind="stable")
    if similar:
        return ascending
    return np.concatenate([ascending[group::groups] for group in range(groups)])


def order_by_correlation(correlations: np.ndarray, groups: int, similar: bool) -> np.ndarray:
    """The same by the squares of correlations, (C, C), within groups: large or small in sum.

    Groups are filled one by one with the channel that suits those in it best; then channels of two
    groups change places as long as that helps, so no such exchange would improve the outcome.
    """
    alike = np.square(correlations) * (1 if similar else -1)
    np.fill_diagonal(alike, 0)
    group_of = _filled(alike, groups)
    while (swap := _best_swap(alike, group_of)) is not None:
        a, b = swap
        group_of[a], group_of[b] = group_of[b], group_of[a]
    return np.argsort(group_of, kind="stable")


def _filled(alike: np.ndarray, groups: int) -> np.ndarray:
    """The group of each channel, filled one after the other."""
    channels = len(alike)
    group_of, size = np.full(channels, -1), channels // groups
    for group in range(groups):
        group_of[np.argmax(group_of < 0)] = group  # the first that is free
        for _ in range(size - 1):
            suits = alike[:, group_of == group].sum(1)
            group_of[np.argmax(np.where(group_of < 0, suits, -np.inf))] = group
    return group_of


def _best_swap(alike: np.ndarray, group_of: np.ndarray) -> tuple[int, int] | None:
    """The two channels whose exchange improves most; None if none does."""
    member = group_of[:, None] == np.unique(group_of)  # (C, groups)
    to_group = alike @ member
    own = to_group[np.arange(len(group_of)), group_of]
    to_other = to_group[:, group_of]  # [a, b]: of a to the group of b
    gain = to_other + to_other.T - own[:, None] - own - 2 * alike
    gain[group_of[:, None] == group_of] = 0
    a, b = np.unravel_index(np.argmax(gain), gain.shape)
    return (int(a), int(b)) if gain[a, b] > 1e-12 else None
