"""The inner loops of dense products, as Numba intrinsics: instructions written by the classes of `_vectors`.

A few rows and outputs are taken at a time, whose sums stay in registers, so that every number loaded serves several
products. While they run they ask for rows of the next tile, which memory then brings in meanwhile.
"""

# What is written of instructions goes untyped: nearly all of it is `ir.Value`.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ._vectors import Matrix, Vectors, carried, counting

# Rows that the loops for one output, and for two or three, take at a time. More sums would not stay in the 16 registers
# of most processors.
ROWS, ROWS_OF_MORE = 8, 4
CACHE_LINE = 64


def _inner_loop(rows: int, write: Callable) -> Any:
    """Function of compiled code: (X, first, last, coefs, low, high, eta, k, start, stop, ahead, lines).

    It works on the vectors `low` to `high` of the rows of X from `first` on, and on some outputs of eta, which is
    (outputs, rows), from the `k`-th on, in the columns `start` to `stop`. Rows behind the `last` are that one again.
    `write` is for a number of rows at a time; each time, `lines` cache lines from the byte `ahead` on are asked for.
    """

    @intrinsic
    def inner_loop(typing, X, first, last, coefs, low, high, eta, k, start, stop, ahead, lines):
        index = types.intp

        def generate(context, builder, signature, values):
            kinds = signature.args
            X, coefs, eta = (Matrix(context, builder, kinds[at], values[at]) for at in (0, 3, 6))
            _, first, last, _, low, high, _, k, start, stop, ahead, lines = values
            get, put = carried(builder, ahead)
            with counting(builder, start, stop, rows) as i:
                with counting(builder, X.index(0), lines):
                    X.prefetch(get())
                    put(builder.add(get(), X.index(CACHE_LINE)))
                begin, most = builder.add(first, builder.sub(i, start)), last
                pointers = []
                for r in range(rows):
                    row = builder.add(begin, X.index(r))
                    pointers.append(X.row(builder.select(builder.icmp_signed("<", row, most), row, most)))
                write(builder, X, pointers, coefs, low, high, eta, k, i)
            return context.get_dummy_value()

        return types.void(X, index, index, coefs, index, index, eta, *(index,) * 5), generate

    return inner_loop


@contextmanager
def _each_vector(builder, vectors, X, rows, low, high):
    """The vectors of some rows, with the place of their coefficients."""
    last = builder.sub(X.columns, X.index(vectors.lanes))
    with counting(builder, low, high) as number:
        place = builder.mul(number, X.index(vectors.lanes))
        feature = builder.select(builder.icmp_signed("<", place, last), place, last)
        yield place, lambda r: vectors.load(builder.gep(rows[r], [feature]), X.kind)


def _products(rows, outputs):
    """Eta += coefs X', for a number of rows and outputs at a time."""

    def write(builder, X, pointers, coefs, low, high, eta, k, i):
        vectors = Vectors(builder, coefs.kind)
        weights = [coefs.row(k, c) for c in range(outputs)]
        sums = [[carried(builder, vectors.zero()) for _ in range(rows)] for _ in range(outputs)]
        with _each_vector(builder, vectors, X, pointers, low, high) as (place, x):
            w = [vectors.load(builder.gep(weights[c], [place]), coefs.kind) for c in range(outputs)]
            for r in range(rows):
                one = x(r)
                for c in range(outputs):
                    get, put = sums[c][r]
                    put(vectors.multiply_add(one, w[c], get()))
        doubles = Vectors(builder, eta.kind)
        for c in range(outputs):
            at = builder.gep(eta.row(k, c), [i])
            for total in vectors.sums([get() for get, _ in sums[c]]):
                doubles.add(total, at)
                at = builder.gep(at, [X.index(total.type.count)])

    return _inner_loop(rows, write)


def _added_products(rows, outputs, squares):
    """Sums += eta X, or eta times the squares of X, for a number of rows and outputs at a time."""

    def write(builder, X, pointers, sums, low, high, eta, k, i):
        vectors = Vectors(builder, sums.kind)
        totals = [sums.row(k, c) for c in range(outputs)]
        slopes = []
        for c in range(outputs):
            at = eta.row(k, c)
            slopes.append(
                [vectors.spread(builder.load(builder.gep(at, [builder.add(i, X.index(r))]))) for r in range(rows)]
            )
        with _each_vector(builder, vectors, X, pointers, low, high) as (place, x):
            places = [builder.gep(totals[c], [place]) for c in range(outputs)]
            new = [vectors.load(at, sums.kind) for at in places]
            # A few rows are summed apart from the total: it waits for one addition, not for each product. As many rows
            # whatever the outputs, so that a model gets the same bytes in company.
            for begin in range(0, rows, ROWS_OF_MORE):
                few = [vectors.zero()] * outputs
                for r in range(begin, begin + ROWS_OF_MORE):
                    one = x(r)
                    for c in range(outputs):
                        # A slope of zero first: its row counts nothing, even where the square overflows.
                        slope = builder.fmul(slopes[c][r], one) if squares else slopes[c][r]
                        few[c] = vectors.multiply_add(one, slope, few[c])
                new = [builder.fadd(*both) for both in zip(new, few, strict=True)]
            for c in range(outputs):
                vectors.store(new[c], places[c])

    return _inner_loop(rows, write)


_TILES = ((ROWS, 1), (ROWS_OF_MORE, 2), (ROWS_OF_MORE, 3))

forward_one, forward_two, forward_three = (_products(rows, outputs) for rows, outputs in _TILES)
backward_one, backward_two, backward_three = (_added_products(rows, outputs, False) for rows, outputs in _TILES)
backward_squares_one = _added_products(ROWS, 1, True)
