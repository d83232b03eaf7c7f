"""What a norm does to a few numbers that can be checked by hand."""

from dataclasses import dataclass

import numpy as np
import torch

from normscope.norms import PACKAGED_NORMS, asked, canonical, parse

# Two images of four channels of 2x2 pixels: (N, C, H, W).
NUMBERS = np.array(
    [
        [[[1, 2], [3, 4]], [[2, 4], [6, 8]], [[0, 0], [1, 1]], [[5, 5], [5, 9]]],
        [[[2, 3], [4, 5]], [[8, 6], [4, 2]], [[1, 0], [0, 1]], [[7, 7], [7, 3]]],
    ],
    dtype=np.float32,
)
GROUPS = 2  # the usual four groups of four channels would have one channel each


@dataclass(frozen=True)
class Worked:
    """`before` and `after`, (N, C, H, W), in training, with parameters as they are at the start.

    `norm` is what was asked for, with the number of groups that the example takes.
    """

    norm: str
    before: np.ndarray
    after: np.ndarray


def worked_example(norm: str) -> Worked:
    """Apply a norm to `NUMBERS`. Raises `UsageError` if there is no such norm."""
    name = canonical(norm)
    spec = parse(name)
    packaged = PACKAGED_NORMS.get(spec.name)
    if packaged and "groups" in packaged.options and not {"groups", "size"} & spec.options.keys():
        name = canonical(f"{name}:groups={GROUPS}")
    layer = asked(name)(NUMBERS.shape[1])
    if hasattr(layer, "generator"):
        layer.generator = torch.Generator().manual_seed(0)  # pyright: ignore
    with torch.no_grad():
        after = layer.train()(torch.from_numpy(NUMBERS))
    return Worked(name, NUMBERS, after.numpy())
