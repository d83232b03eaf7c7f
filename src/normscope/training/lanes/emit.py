"""Vector code as LLVM IR, for loops that numba compiles.

numba's own vectors are what LLVM makes of scalar loops. Here an `emitter` writes the instructions
of a block of samples itself, so that accumulators stay in registers, and numba calls it like any
other function.
"""

import inspect
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I8, I16, I32, I64, F32 = *map(ir.IntType, (8, 16, 32, 64)), ir.FloatType()
WIDE = 16  # lanes of AVX-512, which has 32 registers where other x86 processors have 16

# An offset in elements: a number, a value at run time, or the product of such a value and a number.
Offset = int | ir.Value | tuple[ir.Value, int]


class BFloat(ir.Type):
    """LLVM's bfloat16, which llvmlite does not name."""

    def __str__(self) -> str:
        return "bfloat"


# What the instruction that rounds to bfloat16 returns; before LLVM 17 these were plain bits.
ROUNDED = BFloat() if llvm_version_info >= (17,) else I16


def emitter(function: Callable) -> Callable:
    """What numba compiles to the instructions that ``function(builder, *arguments)`` emits.

    Arrays reach it as pointers to their first element, numbers as 64-bit values. All that is known
    when the code is made it has from its closure.
    """

    def define(typing, *arguments):
        def generate(context, builder, signature, values):
            function(
                builder,
                *(
                    context.make_array(kind)(context, builder, value).data
                    if isinstance(kind, types.Array)
                    else context.cast(builder, value, kind, types.int64)
                    for kind, value in zip(arguments, values, strict=True)
                ),
            )
            return context.get_dummy_value()

        return types.void(*arguments), generate

    names = ["typing", *list(inspect.signature(function).parameters)[1:]]
    define.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    define.__name__ = define.__qualname__ = function.__name__
    return intrinsic(define)


# -- loops -----------------------------------------------------------------------------------------


