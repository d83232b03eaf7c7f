"""Which layers of a network are computed with samples in lanes."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from normscope.models.layers import Dropout, Residual
from normscope.norms.by_layer import is_by_pixel
from normscope.norms.weight import ScaledConv2d, StandardizedConv2d
from normscope.training.fused.fuse import Step, is_hooked, steps_of
from normscope.training.fused.operation import FusedNorm

CONVOLUTIONS = (nn.Conv2d, StandardizedConv2d, ScaledConv2d)
AVERAGES = nn.AvgPool2d, nn.AdaptiveAvgPool2d
ACTIVATIONS = (
    nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.LeakyReLU, nn.Mish, nn.PReLU, nn.ReLU6,
    nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Tanh,
)  # fmt: skip


@dataclass(frozen=True)
class Unnormed:
    """What is done to an outcome without a norm: ReLU if `relu_after`, and dropout if there is."""

    dropout: Dropout | None = None
    relu_after: bool = False


@dataclass(frozen=True)
class Stage:
    """A convolution or pooling, and what follows it: ReLU, norm and dropout; or nothing.

    `after` is what is pending behind it. Behind a convolution ReLU, or 2x2 max pooling, may follow
    at once. Without a `module` the stage does nothing but what is pending.
    """

    module: nn.Module | None
    after: FusedNorm | Unnormed | None = None
    relu: bool = False
    max_pool: bool = False

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*_parameters(self.module), *_parameters(_norm(self.after))]


@dataclass(frozen=True)
class PixelStage:
    """What torch computes without a change of layout."""

    module: nn.Module
    after: Unnormed | None = None

    @property
    def parameters(self) -> list[nn.Parameter]:
        return _parameters(self.module)


@dataclass(frozen=True)
class Branch:
    """What a `Residual` does, whose inner network consists of stages."""

    block: Residual
    inner: "tuple[AnyStage, ...]"
    after: Unnormed | None = None

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for stage in self.inner for parameter in stage.parameters]


AnyStage = Stage | PixelStage | Branch


def _parameters(module: nn.Module | None) -> list[nn.Parameter]:
    return [] if module is None else list(module.parameters())


def _norm(after: FusedNorm | Unnormed | None) -> nn.Module | None:
    return after.norm if isinstance(after, FusedNorm) else None


def flattened(steps: Sequence[Step]) -> list[Step]:
    """The steps, with those of sequences among them in their place, and none that do nothing."""
    flat: list[Step] = []
    for step in steps:
        if not isinstance(step, nn.Module) or is_hooked(step):
            flat.append(step)
        elif isinstance(step, nn.Sequential) and type(step) is nn.Sequential:
            flat += flattened(steps_of(step))
        elif type(step) is not nn.Identity:
            flat.append(step)
    return flat


def stages_of(steps: Sequence[Step]) -> tuple[list[AnyStage], int]:
    """The stages that some steps begin with, a convolution first, and how many steps these are.

    They end with all that was pending done, and behind average pooling: what follows it is small.
    """
    stages, taken = _stages(steps)
    return _done(stages), taken


def _stages(steps: Sequence[Step]) -> tuple[list[AnyStage], int]:
    stages: list[AnyStage] = []
    rest = list(steps)
    while rest and (found := _first(rest)):
        stage, count = found
        if not stages and not _is_convolution(stage):
            break
        if isinstance(stage, PixelStage):
            stages = _done(stages)
        stages.append(stage)
        del rest[:count]
        if isinstance(stage, Stage) and isinstance(stage.module, AVERAGES):
            break
    return stages, len(steps) - len(rest)


def _done(stages: list[AnyStage]) -> list[AnyStage]:
    """The stages, and one that does what is pending behind them."""
    return [*stages, Stage(None)] if stages and stages[-1].after is not None else stages


def _is_convolution(stage: AnyStage) -> bool:
    return isinstance(stage, Stage) and isinstance(stage.module, nn.Conv2d)


def _first(steps: Sequence[Step]) -> tuple[AnyStage, int] | None:  # noqa: C901 - one table
    """The stage that the steps begin with, and how many of them it takes; None if there is none."""
    match steps:
        case [nn.Conv2d() as conv, FusedNorm() as norm, *_] if _is_known(conv):
            return Stage(conv, norm, relu=norm.relu_before), 2
        case [nn.Conv2d() as conv, pool, *rest] if _is_known(conv) and _halves(pool):
            after, count = _after(rest)
            return Stage(conv, after, max_pool=True), 2 + count
        case [nn.Conv2d() as conv, relu, *rest] if _is_known(conv) and _is(nn.ReLU, relu):
            after, count = _after(rest, relu=False)
            return Stage(conv, after, relu=True), 2 + count
        case [nn.Conv2d() as conv, *rest] if _is_known(conv):
            after, count = _after(rest, relu=False)
            return Stage(conv, after), 1 + count
        case [nn.MaxPool2d() as pool, *rest] if _halves(pool):
            after, count = _after(rest)
            return Stage(pool, after), 1 + count
        case [nn.AvgPool2d() as pool, *_] if _is_plain(pool):
            return Stage(pool), 1
        case [nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)) as pool, *_] if _is(
            nn.AdaptiveAvgPool2d, pool
        ):
            return Stage(pool), 1
        case [nn.Module() as layer, *rest] if _sees_pixels(layer):
            after, count = _after(rest)
            return PixelStage(layer, after), 1 + count
        case [Residual() as block, *rest] if (inner := _inner(block)) is not None:
            bent = block.activation is not None
            after, count = _after(rest, relu=not bent)
            if bent:
                after = Unnormed(after.dropout if after else None, relu_after=True)
            return Branch(block, inner, after), 1 + count
    return None


def _is(kind: type[nn.Module], layer: Step) -> bool:
    """Whether it is of this very class, so that it is known what it does, and nobody listens."""
    return isinstance(layer, nn.Module) and type(layer) is kind and not is_hooked(layer)


def _after(steps: Sequence[Step], relu: bool = True) -> tuple[Unnormed | None, int]:
    """What the steps begin with of that, and how many they are; no ReLU unless it may be."""
    bends = relu and bool(steps) and _is(nn.ReLU, steps[0])
    match steps[bends:]:
        case [Dropout(generators=[_]) as dropout, *_] if _is(Dropout, dropout):
            return Unnormed(dropout, bends), 1 + bends
    return (Unnormed(None, relu_after=True), 1) if bends else (None, 0)


def _inner(block: Residual) -> tuple[AnyStage, ...] | None:
    """The stages of a block's inner network; None if they are not all of it."""
    bent = block.activation
    if not (_is(Residual, block) and _is(nn.Sequential, block.inner)):
        return None
    if bent is not None and not _is(nn.ReLU, bent):
        return None
    steps = flattened([block.inner])
    stages, count = _stages(steps)
    return tuple(stages) if stages and count == len(steps) else None


