"""Asking for memory before it is needed: it comes while something else is computed."""

# What is written of instructions goes untyped: nearly all of it is `ir.Value`.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


def write_prefetch(builder: ir.IRBuilder, place: ir.Value) -> None:
    """The instruction for the cache line of an address or a pointer, which need not be one of the program's."""
    pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    as_pointer = builder.bitcast if place.type.is_pointer else builder.inttoptr
    form = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], form)
    # To be read, into the second-level cache: the first is full of what is worked on.
    builder.call(function, [as_pointer(place, pointer), number(0), number(2), number(1)])


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask, in compiled code, for the cache line of an element; the index may lie beyond the array."""

    def generate(context, builder, signature, values):
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        write_prefetch(builder, builder.gep(data, [values[1]]))
        return context.get_dummy_value()

    return types.void(array, types.uintp), generate
