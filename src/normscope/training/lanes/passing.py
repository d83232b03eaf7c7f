"""The stages of a run forward and backward, on arrays of lanes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from normscope.training.fused.operation import FusedNorm, drawn, small_gradients
from normscope.training.fused.passes import Factors
from normscope.training.lanes.block import Block
from normscope.training.lanes.by_pixel import ByPixel
from normscope.training.lanes.convolving import Convolution
from normscope.training.lanes.layer import OF_WORDS, Gradients, Outputs, Pending, pending
from normscope.training.lanes.layout import dropped_positions, factors_to_lanes, sums_to_samples
from normscope.training.lanes.planning import Branched, LaneLayer
from normscope.training.lanes.pooling import Add, AveragePool, MaxPool
from normscope.training.lanes.stages import AnyStage, Branch, PixelStage, Stage, Unnormed

Parameters = list[torch.Tensor]  # gradients, in the order of a stage's parameters


class Passed:
    """Stages applied to `words`: what they left in the end, and what the way back needs.

    `samples` of what the lanes hold exist. What stages left on the way is kept if `kept`.
    """

    def __init__(
        self,
        stages: Sequence[AnyStage],
        layers: Sequence[LaneLayer],
        words: np.ndarray,
        samples: int,
        kept: bool,
        pending: Pending | None = None,
    ):
        self.words, self.pending, self._done = words, pending, list[_Done]()
        for stage, layer in zip(stages, layers, strict=True):
            done = _by(stage, layer, self, samples, kept)
            self.words, self.pending = done.words, done.pending
            if kept:
                self._done.append(done)

    def back(self, reached: Gradients) -> tuple[Gradients, Parameters]:
        """Those of what the first stage read, and of all parameters in their order.

        `reached`: those of what the last stage left, after what it left to be done.
        """
        found = Parameters()
        for done in reversed(self._done):
            reached, own = done.back(reached)
            found = [*own, *found]
        return reached, found


# -- what is done to the outcome of a stage --------------------------------------------------------


@dataclass
class _Normed:
    """A norm and dropout.

    `factors` follow from `sums`, (2, N, C), and the norm's parameters by a small graph. `positions`
    are those of dropped elements in the memory of a channels-last tensor.
    """

    fused: FusedNorm
    factors: Factors
    sums: torch.Tensor
    positions: torch.Tensor
    block: Block

    @classmethod
    def of(cls, fused: FusedNorm, outputs: Outputs, block: Block, samples: int) -> "_Normed":
        """Draws what is dropped."""
        assert outputs.sums is not None  # as the layer is `normed`
        sums = torch.from_numpy(sums_to_samples(outputs.sums, block, samples))
        shape = torch.Size((samples, block.channels, block.height, block.width))
        positions, keep_scale = fused.draw(shape.numel())
        if torch.is_grad_enabled():
            sums.requires_grad_()
        return cls(fused, fused.factors(sums, shape, keep_scale), sums, positions, block)

    def pending(self, samples: int) -> Pending:
        scale, shift, floor = self.factors.scale, self.factors.shift, self.factors.floor
        arrays = factors_to_lanes(scale, shift, floor, self.block, samples)
        return Pending(arrays, *dropped_positions(self.positions, self.block, samples))

    def back(self, reached: Gradients, samples: int) -> tuple[np.ndarray, Parameters]:
        """By which factors the gradient of what comes behind is turned into that of what is before,
        and the gradients of the norm's parameters.
        """
        assert reached.sums is not None  # as something was pending
        found = torch.from_numpy(sums_to_samples(reached.sums, self.block, samples)).float()
        outputs = self.factors.scale, self.factors.shift, self.factors.floor
        in_order = found[1], found[0], *found[2:]  # the third is there if the floor is learned
        of_outputs = [
            of.sum_to_size(output.shape)
            for of, output in zip(in_order, outputs[: len(found)], strict=True)
        ]
        inputs = self.sums, *self.fused.norm.parameters()
        (of_total, of_squares), *of_norm = small_gradients(
            outputs[: len(found)], of_outputs, inputs
        )
        scale = self.factors.scale
        return factors_to_lanes(scale, of_total, 2 * of_squares, self.block, samples), of_norm


@dataclass
class _Bent:
    """ReLU and dropout where there is no norm: the scale of what dropout keeps, and positions."""

    keep_scale: float
    positions: torch.Tensor
    block: Block

    @classmethod
    def of(cls, after: Unnormed, block: Block, samples: int) -> "_Bent":
        """Draws what is dropped."""
        elements = samples * block.channels * block.height * block.width
        positions, keep_scale = drawn(after.dropout, elements)
        return cls(keep_scale, positions, block)

    def pending(self, samples: int) -> Pending:
        dropped = dropped_positions(self.positions, self.block, samples)
        return Pending(self._factors(samples), *dropped)

    def back(self, reached: Gradients, samples: int) -> np.ndarray:
        """The gradient of the outcome itself."""
        assert reached.gx is not None  # that of the first stage alone is not wanted
        if self.keep_scale == 1:
            return reached.gx
        block = self.block
        shape = block.channels, block.height, block.width
        scaled = AveragePool(*shape, OF_WORDS[block.per_word], True, lanes=block.lanes, size=1)
        return scaled.forward(reached.gx, pending(self._factors(samples)), _threads()).y

    def _factors(self, samples: int) -> np.ndarray:
        scale = torch.full((1, self.block.channels), self.keep_scale)
        return factors_to_lanes(scale, torch.zeros_like(scale), None, self.block, samples)


# -- stages that are done --------------------------------------------------------------------------


def _by(stage: AnyStage, layer: LaneLayer, before: Passed, samples: int, kept: bool) -> "_Done":
    read = before.words, before.pending, samples
    match stage, layer:
        case Branch(), Branched():
            return _DoneBranch(stage, layer, *read, kept)
        case PixelStage(), ByPixel():
            return _DonePixels(stage, layer, *read)
        case Stage(module=nn.Conv2d()), Convolution():
            return _DoneConvolution(stage, layer, *read)
    assert isinstance(stage, Stage)
    assert isinstance(layer, MaxPool | AveragePool)  # as planned
    return _DonePooling(stage, layer, *read)


class _Done(ABC):
    """What a stage read and left; `words` are its outcome, on which `pending` is to be done."""

    def __init__(self, layer: LaneLayer, after: FusedNorm | Unnormed | None, samples: int):
        self.samples, self._after, self._block = samples, after, layer.output
        self.words, self.pending = np.empty(0), None
        self.outcome: _Normed | _Bent | None = None

    def leave(self, outputs: Outputs) -> None:
        self.words = outputs.y
        match self._after:
            case FusedNorm() as fused:
                self.outcome = _Normed.of(fused, outputs, self._block, self.samples)
            case Unnormed() as unnormed:
                self.outcome = _Bent.of(unnormed, self._block, self.samples)
        if self.outcome is not None:
            self.pending = self.outcome.pending(self.samples)

    def before_pending(self, reached: Gradients) -> np.ndarray:
        """The gradient of the outcome, where there is no norm."""
        if isinstance(self.outcome, _Bent):
            return self.outcome.back(reached, self.samples)
        assert reached.gx is not None  # that of the first stage alone is not wanted
        return reached.gx

    @abstractmethod
    def back(self, reached: Gradients) -> tuple[Gradients, Parameters]:
        """The gradients of what was read and of the stage's parameters, given those of what it
        left, after what it left to be done.
        """


class _DoneConvolution(_Done):
    def __init__(self, stage: Stage, layer: Convolution, x, pending: Pending | None, samples: int):
        super().__init__(layer, stage.after, samples)
        conv = stage.module
        assert isinstance(conv, nn.Conv2d)  # as the caller sees to
        self.layer, self.x, self.before, self.conv = layer, x, pending, conv
        effective = getattr(conv, "effective_weight", None)
        self.weight: torch.Tensor = conv.weight if effective is None else effective()
        bias = None if conv.bias is None else _array(conv.bias)
        self.outputs = layer.forward(x, _array(self.weight), pending, _threads(), bias=bias)
        self.leave(self.outputs)

    def back(self, reached: Gradients) -> tuple[Gradients, Parameters]:
        factors, of_norm = None, Parameters()
        if isinstance(self.outcome, _Normed):
            factors, of_norm = self.outcome.back(reached, self.samples)
        g = self.before_pending(reached)
        read = g, self.outputs, self.x, _array(self.weight), self.before
        found = self.layer.backward(*read, factors, _threads())
        assert found.weights is not None  # as of every convolution
        of_weight = torch.from_numpy(found.weights)
        of_bias = None if found.bias is None else torch.from_numpy(found.bias)
        return found, [*self._of_parameters(of_weight, of_bias), *of_norm]

    def _of_parameters(self, of_weight: torch.Tensor, of_bias: torch.Tensor | None) -> Parameters:
        """In the order of the convolution's parameters, which a standardized weight is made of."""
        parameters = list(self.conv.parameters())
        if self.weight is self.conv.weight:
            found = [of_weight, *(torch.zeros_like(other) for other in parameters[1:])]
        else:
            found = small_gradients((self.weight,), (of_weight,), parameters)
        return [
            of_bias if parameter is self.conv.bias and of_bias is not None else own
            for parameter, own in zip(parameters, found, strict=True)
        ]


