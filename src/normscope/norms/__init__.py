"""The normalization layers, by short name. Each entry takes `num_channels` first."""

from collections.abc import Callable

from torch import nn

from normscope.norms.batch import batch_norm
from normscope.norms.group import group_norm, layer_norm

MakeNorm = Callable[[int], nn.Module]

NORMS: dict[str, MakeNorm] = {
    "bn": batch_norm,
    "gn": group_norm,
    "ln": layer_norm,
}
PACKAGED_NORMS = dict(NORMS)  # without what a script adds
