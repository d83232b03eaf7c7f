"""Runs of layers of a network, with samples in lanes, each of them one differentiable operation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch.autograd.function import once_differentiable

from normscope.experiment import Precision
from normscope.training.fused.fuse import Step
from normscope.training.lanes.block import Block
from normscope.training.lanes.compiling import trained
from normscope.training.lanes.convolving import Convolution
from normscope.training.lanes.layer import Gradients
from normscope.training.lanes.layout import from_lanes, to_lanes
from normscope.training.lanes.passing import Passed
from normscope.training.lanes.planning import LaneLayer, planned
from normscope.training.lanes.stages import AnyStage, flattened, stages_of
from normscope.training.lanes.target import target
from normscope.training.lanes.warming import compile_together

Worth = Callable[[Sequence[LaneLayer]], bool]

_ONLY_PLANNED = ContextVar("only planned", default=False)


@contextmanager
def only_planned() -> Iterator[None]:
    """Within it runs find out whether they are in lanes, and are computed by their steps."""
    token = _ONLY_PLANNED.set(True)
    try:
        yield
    finally:
        _ONLY_PLANNED.reset(token)


class Run:
    """Consecutive `stages` of a network, for x (N, C, H, W) on a CPU.

    They are computed one by one, as `steps` say, where samples in lanes are no use: for another
    type of x or of the parameters than float32, but under autocast; in bfloat16 on a processor that
    multiplies none; and for images of a size for which they are not `worth` it. `layers` are those
    that last computed something in lanes, or would have; None if nothing was.
    """

    def __init__(self, stages: Sequence[AnyStage], steps: Sequence[Step], worth: Worth):
        self.stages, self.steps, self.worth = tuple(stages), tuple(steps), worth
        self.layers: list[LaneLayer] | None = None
        self._planned: dict[tuple, list[LaneLayer] | None] = {}
        self._compiled, self._noted = list[list[LaneLayer]](), list[list[LaneLayer]]()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        layers = self._layers(x)
        self.layers = layers or self.layers
        if layers is None or _ONLY_PLANNED.get():
            for step in self.steps:
                x = step(x)
            return x
        if not torch.is_grad_enabled():
            return _outcome(_passed(x, self.stages, layers, kept=False), layers, x)
        if not any(layers is each for each in self._compiled):
            compile_together(layers)
            self._compiled.append(layers)
        return _InLanes.apply(x, self, layers, *self._parameters)

    @property
    def _parameters(self) -> list[torch.Tensor]:
        return [parameter for stage in self.stages for parameter in stage.parameters]

    def note_trained(self, layers: list[LaneLayer]) -> None:
        """That all code of these layers is kept by now."""
        if not any(layers is each for each in self._noted):
            trained(layers)
            self._noted.append(layers)

    def _layers(self, x: torch.Tensor) -> list[LaneLayer] | None:
        """What computes x; None where that are the steps."""
        precision = _precision_of(x)
        if precision is None or not len(x):
            return None
        if any(parameter.dtype != torch.float32 for parameter in self._parameters):
            return None
        wanted = torch.is_grad_enabled() and x.requires_grad
        key = (x.shape[1], x.shape[2], x.shape[3]), precision, wanted
        if key not in self._planned:
            layers = planned(self.stages, *key)
            self._planned[key] = layers if layers and self.worth(layers) else None
        return self._planned[key]


def always(layers: Sequence[LaneLayer]) -> bool:
    return True


def in_lanes(steps: Sequence[Step], worth: Worth = always) -> list[Step]:
    """The steps, those that follow each other and can be computed in lanes joined to runs.

    Sequences among the steps are taken apart. Layers with hooks stay by themselves; hooks that come
    later are not called. A single convolution with nothing behind it is not worth the way there and
    back.
    """
    joined: list[Step] = []
    rest = flattened(steps)
    while rest:
        stages, count = stages_of(rest)
        if len(stages) < 2:
            joined.append(rest.pop(0))
            continue
        joined.append(Run(stages, rest[:count], worth))
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


def _passed(
    x: torch.Tensor, stages: Sequence[AnyStage], layers: Sequence[LaneLayer], kept: bool
) -> Passed:
    return Passed(stages, layers, to_lanes(x, _input(layers)), len(x), kept)


def _input(layers: Sequence[LaneLayer]) -> Block:
    assert isinstance(layers[0], Convolution)  # a run begins with one
    return layers[0].input


def _outcome(passed: Passed, layers: Sequence[LaneLayer], x: torch.Tensor) -> torch.Tensor:
    block = layers[-1].output
    dtype = torch.bfloat16 if block.per_word == 2 else torch.float32
    return from_lanes(passed.words, block, len(x), dtype)


class _InLanes(torch.autograd.Function):
    """All stages of a run, forward and backward, with the parameters of all of them.

    What is kept must not hold the outcome's tensor: that holds the graph, which holds what is kept,
    and the memory of a step would wait for the garbage collector.
    """

    @staticmethod
    def forward(ctx, x, run, layers, *parameters):
        with torch.enable_grad():  # of the small graphs of the norms
            ctx.passed = _passed(x, run.stages, layers, kept=True)
        ctx.run, ctx.layers, ctx.input_dtype = run, layers, x.dtype
        ctx.save_for_backward(*parameters)
        return _outcome(ctx.passed, layers, x)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        _ = ctx.saved_tensors  # torch raises if they were changed, or the graph is used up
        (g,) = gradients
        reached = Gradients(to_lanes(g, ctx.layers[-1].output))
        found, of_parameters = ctx.passed.back(reached)
        of_x = None
        if found.gx is not None:
            of_x = from_lanes(found.gx, _input(ctx.layers), len(g), ctx.input_dtype)
        ctx.run.note_trained(ctx.layers)
        return of_x, None, None, *of_parameters
