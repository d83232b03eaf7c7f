"""The normalization layers, by short name: the table `NORMS`.

Importing this costs nothing: a norm's file, and torch with it, is imported when the norm first
makes a layer. So whatever only needs the names and titles, such as the command line's help, starts
fast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NORMS", "PACKAGED_NORMS", "MakeNorm", "Norm", "title_of"]

MakeNorm: TypeAlias = "Callable[[int], nn.Module]"  # num_channels -> a layer for (N, C, H, W)


@dataclass(frozen=True)
class Norm:
    """A norm that can be named before it is imported.

    `title` is its full name, for people. `home` says where the function or class that makes its
    layers is, as ``"module:name"``.
    """

    title: str
    home: str

    def __call__(self, num_channels: int, **options: Any) -> "nn.Module":
        """A layer for x (N, num_channels, H, W); `options` are those of the object at `home`."""
        return resolve_name(self.home)(num_channels, **options)


PACKAGED_NORMS: dict[str, Norm] = {
    "bn": Norm("BatchNorm", "normscope.norms.batch:batch_norm"),
    "gn": Norm("GroupNorm (4 groups)", "normscope.norms.group:group_norm"),
    "ln": Norm("LayerNorm (over C, H, W)", "normscope.norms.group:layer_norm"),
}

# What can be trained. A script may add any function of `num_channels` that returns a layer.
NORMS: dict[str, MakeNorm] = {**PACKAGED_NORMS}


def title_of(name: str) -> str:
    """The full name of a packaged norm, for people; any other norm is called by its short name."""
    return PACKAGED_NORMS[name].title if name in PACKAGED_NORMS else name
