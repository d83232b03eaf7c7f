"""ReLU, norm and dropout of a network as one operation on a CPU.

`fuse` finds the layers, `operation` is what takes their place, `passes` runs it over tensors with
several threads, `kernels` are the loops.
"""

from normscope.training.fused.fuse import Fused
from normscope.training.fused.operation import FusedNorm

__all__ = ["Fused", "FusedNorm"]
