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

from ._prefetch import write_prefetch
from ._vectors import Matrix, Vectors, carried, counting
from .compiled import VECTOR_BYTES

# Rows that the loops for one output, and for more, take at a time.
ROWS, ROWS_OF_MORE = 8, 4
# Outputs that a loop takes at most: more sums would not stay in the registers, 16 in all or, of the longest, 32.
MOST_OUTPUTS = 5 if VECTOR_BYTES == 64 else 3
# Rows of a Gram matrix whose sums, for two vectors each, a loop keeps in the registers: no more than a vector has
# numbers, so that they are always there.
GRAM_ROWS = VECTOR_BYTES // 8
CACHE_LINE = 64


def _inner_loop(rows: int, write: Callable) -> Any:
    """Function of compiled code: (X, first, last, coefs, low, high, eta, k, start, stop, ahead, lines, stride, tile).

    It works on the vectors `low` to `high` of the rows of X from `first` on, and on some outputs of eta, which is
    (outputs, rows), from the `k`-th on, in the columns `start` to `stop`. Rows behind the `last` are that one again.
    `write` is for a number of rows at a time, and may copy them to the tile. With each vector, `lines` cache lines are
    asked for, the first at the address `ahead` and so many bytes, `stride`, further on each; the answer is where the
    next would be.
    """

    @intrinsic
    def inner_loop(typing, X, first, last, coefs, low, high, eta, k, start, stop, ahead, lines, stride, tile):
        index = types.intp

        def generate(context, builder, signature, values):
            kinds = signature.args
            X, coefs, eta, tile = (Matrix(context, builder, kinds[at], values[at]) for at in (0, 3, 6, 13))
            _, first, last, _, low, high, _, k, start, stop, ahead, lines, stride, _ = values
            get, put = carried(builder, ahead)
            with counting(builder, start, stop, rows) as i:
                begin, most = builder.add(first, builder.sub(i, start)), last
                pointers = []
                for r in range(rows):
                    row = builder.add(begin, X.index(r))
                    pointers.append(X.row(builder.select(builder.icmp_signed("<", row, most), row, most)))

                @contextmanager
                def each_vector(vectors):
                    """The vectors of the rows, each with what gives the places of its coefficients."""
                    last = builder.sub(X.columns, X.index(vectors.lanes))
                    with counting(builder, low, high) as number:
                        with counting(builder, X.index(0), lines):
                            write_prefetch(builder, get())
                            put(builder.add(get(), stride))
                        place = builder.mul(number, X.index(vectors.lanes))
                        feature = builder.select(builder.icmp_signed("<", place, last), place, last)
                        yield (
                            lambda r: vectors.load(builder.gep(pointers[r], [feature]), X.kind),
                            lambda c: builder.gep(coefs.row(k, c), [place]),
                            lambda r, x: vectors.store(x, builder.gep(tile.row(i, r), [feature])),
                        )

                write(builder, each_vector, coefs.kind, eta, k, i)
            return get()

        return index(X, index, index, coefs, index, index, eta, *(index,) * 6, tile), generate

    return inner_loop


def _products(rows, outputs, copied=False):
    """Eta += coefs X', for a number of rows and outputs at a time; the rows may be copied to the tile as numbers."""

    def write(builder, each_vector, kind, eta, k, i):
        vectors = Vectors(builder, kind)
        sums = [[carried(builder, vectors.zero()) for _ in range(rows)] for _ in range(outputs)]
        with each_vector(vectors) as (x, place, copy):
            w = [vectors.load(place(c), kind) for c in range(outputs)]
            for r in range(rows):
                one = x(r)
                if copied:
                    copy(r, one)
                for c in range(outputs):
                    get, put = sums[c][r]
                    put(vectors.multiply_add(one, w[c], get()))
        doubles = Vectors(builder, eta.kind)
        for c in range(outputs):
            at = builder.gep(eta.row(k, c), [i])
            for total in vectors.sums([get() for get, _ in sums[c]]):
                doubles.add(total, at)
                at = builder.gep(at, [eta.index(total.type.count)])

    return _inner_loop(rows, write)


