"""What the norms' files say, looked up by type of layer: made from them, never edited.

A layer is looked up by what it is and not by the name under which it was asked for, so that a
script's own ``functools.partial(group_norm, num_groups=2)`` is computed as gn is.
"""

from functools import cache
from importlib import import_module

import torch
from torch import nn

from normscope.norms.layer import Coefficients, FromSums, NormLayer
from normscope.norms.table import PACKAGED_NORMS


@cache
def norm_layers() -> dict[type[nn.Module], NormLayer]:
    """All that the files of the packaged norms list as their `LAYERS`, by type of layer."""
    homes = [(norm.home, norm.convolution_home) for norm in PACKAGED_NORMS.values()]
    files = dict.fromkeys(home.partition(":")[0] for pair in homes for home in pair if home)
    return {known.type: known for file in files for known in import_module(file).LAYERS}


def coefficients_of(layer: nn.Module) -> Coefficients | None:
    """How to compute a layer as a scale and a shift; None if it is known only how to call it."""
    known = norm_layers().get(type(layer))
    return known.coefficients if known and known.is_usual(layer) else None


def from_sums_of(layer: nn.Module) -> FromSums | None:
    """How to compute a layer that is no scale and shift from x and its sums, if that is known."""
    known = norm_layers().get(type(layer))
    return known.from_sums if known else None


def is_by_pixel(layer: nn.Module) -> bool:
    """Whether what a norm makes of a pixel follows from the channels of that pixel alone."""
    known = norm_layers().get(type(layer))
    return known is not None and known.by_pixel


def mixes_channels(layer: nn.Module) -> bool:
    """Whether a norm has statistics over the channels of a pixel."""
    known = norm_layers().get(type(layer))
    return is_by_pixel(layer) and known is not None and known.values_per_statistic is not None


def floor_of(layer: nn.Module) -> torch.Tensor | None:
    """The threshold of each channel below which no output of a layer falls, if it has one: (C,)."""
    known = norm_layers().get(type(layer))
    return known.floor(layer) if known and known.floor else None
