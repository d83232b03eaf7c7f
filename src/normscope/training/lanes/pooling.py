"""Pooling and sums in lanes, with norm and dropout before them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import ClassVar

import numpy as np

from normscope.training.lanes import elementwise
from normscope.training.lanes.block import Block
from normscope.training.lanes.compiling import compiled_for
from normscope.training.lanes.layer import (
    NO_BYTES,
    NO_WORDS,
    Gradients,
    Layer,
    Outputs,
    Pending,
    check,
    drop_of,
    materialise_of,
    output_of,
    places_of,
    places_shape,
)
from normscope.training.lanes.layout import zeros
from normscope.training.lanes.threads import SCRATCH, over_blocks


@dataclass(frozen=True)
class _Pool(Layer, ABC):
    """Pooling of size x size pixels, which do not overlap; what is left at the end is left out."""

    size: int = field(default=2, kw_only=True)

    keeps_places: ClassVar[bool]

    def __post_init__(self):
        super().__post_init__()
        if min(self.output.height, self.output.width) < 1:
            raise ValueError(f"there is no pixel left: {self}")

    @abstractmethod
    def pool_code(self) -> Callable:
        """The code that pools a block: x, x0, y, y0, places, p0."""

    @abstractmethod
    def unpool_code(self) -> Callable:
        """The code of its gradient: g, g0, places, p0, z, z0."""

    @cached_property
    def output(self) -> Block:
        return self.block(self.channels, self.height // self.size, self.width // self.size)

    def forward(
        self,
        x: np.ndarray,
        pending: Pending | None = None,
        threads: int = 1,
        y: np.ndarray | None = None,
    ) -> Outputs:
        """Pool x (blocks, *input.shape); the result is written to `y` if it is given."""
        blocks, read = len(x), self.read_by_loops(x, pending)
        y = output_of(y, (blocks, *self.output.shape))
        places = places_of(blocks, self.output) if self.keeps_places else None
        flat_places = NO_BYTES if places is None else places.reshape(-1)

        def part(start: int, stop: int) -> None:
            values = SCRATCH.words("values", self.input.size)
            _forward(self)(*read, y.reshape(-1), flat_places, values, start, stop)

        over_blocks(part, blocks, self.per_word, threads)
        return Outputs(y, places=places)

    def backward(
        self,
        g: np.ndarray,
        outputs: Outputs,
        x: np.ndarray,
        pending: Pending | None = None,
        threads: int = 1,
        gx: np.ndarray | None = None,
    ) -> Gradients:
        """The gradient of what was read, given g, that of y; written to `gx` if it is given."""
        blocks, read = len(x), self.read_by_loops(x, pending)
        g = check(g, (blocks, *self.output.shape)).reshape(-1)
        gx = output_of(gx, (blocks, *self.input.shape))
        sums = None
        if self.pending:
            sums = zeros((blocks, self.sums_of_pending, self.input.stored, self.lanes))
        places = NO_BYTES
        if self.keeps_places:
            assert outputs.places is not None  # as `forward` returns them
            places = check(outputs.places, places_shape(blocks, self.output), np.uint8).reshape(-1)
        flat_sums = NO_WORDS if sums is None else sums.reshape(-1)

        def part(start: int, stop: int) -> None:
            _backward(self)(*read, g, places, gx.reshape(-1), flat_sums, start, stop)

        over_blocks(part, blocks, self.per_word, threads)
        return Gradients(gx, sums)


@dataclass(frozen=True)
class MaxPool(_Pool):
    """``torch.nn.MaxPool2d(2)``. Of equal values the first has the gradient."""

    keeps_places = True

    def __post_init__(self):
        super().__post_init__()
        if self.size != 2:
            raise ValueError(f"the largest of 2 x 2 pixels is there, and no other: {self}")

    def pool_code(self) -> Callable:
        return elementwise.max_pool(self.input)

    def unpool_code(self) -> Callable:
        return elementwise.max_unpool(self.input)


@dataclass(frozen=True)
class AveragePool(_Pool):
    """``torch.nn.AvgPool2d(size)``; with a size of 1, what is pending and nothing else."""

    keeps_places = False

    def pool_code(self) -> Callable:
        return elementwise.average_pool(self.input, self.size)

    def unpool_code(self) -> Callable:
        return elementwise.average_unpool(self.input, self.size)


@dataclass(frozen=True)
class Every(_Pool):
    """Every `size`-th pixel, with `added` channels of 0, half of them in front.

    Raises `ValueError` for numbers of channels that do not fill words of bfloat16.
    """

    added: int = field(default=0, kw_only=True)

    keeps_places = False

    def __post_init__(self):
        super().__post_init__()
        if self.channels % self.per_word or self.added % (2 * self.per_word) or self.added < 0:
            raise ValueError(f"channels that fill no words: {self}")

    @cached_property
    def output(self) -> Block:
        height, width = (-(-side // self.size) for side in (self.height, self.width))
        return self.block(self.channels + self.added, height, width)

    def pool_code(self) -> Callable:
        return elementwise.every(self.input, self.output, self.size)

    def unpool_code(self) -> Callable:
        return elementwise.every_back(self.input, self.output, self.size)


@dataclass(frozen=True)
class Add(Layer):
    """The sum of two arrays of one shape; the fields are those of the first.

    `other_pending`, `other_floored`, `other_learned`: likewise of the second.
    """

    other_pending: bool = field(default=False, kw_only=True)
    other_floored: bool = field(default=False, kw_only=True)
    other_learned: bool = field(default=False, kw_only=True)

    @cached_property
    def terms(self) -> tuple[AveragePool, AveragePool]:
        """The layers that read the one and the other."""
        shape = self.channels, self.height, self.width, self.precision
        first = self.pending, self.floored, self.learned
        second = self.other_pending, self.other_floored, self.other_learned
        return (
            AveragePool(*shape, *first, self.lanes, size=1),
            AveragePool(*shape, *second, self.lanes, size=1),
        )

    @property
    def output(self) -> Block:
        return self.input

    def forward(
        self,
        x: np.ndarray,
        other: np.ndarray,
        pending: Pending | None = None,
        other_pending: Pending | None = None,
        threads: int = 1,
        y: np.ndarray | None = None,
    ) -> Outputs:
        one, two = self.terms
        read = one.read_by_loops(x, pending) + two.read_by_loops(other, other_pending)
        y = output_of(y, check(other, x.shape).shape)

        def part(start: int, stop: int) -> None:
            values = SCRATCH.words("values", self.input.size)
            others = SCRATCH.words("others", self.input.size)
            _add(self)(*read, y.reshape(-1), values, others, start, stop)

        over_blocks(part, len(x), self.per_word, threads)
        return Outputs(y)

    def backward(
        self,
        g: np.ndarray,
        x: np.ndarray,
        other: np.ndarray,
        pending: Pending | None = None,
        other_pending: Pending | None = None,
        threads: int = 1,
    ) -> tuple[Gradients, Gradients]:
        """The gradients of both, given g, that of the sum; g itself where nothing is pending."""
        gradients = []
        for term, array, own in zip(self.terms, (x, other), (pending, other_pending), strict=True):
            if own is None:
                gradients.append(Gradients(check(g, array.shape)))
            else:
                gradients.append(term.backward(g, Outputs(g), array, own, threads))
        return gradients[0], gradients[1]


# -- loops -----------------------------------------------------------------------------------------


@cache
def _forward(layer: _Pool) -> Callable:
    pool = layer.pool_code()
    materialise = materialise_of(layer.input, layer.floored)
    reads_pending, x_size, y_size = layer.pending, layer.input.size, layer.output.size
    places_size = y_size * layer.per_word

    @compiled_for(layer)
    def forward(x, factors, dropped, starts, y, places, values, start, stop):
        for b in range(start, stop):
            x_from, x0 = x, b * x_size
            if reads_pending:
                x_from, x0 = values, 0
                materialise(x, b, factors, dropped, starts, values, 0)
            pool(x_from, x0, y, b * y_size, places, b * places_size)

    return forward


@cache
def _backward(layer: _Pool) -> Callable:
    unpool = layer.unpool_code()
    pending_gradient = elementwise.pending_gradient(layer.input, layer.floored, layer.learned)
    drop = drop_of(layer.input)
    reads_pending, x_size, y_size = layer.pending, layer.input.size, layer.output.size
    places_size, of_kind = y_size * layer.per_word, layer.input.stored * layer.lanes
    sums_size = layer.sums_of_pending * of_kind

    @compiled_for(layer)
    def backward(x, factors, dropped, starts, g, places, gx, sums, start, stop):
        for b in range(start, stop):
            unpool(g, b * y_size, places, b * places_size, gx, b * x_size)
            if reads_pending:
                drop(gx, b * x_size, b, dropped, starts)
                f0, s0 = 3 * b * of_kind, b * sums_size
                pending_gradient(x, b * x_size, factors, f0, gx, sums, s0)

    return backward


@cache
def _add(layer: Add) -> Callable:
    add = elementwise.add(layer.input)
    materialise = materialise_of(layer.input, layer.floored)
    materialise_other = materialise_of(layer.input, layer.other_floored)
    reads_pending, others_pending, size = layer.pending, layer.other_pending, layer.input.size

    @compiled_for(layer)
    def added(
        x, factors, dropped, starts, other, other_factors, other_dropped, other_starts, y, values,
        others, start, stop,
    ):  # fmt: skip
        for b in range(start, stop):
            one, at, two, other_at = x, b * size, other, b * size
            if reads_pending:
                one, at = values, 0
                materialise(x, b, factors, dropped, starts, values, 0)
            if others_pending:
                two, other_at = others, 0
                materialise_other(
                    other, b, other_factors, other_dropped, other_starts, others, 0
                )  # fmt: skip
            add(one, at, two, other_at, y, b * size)

    return added