def _added_products(rows, outputs, squares):
    """Sums += eta X, or eta times the squares of X, for a number of rows and outputs at a time."""

    def write(builder, each_vector, kind, eta, k, i):
        vectors = Vectors(builder, kind)
        slopes = []
        for c in range(outputs):
            at = eta.row(k, c)
            slopes.append(
                [vectors.spread(builder.load(builder.gep(at, [builder.add(i, eta.index(r))]))) for r in range(rows)]
            )
        with each_vector(vectors) as (x, place, _):
            new = [vectors.load(place(c), kind) for c in range(outputs)]
            # A few rows are summed apart from the total: it waits for one addition, not for each product. As many rows
            # whatever the outputs, so that a model gets the same bytes in company.
            for begin in range(0, rows, ROWS_OF_MORE):
                few = []
                for r in range(begin, begin + ROWS_OF_MORE):
                    one = x(r)
                    for c in range(outputs):
                        # A slope of zero first: its row counts nothing, even where the square overflows.
                        slope = builder.fmul(slopes[c][r], one) if squares else slopes[c][r]
                        if r == begin:
                            few.append(builder.fmul(one, slope))
                        else:
                            few[c] = vectors.multiply_add(one, slope, few[c])
                new = [builder.fadd(*both) for both in zip(new, few, strict=True)]
            for c in range(outputs):
                vectors.store(new[c], place(c))

    return _inner_loop(rows, write)


def _gram_loop(width: int) -> Any:
    """Function of compiled code: (X, first, last, factor, start, stop, G, k, begin, end, low).

    Adds to G the products of columns of X, each times the factors, (1, size), of the rows of a tile, the first of which
    is the `first` of X, from `start` to `stop`: of the columns from the `k`-th on, as many as GRAM_ROWS, with those of
    the vectors from `low` on, as many as `width`. Rows of G before `begin`, and from `end` on, stay as they are. Rows
    behind the `last` are that one again.
    """

    @intrinsic
    def gram_loop(typing, X, first, last, factor, start, stop, G, k, begin, end, low):
        index = types.intp

        def generate(context, builder, signature, values):
            kinds = signature.args
            X, factor, G = (Matrix(context, builder, kinds[at], values[at]) for at in (0, 3, 6))
            _, first, last, _, start, stop, _, k, begin, end, low = values
            numbers: Any = G.kind
            vectors = Vectors(builder, numbers)

            def at_most(number, most):
                return builder.select(builder.icmp_signed("<", number, most), number, most)

            places = [builder.mul(builder.add(low, X.index(v)), X.index(vectors.lanes)) for v in range(width)]
            ends = builder.sub(X.columns, X.index(vectors.lanes))
            features = [at_most(place, ends) for place in places]
            sums = [[carried(builder, vectors.zero()) for _ in range(width)] for _ in range(GRAM_ROWS)]
            with counting(builder, start, stop) as i:
                row = X.row(at_most(builder.add(first, i), last))
                share = vectors.spread(builder.load(builder.gep(factor.row(X.index(0)), [i])))
                some = [builder.fmul(vectors.load(builder.gep(row, [at]), X.kind), share) for at in features]
                columns = builder.gep(row, [k])
                for c, into in enumerate(sums):
                    one = vectors.spread(vectors.number(builder.load(builder.gep(columns, [X.index(c)])), X.kind))
                    for x, (get, put) in zip(some, into, strict=True):
                        put(vectors.multiply_add(one, x, get()))
            for c, into in enumerate(sums):
                number = builder.add(k, X.index(c))
                inside = builder.and_(builder.icmp_signed("<=", begin, number), builder.icmp_signed("<", number, end))
                with builder.if_then(inside):
                    for place, (get, _) in zip(places, into, strict=True):
                        vectors.add(get(), builder.gep(G.row(k, c), [place]))
            return context.get_dummy_value()

        return types.void(X, index, index, factor, index, index, G, *(index,) * 4), generate

    return gram_loop


_TILES = ((ROWS, 1), *((ROWS_OF_MORE, outputs) for outputs in range(2, MOST_OUTPUTS + 1)))

# For one output, for two, and so on.
FORWARD = tuple(_products(rows, outputs) for rows, outputs in _TILES)
COPYING_FORWARD = tuple(_products(rows, outputs, copied=True) for rows, outputs in _TILES)
BACKWARD = tuple(_added_products(rows, outputs, False) for rows, outputs in _TILES)
backward_squares_one = _added_products(ROWS, 1, True)
gram_of_one_vector, gram_of_two = _gram_loop(1), _gram_loop(2)
