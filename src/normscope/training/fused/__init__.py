"""ReLU, norm and dropout of a network as one operation on a CPU."""

from normscope.training.fused.fuse import fuse, relu_norm_dropout

__all__ = ["fuse", "relu_norm_dropout"]