class _DonePooling(_Done):
    def __init__(
        self,
        stage: Stage,
        layer: MaxPool | AveragePool,
        x: np.ndarray,
        pending: Pending | None,
        samples: int,
    ):
        super().__init__(layer, stage.after, samples)
        self.layer, self.x, self.before = layer, x, pending
        self.outputs = layer.forward(x, pending, _threads())
        self.leave(self.outputs)

    def back(self, reached: Gradients) -> tuple[Gradients, Parameters]:
        g = self.before_pending(reached)
        return self.layer.backward(g, self.outputs, self.x, self.before, _threads()), []


class _DonePixels(_Done):
    def __init__(self, stage: PixelStage, layer: ByPixel, x, pending: Pending | None, samples: int):
        super().__init__(layer, stage.after, samples)
        assert pending is None  # as planned
        self.layer, self.parameters = layer, stage.parameters
        outputs, self.passed = layer.forward(x, stage.module)
        self.leave(outputs)

    def back(self, reached: Gradients) -> tuple[Gradients, Parameters]:
        return self.layer.backward(self.before_pending(reached), self.passed, self.parameters)


class _DoneBranch(_Done):
    def __init__(
        self,
        stage: Branch,
        layer: Branched,
        x: np.ndarray,
        pending: Pending | None,
        samples: int,
        kept: bool,
    ):
        super().__init__(layer, stage.after, samples)
        self.layer, self.x, self.before = layer, x, pending
        self.inner = Passed(stage.inner, layer.inner, x, samples, kept, pending)
        self.shortcut, self.shortcut_pending = x, pending
        if layer.every is not None:
            self.shortcut, self.shortcut_pending = (
                layer.every.forward(x, pending, _threads()).y,
                None,
            )
        self.leave(layer.add.forward(*self._terms, _threads()))

    @property
    def _terms(self) -> tuple[np.ndarray, np.ndarray, Pending | None, Pending | None]:
        return self.inner.words, self.shortcut, self.inner.pending, self.shortcut_pending

    def back(self, reached: Gradients) -> tuple[Gradients, Parameters]:
        g = self.before_pending(reached)
        of_inner, of_shortcut = self.layer.add.backward(g, *self._terms, _threads())
        one, of_parameters = self.inner.back(of_inner)
        if (every := self.layer.every) is not None:
            assert of_shortcut.gx is not None  # as `Add` returns it
            outputs = Outputs(self.shortcut)
            of_shortcut = every.backward(of_shortcut.gx, outputs, self.x, self.before, _threads())
        return _sum(self.layer.add_gradients, one, of_shortcut), of_parameters


def _sum(add: Add, one: Gradients, other: Gradients) -> Gradients:
    assert one.gx is not None  # as those of a branch are wanted
    assert other.gx is not None
    assert (one.sums is None) == (other.sums is None)  # as both read the same
    sums = None if one.sums is None or other.sums is None else one.sums + other.sums
    return Gradients(add.forward(one.gx, other.gx, threads=_threads()).y, sums)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _threads() -> int:
    return torch.get_num_threads()
