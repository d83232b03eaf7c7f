"""Runs of layers of a network, with samples in lanes, each of them one differentiable operation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from normscope.experiment import Precision
from normscope.training.fused.operation import FusedNorm, small_gradients
from normscope.training.fused.passes import Factors
from normscope.training.lanes.block import Block
from normscope.training.lanes.convolving import Convolution
from normscope.training.lanes.layer import Gradients, Outputs, Pending
from normscope.training.lanes.layout import (
    dropped_positions,
    factors_to_lanes,
    from_lanes,
    sums_to_samples,
    to_lanes,
)
from normscope.training.lanes.stages import LaneLayer, Stage, Step, planned, stages_of
from normscope.training.lanes.target import target


class Run:
    """Consecutive `stages` of a network, for x (N, C, H, W) on a CPU.

    They are computed one by one, as `steps` say, where samples in lanes are no use: for another
    type of x than float32, but under autocast, and in bfloat16 on a processor that multiplies none.
    """

    def __init__(self, stages: Sequence[Stage], steps: Sequence[Step]):
        self.stages, self.steps = tuple(stages), tuple(steps)
        self._planned: dict[tuple, list[LaneLayer] | None] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        layers = self._layers(x)
        if layers is None:
            for step in self.steps:
                x = step(x)
            return x
        if not torch.is_grad_enabled():
            return _Forward(self.stages, layers, x).outcome()
        parameters = [parameter for stage in self.stages for parameter in stage.parameters]
        return _InLanes.apply(x, self.stages, layers, *parameters)

    def _layers(self, x: torch.Tensor) -> list[LaneLayer] | None:
        """What computes x; None where that are the steps."""
        precision = _precision_of(x)
        if precision is None or not len(x):
            return None
        wanted = torch.is_grad_enabled() and x.requires_grad
        key = tuple(x.shape[1:]), precision, wanted
        if key not in self._planned:
            self._planned[key] = planned(self.stages, *key)
        return self._planned[key]


def in_lanes(steps: Sequence[Step]) -> list[Step]:
    """The steps, those that follow each other and can be computed in lanes joined to runs.

    A single convolution with nothing behind it is not worth the way there and back.
    """
    joined: list[Step] = []
    rest = list(steps)
    while rest:
        stages, count = stages_of(rest)
        if len(stages) < 2:
            joined.append(rest.pop(0))
            continue
        joined.append(Run(stages, rest[:count]))
        del rest[:count]
    return joined


def _precision_of(x: torch.Tensor) -> Precision | None:
    """What to compute in; None where lanes are no use."""
    here = target()
    if here is None or x.dim() != 4 or x.device.type != "cpu":
        return None
    if torch.is_autocast_enabled("cpu"):
        is_bfloat16 = torch.get_autocast_dtype("cpu") == torch.bfloat16
        return "bf16" if is_bfloat16 and here.bfloat16 else None
    return "fp32" if x.dtype == torch.float32 else None


@dataclass
class _Normed:
    """What a norm and dropout do to the outcome of a stage.

    `factors` follow from `sums`, (2, N, C), and the norm's parameters by a small graph. `positions`
    are those of dropped elements in the memory of a channels-last tensor.
    """

    fused: FusedNorm
    factors: Factors
    sums: torch.Tensor
    positions: torch.Tensor

    @classmethod
    def of(cls, fused: FusedNorm, outputs: Outputs, block: Block, samples: int) -> "_Normed":
        """Draws what is dropped."""
        assert outputs.sums is not None  # as the layer is `normed`
        sums = torch.from_numpy(sums_to_samples(outputs.sums, block, samples))
        shape = torch.Size((samples, block.channels, block.height, block.width))
        positions, keep_scale = fused.draw(shape.numel())
        if torch.is_grad_enabled():
            sums.requires_grad_()
        return cls(fused, fused.factors(sums, shape, keep_scale), sums, positions)

    def pending(self, block: Block, samples: int) -> Pending:
        factors = self.factors
        arrays = factors_to_lanes(factors.scale, factors.shift, factors.floor, block, samples)
        return Pending(arrays, *dropped_positions(self.positions, block, samples))

    def gradients(self, of_scale: torch.Tensor, of_shift: torch.Tensor) -> list[torch.Tensor]:
        """Those of the sums and of the norm's parameters, given (N, C) of scale and shift."""
        outputs = self.factors.scale, self.factors.shift
        of_outputs = [
            of.sum_to_size(output.shape)
            for of, output in zip((of_scale, of_shift), outputs, strict=True)
        ]
        return small_gradients(outputs, of_outputs, (self.sums, *self.fused.norm.parameters()))

    def of_convolution(self, of_sums: torch.Tensor, block: Block, samples: int) -> np.ndarray:
        """The factors by which the gradient of what comes behind is turned into that before."""
        of_total, of_squares = of_sums
        return factors_to_lanes(self.factors.scale, of_total, 2 * of_squares, block, samples)


