"""Where trained networks looked: heat maps of test images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

METHODS = ("grad-cam", "occlusion")


def window(side: int) -> tuple[int, int]:
    """Side and stride in pixels of the square that occlusion moves over an image `side` wide."""
    return max(side // 4, 1), max(side // 16, 1)


@dataclass(frozen=True)
class NormHeat:
    """The heat maps of one norm's network for N test images.

    `classes` (N,) int64 are the classes that are explained, which are those that the network
    predicted. `maps` (N, h, w) float32 cover the whole image, whatever their size; see `HeatMaps`
    for their unit. `layer` says which layer they come from; "" where they come from none.
    """

    layer: str
    classes: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class HeatMaps:
    """Heat maps of the test images at `indexes` (N,) int64, by norm, of the trials of one seed.

    `method` is one of `METHODS`. The unit is that of the logit for grad-cam, where nothing is below
    0, and points of the class's probability for occlusion.
    """

    method: str
    seed: int
    indexes: np.ndarray
    norms: Mapping[str, NormHeat]

    def of(self, index: int) -> dict[str, tuple[int, np.ndarray]]:
        """By norm, the class that is explained and the map (h, w) of an image, if it has any."""
        (found,) = np.nonzero(self.indexes == index)
        return {
            norm: (int(heat.classes[place]), heat.maps[place])
            for norm, heat in self.norms.items()
            for place in found
        }
