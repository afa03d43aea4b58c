"""The table of sparse and categorical products: a line for each column, and last for the intercept, of coefficients and
then sums, so that the backward product finds near what the forward product has fetched.

Several models or outputs lie side by side in it. Their products with a row are vectors of numbers of its lines, whose
sums stay in registers from one entry of the row to the next.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

from ._inner_loops import CACHE_LINE
from ._prefetch import write_prefetch
from ._vectors import Matrix, Vectors, carried, counting
from .compiled import VECTOR_BYTES, inlined

Array = npt.NDArray[Any]

LANES = VECTOR_BYTES // 8


@register_jitable
def padded(count: int) -> int:
    """Numbers of a line for so many outputs or sums: those of whole vectors."""
    if count <= 2:
        return count
    lanes = 4 if count <= 4 else LANES
    return (count + lanes - 1) // lanes * lanes


@register_jitable
def odd(count: int) -> int:
    """The largest odd number up to `count`: outputs whose rows of eta are an odd number of cache lines, or of a few of
    them, apart do not meet in the same places of the cache.
    """
    return (count - 1) | 1


@inlined
def fill(table: Array, W: Array, width: int) -> None:
    """Coefficients, and zeros for sums. Of several column by column, so that a line of the table is written once."""
    each = np.uintp(width)
    if W.shape[0] == 1:
        for j in range(np.uintp(W.shape[1])):
            table[j * each] = W[0, j]
        for k in range(np.uintp(1), each):
            for j in range(np.uintp(W.shape[1])):
                table[j * each + k] = 0.0
    else:
        for j in range(np.uintp(W.shape[1])):
            for k in range(np.uintp(W.shape[0])):
                table[j * each + k] = W[k, j]
            for k in range(np.uintp(W.shape[0]), each):
                table[j * each + k] = 0.0


@inlined
def add_sums(table: Array, width: int, first: int, total: Array) -> None:
    """Add a table's sums, from the place `first` of each line on, to (sums, columns + 1) `total`."""
    each, begin = np.uintp(width), np.uintp(first)
    if total.shape[0] == 1:
        for j in range(np.uintp(total.shape[1])):
            total[0, j] += table[j * each + begin]
    else:
        for j in range(np.uintp(total.shape[1])):
            for k in range(np.uintp(total.shape[0])):
                total[k, j] += table[j * each + begin + k]


def _products(count: int, lanes: int, backward: bool) -> Any:
    """Function of compiled code: (values, columns, bounds, table, width, first, eta, k, rows, ahead).

    It takes the rows of a tile, and `count` vectors of outputs from the `k`-th on, of which the last may not be there.
    Entries are values (1, where `values` is None) in columns; those of row i end where those of the next begin, at
    `bounds[i + 1]`, or are `bounds` each. Forward, what they point at in the table, from the place `first` of a line
    on, is multiplied with the values and added to eta; backward, eta is multiplied with the values and added there. The
    entries that lie `ahead` are asked for, unless that is 0.
    """

    @intrinsic
    def products(typing, values, columns, bounds, table, width, first, eta, k, rows, ahead):
        def generate(context, builder, signature, arguments):
            kinds, index = signature.args, Matrix.index
            width, first, k, rows, ahead = (arguments[at] for at in (4, 5, 7, 8, 9))
            vectors, slopes = Vectors(builder, types.float64, lanes), Matrix(context, builder, kinds[6], arguments[6])

            def place(at, number):
                return builder.gep(context.make_array(kinds[at])(context, builder, arguments[at]).data, [number])

            def element(at, number, kind):
                stored = context.unpack_value(builder, kinds[at].dtype, place(at, number))
                return context.cast(builder, stored, kinds[at].dtype, kind)

            def entries_of(row):
                following = builder.add(row, index(1))
                if isinstance(kinds[2], types.Array):
                    return element(2, row, types.intp), element(2, following, types.intp)
                return builder.mul(row, arguments[2]), builder.mul(following, arguments[2])

            nothing = cgutils.alloca_once_value(builder, ir.Constant(ir.DoubleType(), 0.0))

            def of_output(number, row):
                """Where that of a row is; of an output that is not there, where nothing is."""
                there = builder.icmp_signed("<", builder.add(k, index(number)), slopes.rows)
                return builder.select(there, builder.gep(slopes.row(k, number), [row]), nothing)

            with counting(builder, index(0), rows) as row:
                low, high = entries_of(row)
                outputs = [[of_output(lanes * one + lane, row) for lane in range(lanes)] for one in range(count)]
                if backward:
                    of_row = [vectors.of([builder.load(number) for number in numbers]) for numbers in outputs]
                else:
                    of_row = [vectors.zero()] * count
                sums = [carried(builder, one) for one in of_row]
                if kinds[0] is not types.none:
                    asked = builder.select(builder.icmp_signed("==", ahead, index(0)), low, high)
                    with counting(builder, low, asked, CACHE_LINE // 8) as entry:
                        for at in (0, 1):
                            write_prefetch(builder, place(at, builder.add(entry, ahead)))
                with counting(builder, low, high) as entry:
                    value = None if kinds[0] is types.none else vectors.spread(element(0, entry, types.float64))
                    line = builder.add(builder.mul(element(1, entry, types.intp), width), builder.add(first, k))
                    for one, (get, put) in enumerate(sums):
                        numbers = place(3, builder.add(line, index(lanes * one)))
                        x, total = vectors.load(numbers, types.float64), get()
                        if backward:
                            x, total = total, x
                        total = builder.fadd(x, total) if value is None else vectors.multiply_add(value, x, total)
                        if backward:
                            vectors.store(total, numbers)
                        else:
                            put(total)
                if not backward:
                    for numbers, (get, _) in zip(outputs, sums, strict=True):
                        for number, total in zip(numbers, vectors.numbers(get()), strict=True):
                            builder.store(builder.fadd(builder.load(number), total), number)
            return context.get_dummy_value()

        i = types.intp
        return types.void(values, columns, bounds, table, i, i, eta, i, i, i), generate

    return products


def _all_products(backward: bool) -> Any:
    """The same for all outputs: (values, columns, bounds, table, width, first, eta, rows, ahead)."""
    four, three, two, one = (_products(count, LANES, backward) for count in (4, 3, 2, 1))
    of_four, of_two, of_one = (_products(1, lanes, backward) for lanes in (4, 2, 1))

    @inlined
    def all_products(values, columns, bounds, table, width, first, eta, rows, ahead):
        for k in range(0, eta.shape[0], 4 * LANES):
            left, asked = eta.shape[0] - k, ahead if k == 0 else 0
            if left > 3 * LANES:
                four(values, columns, bounds, table, width, first, eta, k, rows, asked)
            elif left > 2 * LANES:
                three(values, columns, bounds, table, width, first, eta, k, rows, asked)
            elif left > LANES:
                two(values, columns, bounds, table, width, first, eta, k, rows, asked)
            elif left > 4:
                one(values, columns, bounds, table, width, first, eta, k, rows, asked)
            elif left > 2:
                of_four(values, columns, bounds, table, width, first, eta, k, rows, asked)
            elif left == 2:
                of_two(values, columns, bounds, table, width, first, eta, k, rows, asked)
            else:
                of_one(values, columns, bounds, table, width, first, eta, k, rows, asked)

    return all_products


forward_all, backward_all = _all_products(False), _all_products(True)
