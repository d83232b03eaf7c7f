"""The code of several layers, compiled by as many processes as need it at once.

Processes that begin together want the same code. Left alone, each would wait for the first at one
layer after the other; here a process goes on to a layer that nobody compiles yet.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from filelock import FileLock, Timeout

from normscope.training.lanes import compiling
from normscope.training.lanes.convolving import Convolution
from normscope.training.lanes.layer import Pending
from normscope.training.lanes.layout import empty, zeros
from normscope.training.lanes.planning import Branched, LaneLayer


def compile_together(layers: Sequence[LaneLayer]) -> None:
    """Compile the convolutions among the layers, which take nearly all of the time; or load them.

    If this process or another has done so before, nothing is done.
    """
    if compiling.is_compiled(layers):
        return compiling.used()
    left = list(dict.fromkeys(_convolutions(layers)))
    for patient in (False, True):
        for layer in list(left):
            with _mine(layer) as mine:
                if mine or patient:
                    _compile(layer)
                    left.remove(layer)


def _convolutions(layers: Sequence[LaneLayer]) -> Iterator[Convolution]:
    for layer in layers:
        if isinstance(layer, Branched):
            yield from _convolutions(layer.inner)
        elif isinstance(layer, Convolution):
            yield layer


@contextmanager
def _mine(layer: Convolution) -> Iterator[bool]:
    """Whether no other process compiles the layer; where nothing can be locked, all may."""
    name = hashlib.sha256(repr(layer).encode()).hexdigest()[:16]
    lock = FileLock(compiling.folder / f"compiling-{name}.lock", timeout=0)
    try:
        compiling.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError):  # such as a folder that nobody may write to
        yield True
        return
    try:
        yield True
    finally:
        lock.release()


def _compile(layer: Convolution) -> None:
    """Call the layer's loops for no blocks."""
    x = empty((0, *layer.input.shape))
    weights = zeros(layer.weights_shape)
    bias = zeros((layer.out_channels,)) if layer.bias else None
    pending = None
    if layer.pending:
        factors = empty((0, 3, layer.input.stored, layer.lanes))
        pending = Pending(factors, np.empty(0, np.int32), np.zeros(1, np.int64))
    outputs = layer.forward(x, weights, pending, bias=bias)
    of_norm = empty((0, 3, layer.output.stored, layer.lanes)) if layer.normed else None
    g = empty((0, *layer.output.shape))
    layer.backward(g, outputs, x, weights, pending, of_norm)