@dataclass
class _Done:
    """What a stage read and left, kept for the way back."""

    stage: Stage
    layer: LaneLayer
    x: np.ndarray
    pending: Pending | None
    outputs: Outputs
    normed: _Normed | None

    @classmethod
    def by(
        cls, stage: Stage, layer: LaneLayer, x: np.ndarray, pending: Pending | None, samples: int
    ) -> "_Done":
        threads = torch.get_num_threads()
        if isinstance(layer, Convolution):
            outputs = layer.forward(x, _weights(stage), pending, threads)
        else:
            outputs = layer.forward(x, pending, threads)
        normed = None
        if stage.norm is not None:
            normed = _Normed.of(stage.norm, outputs, layer.output, samples)
        return cls(stage, layer, x, pending, outputs, normed)

    def back(self, g: np.ndarray, factors: np.ndarray | None) -> Gradients:
        """The gradients, given that of what the next layer read; `factors` if there is a norm."""
        layer, threads = self.layer, torch.get_num_threads()
        if isinstance(layer, Convolution):
            read = g, self.outputs, self.x, _weights(self.stage), self.pending
            return layer.backward(*read, factors, threads)
        return layer.backward(g, self.outputs, self.x, self.pending, threads)


def _weights(stage: Stage) -> np.ndarray:
    assert stage.weight is not None  # as it is a convolution
    return stage.weight.detach().contiguous().numpy()


class _Forward:
    """The stages applied to x: the outcome's `words`, and what the way back needs.

    It must not hold the tensor that becomes of them: that holds the graph, which holds this, and
    the memory of a step would wait for the garbage collector.
    """

    def __init__(self, stages: Sequence[Stage], layers: Sequence[LaneLayer], x: torch.Tensor):
        self.samples, self.input_dtype = len(x), x.dtype
        self.done: list[_Done] = []
        words, pending = to_lanes(x, layers[0].input), None
        for stage, layer in zip(stages, layers, strict=True):
            done = _Done.by(stage, layer, words, pending, self.samples)
            self.done.append(done)
            words, pending = done.outputs.y, None
            if done.normed is not None:
                pending = done.normed.pending(layer.output, self.samples)
        self.words = words

    def outcome(self) -> torch.Tensor:
        last = self.done[-1].layer
        dtype = torch.bfloat16 if last.precision == "bf16" else torch.float32
        return from_lanes(self.words, last.output, self.samples, dtype)


class _InLanes(torch.autograd.Function):
    """All stages of a run, forward and backward, with the weights and the norms' parameters."""

    @staticmethod
    def forward(ctx, x, stages, layers, *parameters):
        with torch.enable_grad():  # of the small graphs of the norms
            ctx.forward = _Forward(stages, layers, x)
        return ctx.forward.outcome()

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        of_x, of_parameters = _backward(ctx.forward, gradients[0])
        return of_x, None, None, *of_parameters


def _backward(forward: _Forward, g: torch.Tensor) -> tuple[torch.Tensor | None, list[torch.Tensor]]:
    """The gradient of x, if it is wanted, and those of all parameters, in their order."""
    done, samples = forward.done, forward.samples
    words: np.ndarray | None = to_lanes(g, done[-1].layer.output)
    factors, of_norm, found = None, list[torch.Tensor](), list[torch.Tensor]()
    for each, before in zip(done[::-1], [*done[-2::-1], None], strict=True):
        assert words is not None  # but for the first layer it is wanted
        gradients = each.back(words, factors)
        of_weights = gradients.weights
        found = [*of_norm, *found]
        if of_weights is not None:
            found.insert(0, torch.from_numpy(of_weights))
        words, factors, of_norm = gradients.gx, None, []
        if before is not None and before.normed is not None:
            factors, of_norm = _through_norm(before, gradients, samples)
    if words is None:
        return None, found
    return from_lanes(words, done[0].layer.input, samples, forward.input_dtype), found


def _through_norm(
    done: _Done, gradients: Gradients, samples: int
) -> tuple[np.ndarray, list[torch.Tensor]]:
    """What the layer behind found of a norm's outcome -> factors, and the norm's gradients."""
    assert done.normed is not None  # as the caller sees to
    assert gradients.sums is not None
    block = done.layer.output
    of_shift, of_scale = torch.from_numpy(sums_to_samples(gradients.sums, block, samples)).float()
    of_sums, *of_norm = done.normed.gradients(of_scale, of_shift)
    return done.normed.of_convolution(of_sums, block, samples), of_norm
