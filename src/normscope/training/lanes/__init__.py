"""Layers of a network with samples in the lanes of a processor's vectors.

`layout` takes tensors there and back. The layers are `convolving`, `pooling` and `by_pixel`, and
what they have in common is `layer`; each is compiled for its own shape. `convolution`, `winograd`,
`weight_gradient` and `elementwise` are the vector code of a block of samples, which `emit` writes.
`stages`, `planning` and `worth` say which layers of a network are computed so; `run` and `passing`
do it.
"""

from normscope.training.lanes.convolving import Convolution
from normscope.training.lanes.layer import Gradients, Outputs, Pending, pending
from normscope.training.lanes.pooling import Add, AveragePool, MaxPool
from normscope.training.lanes.target import Target, target

__all__ = [
    "Add",
    "AveragePool",
    "Convolution",
    "Gradients",
    "MaxPool",
    "Outputs",
    "Pending",
    "Target",
    "pending",
    "target",
]
