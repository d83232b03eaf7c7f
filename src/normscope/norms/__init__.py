"""The normalization layers, by short name: the table `NORMS`.

Importing this costs nothing: a norm's file, and torch with it, is imported when the norm first
makes a layer. So whatever only needs the names and titles, such as the command line's help, starts
fast.
"""

from normscope.norms.names import (
    NORMS,
    asked,
    canonical,
    in_given_order,
    is_packaged,
    means_another,
    order_of,
    placed,
    renamed,
    running_momentum,
    title_of,
)
from normscope.norms.norm import GIVEN, ORDERS, PLACEMENTS, Asked, MakeNorm, Norm, Placement, parse
from normscope.norms.own import register
from normscope.norms.sub_batches import over_sub_batches, over_whole_batches, statistics_batch
from normscope.norms.table import PACKAGED_NORMS

__all__ = [
    "GIVEN",
    "NORMS",
    "ORDERS",
    "PACKAGED_NORMS",
    "PLACEMENTS",
    "Asked",
    "MakeNorm",
    "Norm",
    "Placement",
    "asked",
    "canonical",
    "in_given_order",
    "is_packaged",
    "means_another",
    "order_of",
    "over_sub_batches",
    "over_whole_batches",
    "parse",
    "placed",
    "register",
    "renamed",
    "running_momentum",
    "statistics_batch",
    "title_of",
]
