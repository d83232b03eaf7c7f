"""What a person looks at first: a network's first filters, and maps of a few images in it."""

import numpy as np
import torch
from torch import nn

from normscope.probes.maps import seen
from normscope.probes.moment import Moment

SEEN_IMAGES = 2
COLORS = 3
LARGEST = float(np.finfo(np.float16).max)


def filters(moment: Moment) -> dict[str, np.ndarray]:
    """The weights of the first convolution, float16 (filters, colours, rows, columns).

    Nothing if a linear layer comes first, or if the images have no colours that it takes as such.
    """
    first = moment.network.get_submodule(moment.weighted[0])
    if not isinstance(first, nn.Conv2d) or first.weight.shape[1] != COLORS:
        return {}
    return {"filters": first.weight.detach().numpy(force=True).astype(np.float16)}


def maps(moment: Moment) -> dict[str, np.ndarray]:
    """The first test images, and what comes out of the first, middle and last norm layer.

    float16 (4, images, C, H, W), with C, H and W of the largest of them, and NaN around what is
    smaller. Images are in uint8 values; maps are with precise statistics. A layer in two of these
    places is given once, in the first.
    """
    pixels = moment.test_pixels[:SEEN_IMAGES].transpose(0, 3, 1, 2)
    precise, x = moment.precise, moment.test[0][:SEEN_IMAGES]
    with torch.no_grad():
        outputs = seen(precise.network, precise.norms, x, lambda before, after: after.clone())
    layers = [0, len(outputs) // 2, len(outputs) - 1]
    shown = [
        None if layer in layers[:place] else outputs[layer].numpy(force=True)
        for place, layer in enumerate(layers)
    ]
    return {"maps": _padded([pixels, *shown])}


def _padded(parts: list[np.ndarray | None]) -> np.ndarray:
    """Arrays of four axes as one, in a corner of their place; NaN elsewhere, float16."""
    shapes = [part.shape for part in parts if part is not None]
    padded = np.full((len(parts), *np.max(shapes, axis=0)), np.nan, np.float16)
    for place, part in enumerate(parts):
        if part is not None:
            padded[(place, *map(slice, part.shape))] = part.clip(-LARGEST, LARGEST)
    return padded