def _sees_pixels(layer: nn.Module) -> bool:
    """Whether torch may compute it on lanes: each pixel by itself, into memory of its own."""
    if is_hooked(layer) or getattr(layer, "inplace", False):
        return False
    return type(layer) in ACTIVATIONS or is_by_pixel(layer)


def _is_known(conv: nn.Conv2d) -> bool:
    """Whether it may be computed otherwise, and can be."""
    if type(conv) not in CONVOLUTIONS or is_hooked(conv):
        return False
    if conv.groups != 1 or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return False
    square = (conv.kernel_size, conv.stride, conv.dilation, conv.padding)
    if any(high != wide for high, wide in square):
        return False
    (kernel, stride, dilation, padding) = (pair[0] for pair in square)
    return kernel in (1, 3) and stride in (1, 2) and dilation == 1 and padding < kernel


def _halves(pool: Step) -> bool:
    if not isinstance(pool, nn.MaxPool2d) or not _is(nn.MaxPool2d, pool):
        return False
    plain = pool.padding == 0 and pool.dilation == 1 and not (pool.ceil_mode or pool.return_indices)
    sizes = pool.kernel_size in (2, (2, 2)) and pool.stride in (2, (2, 2))
    return plain and sizes


def _is_plain(pool: nn.AvgPool2d) -> bool:
    """Whether its windows are square and lie side by side."""
    plain = _is(nn.AvgPool2d, pool) and pool.padding in (0, (0, 0)) and not pool.ceil_mode
    return plain and pool.divisor_override is None and side_of(pool) is not None


def side_of(pool: nn.AvgPool2d) -> int | None:
    """The side of the windows; None if they are no squares side by side."""
    sides = {
        side
        for sizes in (pool.kernel_size, pool.stride)
        for side in (sizes if isinstance(sizes, tuple) else (sizes,))
    }
    return sides.pop() if len(sides) == 1 else None
