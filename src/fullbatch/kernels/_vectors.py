"""Vector code, written out: the inner loops of the dense products, as instructions on vectors as long as the processor
has them: of 256 bits, or 512.

A compiler that vectorises plain loops decides by itself how many rows and outputs stay in registers, and in which order
numbers are added; for products with few columns it decides badly, and for another processor otherwise. Here both are
written down, in the instructions that Numba hands to LLVM: the speed does not hang on a heuristic, and sums are added
in the same order on every processor with vectors of one length.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .compiled import VECTOR_BYTES

_PART_BYTES = 16  # shuffles within such a part of a vector are cheap, across it they are not
_INDEX = ir.IntType(64)


class Vectors:
    """Writes instructions on vectors of float32 or float64 numbers.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where to.
    kind : numba float32 or float64
        Type of the numbers.
    lanes : int, optional
        Numbers of a vector; default: as many as the processor has.
    """

    def __init__(self, builder: ir.IRBuilder, kind: types.Float, lanes: int | None = None) -> None:
        self.builder = builder
        self.size = kind.bitwidth // 8
        self.lanes = lanes or VECTOR_BYTES // self.size
        self.scalar = ir.FloatType() if kind.bitwidth == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, self.lanes)
        form = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fmuladd.v{self.lanes}f{kind.bitwidth}"
        self._multiply_add = cgutils.get_or_insert_function(builder.module, form, name)

    def zero(self) -> ir.Value:
        """A vector of zeros."""
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def load(self, pointer: ir.Value, kind: Any) -> ir.Value:
        """A vector of numbers that are stored as `kind` and become floating-point ones in registers."""
        integer = isinstance(kind, types.Integer)
        stored = ir.VectorType(ir.IntType(kind.bitwidth), self.lanes) if integer else self.vector
        numbers = self.builder.load(self.builder.bitcast(pointer, stored.as_pointer()), align=kind.bitwidth // 8)
        return self.number(numbers, kind)

    def number(self, stored: ir.Value, kind: Any) -> ir.Value:
        """What is stored as `kind`, a number or a vector of them, in the precision of the products."""
        if not isinstance(kind, types.Integer):
            if kind.bitwidth // 8 != self.size:
                raise TypeError(f"numbers of type {kind} are not in the precision of the products")
            return stored
        signed: bool = kind.signed  # type: ignore[attr-defined]
        kinds = self.vector if isinstance(stored.type, ir.VectorType) else self.scalar
        return (self.builder.sitofp if signed else self.builder.uitofp)(stored, kinds)

    def store(self, vector: ir.Value, pointer: ir.Value) -> None:
        """To numbers of the vector's type."""
        size = 8 if vector.type.element == ir.DoubleType() else 4
        self.builder.store(vector, self.builder.bitcast(pointer, vector.type.as_pointer()), align=size)

    def add(self, vector: ir.Value, pointer: ir.Value) -> None:
        """To the numbers of the vector's type at some place."""
        kind = vector.type.as_pointer()
        self.store(self.builder.fadd(vector, self.builder.load(self.builder.bitcast(pointer, kind), align=4)), pointer)

    def spread(self, number: ir.Value) -> ir.Value:
        """A vector of which every number is this one, given as float64 or in the precision of the products."""
        if self.scalar != number.type:
            number = self.builder.fptrunc(number, self.scalar)
        first = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), number, ir.IntType(32)(0))
        return self._pick(first, first, [0] * self.lanes)

    def of(self, numbers: Sequence[ir.Value]) -> ir.Value:
        """A vector of these numbers."""
        vector = ir.Constant(self.vector, ir.Undefined)
        for lane, number in enumerate(numbers):
            vector = self.builder.insert_element(vector, number, ir.IntType(32)(lane))
        return vector

    def numbers(self, vector: ir.Value) -> list[ir.Value]:
        """The numbers of a vector."""
        return [self.builder.extract_element(vector, ir.IntType(32)(lane)) for lane in range(self.lanes)]

    def multiply_add(self, x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
        """X * y + total, rounded once where the processor can."""
        return self.builder.call(self._multiply_add, [x, y, total])

    def sums(self, vectors: Sequence[ir.Value]) -> list[ir.Value]:
        """The sum of each vector's numbers, in order, as vectors of float64; vectors come in fours."""
        part = _PART_BYTES // self.size
        whole = []
        for at in range(0, len(vectors), part):
            total, lanes = self._sums_of_parts(vectors[at : at + part]), self.lanes
            while lanes > part:
                lanes //= 2
                low, high = list(range(lanes)), list(range(lanes, 2 * lanes))
                total = self.builder.fadd(self._pick(total, total, low), self._pick(total, total, high))
            whole.append(total)
        if self.size == 8:
            return whole
        return [self.builder.fpext(one, ir.VectorType(ir.DoubleType(), one.type.count)) for one in whole]

    def _sums_of_parts(self, vectors: Sequence[ir.Value]) -> ir.Value:
        """Of as many vectors as a part has numbers: in each part, the sums of that part of each vector."""
        part = len(vectors)
        while len(vectors) > 1:
            pairs = []
            for first, second in zip(vectors[::2], vectors[1::2], strict=True):
                even, odd = (
                    [
                        source + at + i
                        for at in range(0, self.lanes, part)
                        for source in (0, self.lanes)
                        for i in range(parity, part, 2)
                    ]
                    for parity in (0, 1)
                )
                pairs.append(self.builder.fadd(self._pick(first, second, even), self._pick(first, second, odd)))
            vectors = pairs
        return vectors[0]

    def _pick(self, first: ir.Value, second: ir.Value, lanes: Sequence[int]) -> ir.Value:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return self.builder.shuffle_vector(first, second, mask)


class Matrix:
    """A C-ordered array of two dimensions, as instructions see it."""

    index = _INDEX

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: types.Array, value: ir.Value) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.kind = kind.dtype
        self._builder, self._data = builder, array.data
        self.rows, self.columns = cgutils.unpack_tuple(builder, array.shape)

    def row(self, number: ir.Value, plus: int = 0) -> ir.Value:
        """Where the row with that number begins."""
        number = self._builder.add(number, _INDEX(plus))
        return self._builder.gep(self._data, [self._builder.mul(number, self.columns)])


@contextmanager
def counting(builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: int = 1) -> Iterator[ir.Value]:
    """A loop of the instructions written inside; gives the counter."""
    before, body, after = builder.basic_block, builder.append_basic_block(), builder.append_basic_block()
    builder.cbranch(builder.icmp_signed("<", start, stop), body, after)
    builder.position_at_end(body)
    counter = builder.phi(_INDEX)
    counter.add_incoming(start, before)
    yield counter
    following = builder.add(counter, _INDEX(step))
    counter.add_incoming(following, builder.basic_block)
    _as_written(builder.module, builder.cbranch(builder.icmp_signed("<", following, stop), body, after))
    builder.position_at_end(after)


def _as_written(module: ir.Module, branch: ir.Instruction) -> None:
    """The loop that goes back by this branch is not unrolled: registers would no longer hold all sums."""
    no_unrolling = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = ir.MDValue(module, [], name=str(len(module.metadata)))
    loop.operands = (loop, no_unrolling)  # it begins with itself, which keeps loops apart
    branch.set_metadata("llvm.loop", loop)


def carried(builder: ir.IRBuilder, initial: ir.Value) -> tuple[Callable[[], ir.Value], Callable[[ir.Value], None]]:
    """A value that a loop changes: functions that get and set it. The compiler keeps it in a register."""
    place = cgutils.alloca_once_value(builder, initial)
    return lambda: builder.load(place), lambda value: builder.store(value, place) and None