def loop(
    builder: Any,
    stop: int | ir.Value,
    body: Callable[[ir.Value, list], Sequence | None],
    carried: Sequence = (),
    may_be_empty: bool = False,
) -> list:
    """``for i in range(stop): carried = body(i, carried)``; what is carried stays in registers.

    `stop` is at least 1 unless the loop `may_be_empty`. Returns what the last round carried.
    """
    count = I64(stop) if isinstance(stop, int) else stop
    before, head, end = builder.block, builder.append_basic_block(), builder.append_basic_block()
    if may_be_empty:
        builder.cbranch(builder.icmp_signed(">", count, I64(0)), head, end)
    else:
        builder.branch(head)
    builder.position_at_end(head)
    i, phis = builder.phi(I64), [builder.phi(value.type) for value in carried]
    out = list(body(i, phis) or ())
    last, following = builder.block, builder.add(i, I64(1))
    i.add_incoming(I64(0), before)
    i.add_incoming(following, last)
    for phi, first, after in zip(phis, carried, out, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(after, last)
    _never_unrolled(builder, builder.cbranch(builder.icmp_signed("<", following, count), head, end))
    builder.position_at_end(end)
    if not may_be_empty:
        return out
    return [_either(builder, pair, (before, last)) for pair in zip(carried, out, strict=True)]


def _either(builder, values, blocks):
    """The value of the block that execution came from."""
    phi = builder.phi(values[0].type)
    for value, block in zip(values, blocks, strict=True):
        phi.add_incoming(value, block)
    return phi


def _never_unrolled(builder, branch) -> None:
    """Unrolled by LLVM, a loop of many accumulators would run out of registers."""
    module = builder.module
    off = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    own_id = ir.values.MDValue(module, [off], name=str(len(module.metadata)))
    own_id.operands = own_id, off
    branch.set_metadata("llvm.loop", own_id)


def split(total: int, most: int) -> list[int]:
    """`total` as the fewest parts of at most `most`, as equal as can be, the larger ones first.

    >>> split(30, 7)
    [6, 6, 6, 6, 6]
    >>> split(28, 10)
    [10, 9, 9]
    """
    parts = -(-total // most)
    return [total // parts + 1] * (total % parts) + [total // parts] * (parts - total % parts)


def over_parts(
    builder: Any,
    kinds: Sequence[Hashable],
    sizes: Sequence[int],
    body: Callable[[ir.Value, Any], object],
) -> None:
    """``body(start, kind)`` for parts that lie one behind the other; equal ones become a loop."""
    start = i = 0
    while i < len(kinds):
        same = (kinds[i], sizes[i])
        count = 1
        while i + count < len(kinds) and (kinds[i + count], sizes[i + count]) == same:
            count += 1

        def part(t, carried, start=start, same=same):
            body(builder.add(I64(start), builder.mul(t, I64(same[1]))), same[0])

        loop(builder, count, part)
        start, i = start + count * sizes[i], i + count


# -- vectors ---------------------------------------------------------------------------------------


class Vectors:
    """Instructions on vectors of words, each with 1 channel in float32 or 2 in bfloat16."""

    def __init__(self, builder: Any, lanes: int, per_word: int):
        self.builder, self.lanes, self.per_word = builder, lanes, per_word
        self.floats, self.words = ir.VectorType(F32, lanes), ir.VectorType(I32, lanes)
        self.operand = self.floats if per_word == 1 else self.words
        self.zero = ir.Constant(self.floats, [0.0] * lanes)
        self.nan = ir.Constant(self.floats, [math.nan] * lanes)

    def at(self, pointer: Any, *offsets: Offset) -> Any:
        for offset in offsets:
            pointer = self.builder.gep(pointer, [self._value(offset)], inbounds=True)
        return pointer

    def _value(self, offset: Offset) -> ir.Value:
        if isinstance(offset, tuple):
            return self.builder.mul(offset[0], I64(offset[1]))
        return I64(offset) if isinstance(offset, int) else offset

    def load(self, pointer: Any, kind: Any = None) -> Any:
        """A vector of words as multiplications take it, or of another `kind`."""
        kind = kind or self.operand
        value = self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()))
        value.align = 1 if kind.element == I8 else 4
        return value

    def store(self, vector: Any, pointer: Any) -> None:
        pointer = self.builder.bitcast(pointer, vector.type.as_pointer())
        self.builder.store(vector, pointer).align = 1 if vector.type.element == I8 else 4

    def floats_at(self, pointer: Any) -> Any:
        return self.load(pointer, self.floats)

    def splat(self, pointer: Any) -> Any:
        """The word at `pointer` in every lane."""
        kind = self.operand
        word = self.builder.load(self.builder.bitcast(pointer, kind.element.as_pointer()))
        undefined = ir.Constant(kind, ir.Undefined)
        vector = self.builder.insert_element(undefined, word, I32(0))
        return self.builder.shuffle_vector(vector, undefined, self.same(0))

    def same_float(self, pointer: Any) -> Any:
        """The float32 at `pointer` in every lane."""
        number = self.builder.load(self.builder.bitcast(pointer, F32.as_pointer()))
        undefined = ir.Constant(self.floats, ir.Undefined)
        vector = self.builder.insert_element(undefined, number, I32(0))
        return self.builder.shuffle_vector(vector, undefined, self.same(0))

    def same(self, word: int) -> ir.Constant:
        """A number, as an integer, in every lane."""
        return ir.Constant(self.words, [word] * self.lanes)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z, rounded once."""
        return self._call(f"llvm.fma.v{self.lanes}f32", self.floats, x, y, z)

    def dot(self, x: Any, y: Any, total: Any) -> Any:
        """total + x * y, summed over the channels of a word."""
        if self.per_word == 1:
            return self.fma(x, y, total)
        name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}"
        return self._call(name, self.floats, total, x, y)

    def unpack(self, pointer: Any) -> list:
        """The channels of the words at `pointer`, a vector of floats for each."""
        if self.per_word == 1:
            return [self.floats_at(pointer)]
        word = self.load(pointer)
        low = self.builder.shl(word, self.same(16))
        high = self.builder.and_(word, self.same(0xFFFF0000))
        return [self.builder.bitcast(half, self.floats) for half in (low, high)]

    def pack(self, channels: Sequence, pointer: Any) -> None:
        """Store a vector of floats for each channel of the words at `pointer`."""
        if self.per_word == 1:
            return self.store(channels[0], pointer)
        n = 2 * self.lanes
        name = f"llvm.x86.avx512bf16.cvtne2ps2bf16.{16 * n}"
        both = self._call(name, ir.VectorType(ROUNDED, n), channels[1], channels[0])
        both = self.builder.bitcast(both, ir.VectorType(I16, n))
        order = [k // 2 + self.lanes * (k % 2) for k in range(n)]
        mixed = ir.Constant(ir.VectorType(I32, n), order)
        self.store(self.builder.shuffle_vector(both, both, mixed), pointer)

    def add_to(self, vector: Any, pointer: Any) -> None:
        self.store(self.builder.fadd(self.floats_at(pointer), vector), pointer)

    def sum(self, vector: Any) -> Any:
        """The sum of the lanes: of halves, quarters and so on."""
        for half in (2**k for k in reversed(range(self.lanes.bit_length() - 1))):
            order = [*range(half, 2 * half), *range(2 * half, self.lanes), *range(half)]
            moved = ir.Constant(self.words, order)
            vector = self.builder.fadd(vector, self.builder.shuffle_vector(vector, vector, moved))
        return self.builder.extract_element(vector, I32(0))

    def where(self, condition: Any, vector: Any, otherwise: Any) -> Any:
        return self.builder.select(condition, vector, otherwise)

    def less(self, x: Any, y: Any) -> Any:
        """x < y, which does not hold where either is NaN."""
        return self.builder.fcmp_ordered("<", x, y)

    def at_most(self, x: Any, y: Any) -> Any:
        """x <= y, which does not hold where either is NaN."""
        return self.builder.fcmp_ordered("<=", x, y)

    def either_nan(self, x: Any, y: Any) -> Any:
        return self.builder.fcmp_unordered("uno", x, y)

    def _call(self, name: str, returns: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(returns, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)


def _float_of(typing, bits):
    """The float32 that these 32 bits are."""
    return types.float32(types.uint32), lambda context, builder, signature, values: builder.bitcast(
        values[0], F32
    )


float_of: Callable = intrinsic(_float_of)
