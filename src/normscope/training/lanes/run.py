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
from normscope.training.lanes.layers import Convolution, Gradients, Layer, Outputs, Pending
from normscope.training.lanes.layout import (
    dropped_positions,
    factors_to_lanes,
    from_lanes,
    sums_to_samples,
    to_lanes,
)
from normscope.training.lanes.stages import Stage, Step, planned, stages_of
from normscope.training.lanes.target import target


class Run:
    """Consecutive `stages` of a network, for x (N, C, H, W) on a CPU.

    They are computed one by one, as `steps` say, where samples in lanes are no use: for another
    type of x than float32, but under autocast, and in bfloat16 on a processor that multiplies none.
    """

    def __init__(self, stages: Sequence[Stage], steps: Sequence[Step]):
        self.stages, self.steps = tuple(stages), tuple(steps)
        self._planned: dict[tuple, list[Convolution]] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        precision = _precision_of(x)
        if precision is None:
            for step in self.steps:
                x = step(x)
            return x
        if not torch.is_grad_enabled():
            return _Forward(self.stages, self._layers(x, precision), x).y
        parameters = [parameter for stage in self.stages for parameter in stage.parameters]
        return _InLanes.apply(x, self.stages, self._layers(x, precision), *parameters)

    def _layers(self, x: torch.Tensor, precision: Precision) -> list[Convolution]:
        wanted = torch.is_grad_enabled() and x.requires_grad
        key = tuple(x.shape[1:]), precision, wanted
        if key not in self._planned:
            self._planned[key] = planned(self.stages, *key)
        return self._planned[key]


def in_lanes(steps: Sequence[Step]) -> list[Step]:
    """The steps, those that follow each other and can be computed in lanes joined to runs."""
    joined: list[Step] = []
    rest = list(steps)
    while rest:
        stages, count = stages_of(rest)
        joined.append(Run(stages, rest[:count]) if stages else rest[0])
        del rest[: count or 1]
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
        arrays = factors_to_lanes(*self.factors.numpy(), block, samples)
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
        of_total, of_squares = of_sums.float()
        scale = self.factors.scale.detach()
        return factors_to_lanes(scale, of_total, 2 * of_squares, block, samples)


@dataclass
class _Done:
    """What a stage read and left, kept for the way back."""

    stage: Stage
    layer: Convolution
    x: np.ndarray
    pending: Pending | None
    outputs: Outputs
    normed: _Normed | None

    @property
    def weights(self) -> np.ndarray:
        return self.stage.convolution.weight.detach().numpy()


class _Forward:
    """The stages applied to x: the outcome `y`, and what the way back needs."""

    def __init__(self, stages: Sequence[Stage], layers: Sequence[Convolution], x: torch.Tensor):
        self.samples, self.done = len(x), list[_Done]()
        self.input_dtype = x.dtype
        words, pending = to_lanes(x, layers[0].input), None
        for stage, layer in zip(stages, layers, strict=True):
            weights = stage.convolution.weight.detach().numpy()
            outputs = layer.forward(words, weights, pending, threads=torch.get_num_threads())
            normed = None
            if stage.norm is not None:
                normed = _Normed.of(stage.norm, outputs, layer.output, self.samples)
            self.done.append(_Done(stage, layer, words, pending, outputs, normed))
            words = outputs.y
            if normed is not None and layer is not layers[-1]:
                pending = normed.pending(layer.output, self.samples)
            else:
                pending = None
        self.last = _as_tensor(words, layers[-1], self.samples)
        self.y = self.last
        if normed is not None:
            self.y = normed.fused.passes.affine(self.last, normed.factors, normed.positions)


def _as_tensor(words: np.ndarray, layer: Layer, samples: int) -> torch.Tensor:
    dtype = torch.bfloat16 if layer.precision == "bf16" else torch.float32
    return from_lanes(words, layer.output, samples, dtype)


class _InLanes(torch.autograd.Function):
    """All stages of a run, forward and backward, with the weights and the norms' parameters."""

    @staticmethod
    def forward(ctx, x, stages, layers, *parameters):
        with torch.enable_grad():  # of the small graphs of the norms
            ctx.forward = _Forward(stages, layers, x)
        return ctx.forward.y

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        of_x, of_parameters = _backward(ctx.forward, gradients[0])
        return of_x, None, None, *of_parameters


def _backward(forward: _Forward, g: torch.Tensor) -> tuple[torch.Tensor | None, list[torch.Tensor]]:
    """The gradient of x, if it is wanted, and those of all parameters, in their order."""
    samples, threads = forward.samples, torch.get_num_threads()
    words, factors, of_norm = _entered(forward, g)
    found: list[torch.Tensor] = []
    for done, before in zip(forward.done[::-1], [*forward.done[-2::-1], None], strict=True):
        gradients = done.layer.backward(
            words, done.outputs, done.x, done.weights, done.pending, factors, threads
        )
        assert gradients.weights is not None  # as this is a convolution
        found = [torch.from_numpy(gradients.weights), *of_norm, *found]
        words, factors, of_norm = gradients.gx, None, []
        if before is not None and before.normed is not None:
            factors, of_norm = _through_norm(before, gradients, samples)
    if words is None:
        return None, found
    block = forward.done[0].layer.input
    return from_lanes(words, block, samples, forward.input_dtype), found


def _through_norm(
    done: _Done, gradients: Gradients, samples: int
) -> tuple[np.ndarray, list[torch.Tensor]]:
    """What the layer behind found of a norm's outcome -> factors, and the norm's gradients."""
    assert done.normed is not None  # as the caller sees to
    assert gradients.sums is not None
    block = done.layer.output
    sums = torch.from_numpy(sums_to_samples(gradients.sums, block, samples)).float()
    of_sums, *of_norm = done.normed.gradients(of_scale=sums[1], of_shift=sums[0])
    return done.normed.of_convolution(of_sums, block, samples), of_norm


def _entered(
    forward: _Forward, g: torch.Tensor
) -> tuple[np.ndarray, np.ndarray | None, list[torch.Tensor]]:
    """The gradient of the outcome -> words and factors for the last stage, and its norm's.

    The last norm, of which no layer reads the outcome, is gone back through in tensors.
    """
    last, samples = forward.done[-1], forward.samples
    block, normed = last.layer.output, last.normed
    if normed is None:
        return to_lanes(g, block), None, []
    g = g.contiguous(memory_format=torch.channels_last)
    passes, factors = normed.fused.passes, normed.factors
    found = passes.gradient_sums(forward.last, g, factors, normed.positions)
    of_sums, *of_norm = normed.gradients(found.scale, found.shift)
    g = passes.gradient(forward.last, g, factors, of_sums.float(), normed.positions)
    unchanged = factors_to_lanes(np.float32(1), None, None, block, samples)
    return to_lanes(g, block), unchanged, of_norm
