"""Other norms in a network that exists: every norm layer of a module swapped for another."""

from normscope.models.convert.conversion import Conversion, Left, Swap
from normscope.models.convert.swap import convert

__all__ = ["Conversion", "Left", "Swap", "convert"]
