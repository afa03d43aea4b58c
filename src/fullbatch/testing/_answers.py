"""What blocks answer beside loss and gradient: that it is of the same rows and the same loss."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.testing import assert_allclose

from ..protocols.answers import Eval, Product
from ..protocols.requests import (
    Curvature,
    DrawnCurvature,
    DrawnNull,
    DrawnValueGrad,
    HessVec,
    RowSample,
    SampleGrams,
    Squares,
    ValueGrad,
)
from ..protocols.rows import Rows, is_sparse
from ..protocols.sampling import Draw, uniform_of_rows
from ..protocols.schema import Schema
from ..protocols.seams import Block, Model
from ._pieces import TOLERANCES, assert_close, take

Array = npt.NDArray[Any]

_DRAWS = (Draw("all"), Draw("without", 1, 3, 5), Draw("only", 0, 3, 5), Draw("bootstrap", 2, seed=5))

# Rows of a sample whose weights are looked up one by one.
_LOOKED_UP = 5


def check_answers(
    model: Model, block: Block, rows: Rows, schema: Schema, theta: Array, rng: np.random.Generator
) -> None:
    """Check the answers to every request that the block says it answers, as `check_block`."""
    if HessVec in block.answers:
        _check_products(block, theta, rng)
    if RowSample in block.answers:
        _check_sample(model, rows, schema, theta)
    if Curvature in block.answers:
        _check_hessian(model, block, rows, schema, theta, rng)
    if {Curvature, RowSample} <= block.answers:
        _check_curvatures_of_rows(block, theta)
    if SampleGrams in block.answers:
        _check_sums_of_samples(block, theta, rng)
    if DrawnValueGrad in block.answers:
        _check_draws(model, block, rows, schema, theta)
    if Squares in block.answers:
        _check_squares(block)


def _check_products(block: Block, theta: Array, rng: np.random.Generator) -> None:
    v = rng.standard_normal(theta.size)
    v /= np.linalg.norm(v)
    answer = block.evaluate(HessVec(theta, v))
    assert isinstance(answer, Product), f"HessVec is answered with a Product, got {type(answer).__name__}"
    assert answer.product.dtype == np.float64, f"the product is {answer.product.dtype}, sums over blocks are float64"
    _check_change(block, theta, v, answer.product, "the product with the Hessian")


def _check_change(block: Block, theta: Array, v: Array, product: Array, what: str) -> None:
    """Whether the gradient changes by that along a vector."""
    step, tolerance, _ = TOLERANCES[block.parameters.dtype]
    numeric = (block.grad(theta + step * v) - block.grad(theta - step * v)) / (2 * step)
    scale = max(np.abs(numeric).max(), np.abs(block.grad(theta)).max())
    message = f"{what} is not how the gradient changes along the vector"
    assert_allclose(product, numeric, rtol=0, atol=10 * tolerance * scale, err_msg=message)


def _check_sample(model: Model, rows: Rows, schema: Schema, theta: Array) -> None:
    n = rows.X.shape[0]
    cuts = [0, n // 3, n]
    first = 1_000_003  # global numbers need not begin with 0
    whole = model.build(rows, schema, first).evaluate(RowSample(0.5, seed=1))
    pieces = [model.build(take(rows, slice(a, b)), schema, first + a) for a, b in itertools.pairwise(cuts)]
    left, right = (piece.evaluate(RowSample(0.5, seed=1)) for piece in pieces)
    assert np.array_equal((left + right).rows, whole.rows), "the rows sampled depend on how the data is cut"
    taken = np.flatnonzero(uniform_of_rows(first, n, seed=1) < 0.5)
    assert np.array_equal(whole.rows, first + taken), "the rows sampled are not those of the seed"
    X = rows.X.toarray() if is_sparse(rows.X) else rows.X
    ones = [one.codes[:, None] == np.arange(len(one.levels)) for one in rows.categories]
    expected = np.column_stack([X * np.float64(rows.scale), *ones])[taken]
    assert_close(_dense(whole.X), expected, 1e-6, "the sample holds other features than its rows")
    for place, row in list(enumerate(taken))[:_LOOKED_UP]:
        alone = model.build(take(rows, slice(row, row + 1)), schema, first + int(row)).evaluate(ValueGrad(theta)).weight
        assert_allclose(whole.weight[place], alone, rtol=1e-12, err_msg="the sample holds other weights than its rows")
    assert rows.y is not None
    y = rows.y if schema.classes is None else np.searchsorted(schema.classes, rows.y)
    counts = whole.weight > 0  # the target of a row that does not count may be anything
    assert np.array_equal(whole.y[counts], y[taken][counts]), "the sample holds other targets than its rows"
    offset = np.zeros(n) if rows.offset is None else rows.offset
    told = np.zeros(len(taken)) if whole.offset is None else whole.offset
    assert np.array_equal(told, offset[taken]), "the sample holds other offsets than its rows"


def _check_hessian(
    model: Model, block: Block, rows: Rows, schema: Schema, theta: Array, rng: np.random.Generator
) -> None:
    tolerance = TOLERANCES[block.parameters.dtype][2]
    answer = block.evaluate(Curvature(theta, "gram"))
    for _ in range(3):
        v = rng.standard_normal(theta.size)
        v /= np.linalg.norm(v)
        _check_change(block, theta, v, answer.matrix @ v, "the Hessian times a vector")
    _check_same(answer.point, block.evaluate(ValueGrad(theta)), tolerance, "what comes with the Hessian")
    taken = np.flatnonzero(uniform_of_rows(0, rows.X.shape[0], seed=1) < 0.5)
    part = model.build(take(rows, taken), schema, 0)
    sampled = block.evaluate(Curvature(theta, "gram", 0.5, seed=1))
    matrix, weight = part.evaluate(Curvature(theta, "gram")).matrix, part.evaluate(ValueGrad(theta)).weight
    assert_close(sampled.matrix, matrix, tolerance, "the Hessian of a share of the rows is not theirs")
    assert_allclose(sampled.weight, weight, rtol=1e-12, err_msg="the weight of a share of the rows is not theirs")


def _check_curvatures_of_rows(block: Block, theta: Array) -> None:
    """The diagonal, and the Hessian put together from the rows' second derivatives, beside the Hessian."""
    tolerance = TOLERANCES[block.parameters.dtype][2]
    whole = block.evaluate(Curvature(theta, "gram")).matrix
    diagonal = block.evaluate(Curvature(theta, "diagonal")).matrix
    assert_close(diagonal, np.diag(whole), tolerance, "the diagonal is not that of the Hessian")
    predictors = block.parameters.predictors
    if predictors is None or block.parameters.kinked or not block.parameters.convex:
        return  # the rows' curvatures are then those that steps need
    of_rows, sample = block.evaluate(Curvature(theta, "rows")), block.evaluate(RowSample(1.0))
    X = _dense(sample.X).astype(np.float64)
    X = np.column_stack((X, np.ones(len(X))))[:, : predictors.shape[1]]
    together = np.zeros_like(whole)
    for k, one in enumerate(predictors):
        for other, another in enumerate(predictors):
            factor = of_rows.diagonal[:, k] * (k == other)
            if of_rows.coupling is not None:
                factor = factor - of_rows.coupling[:, k] * of_rows.coupling[:, other]
            together[np.ix_(one, another)] += X.T @ (factor[:, None] * X)
    message = "the second derivatives of the rows do not add up to the Hessian"
    assert_close(together, whole, max(tolerance, 1e-9), message)


def _check_sums_of_samples(block: Block, theta: Array, rng: np.random.Generator) -> None:
    """Moments and Gram matrices beside those of the rows of the same sample."""
    tolerance, fraction, seed = max(TOLERANCES[block.parameters.dtype][2], 1e-9), 0.5, 1
    sample, of_rows = (
        block.evaluate(one) for one in (RowSample(fraction, seed), Curvature(theta, "rows", fraction, seed))
    )
    weight, X = sample.weight, _dense(sample.X).astype(np.float64)
    counts = weight > 0  # what does not count may be anything
    mean = weight[counts] @ X[counts] / weight.sum()
    squares = weight[counts] @ (X[counts] - mean) ** 2
    predictors = block.parameters.predictors
    assert predictors is not None, "Gram matrices of samples are of a linear model"
    X = np.column_stack((X, np.ones(len(X))))[:, : predictors.shape[1]]
    basis, _ = np.linalg.qr(rng.standard_normal((len(predictors),) * 2))
    along = of_rows.along(basis)
    middle = np.sort(along, axis=1)[:, len(weight) // 2 - 1 : len(weight) // 2 + 1]
    least = middle.mean(axis=1)  # between two rows, so that rounding does not choose
    for request, sums, factors in (
        (SampleGrams(theta, None, None, fraction, seed), of_rows.traces[None], of_rows.traces[None]),
        (SampleGrams(theta, basis, None, fraction, seed), along, along),
        (SampleGrams(theta, basis, least, fraction, seed), along, np.where(along >= least[:, None], along, 0.0)),
    ):
        answer = block.evaluate(request)
        moments, Z = answer.moments, X[counts] - np.pad(answer.center, (0, X.shape[1] - len(answer.center)))
        wanted = np.array([Z.T @ (own[counts, None] * Z) for own in factors])
        assert_close(answer.matrices, wanted, tolerance, "the Gram matrix of the sample is not that of its rows")
        what = "the second derivatives of the sample are not those of its rows"
        assert_close(answer.sums, sums.sum(axis=1), tolerance, what)
        assert_allclose(moments.weight, weight.sum(), rtol=1e-12, err_msg="the weight of the sample is not its rows'")
        assert_close(moments.mean, mean, max(tolerance, 1e-6), "the means of the sample are not those of its rows")
        assert_close(moments.squares, squares, max(tolerance, 1e-6), "the spread of the sample is not that of its rows")


def _check_draws(model: Model, block: Block, rows: Rows, schema: Schema, theta: Array) -> None:
    n, tolerance = rows.X.shape[0], TOLERANCES[block.parameters.dtype][2]
    weight = np.ones(n) if rows.weight is None else rows.weight
    thetas = np.array([theta * share for share in (1.0, 0.5, -0.5, 0.25)])
    drawn = [model.build(replace(rows, weight=weight * draw.weights(0, n)), schema, 0) for draw in _DRAWS]
    values = block.evaluate(DrawnValueGrad(thetas, _DRAWS))
    matrices = block.evaluate(DrawnCurvature(thetas, _DRAWS, len(_DRAWS))) if DrawnCurvature in block.answers else None
    asked = DrawnNull in block.answers and schema.class_weight is None  # of classes the schema knows enough
    nulls = block.evaluate(DrawnNull(_DRAWS)).sums if asked else ()
    for place, (draw, alone) in enumerate(zip(_DRAWS, drawn, strict=True)):
        what = f"the answer to the draw {draw.form!r}"
        wanted = alone.evaluate(ValueGrad(thetas[place]))
        _check_same(_of(values, place), wanted, tolerance, what)
        if matrices is not None:
            hessian = alone.evaluate(Curvature(thetas[place], "gram")).matrix
            _check_same(_of(matrices.point, place), wanted, tolerance, what)
            assert_close(matrices.matrix[place], hessian, tolerance, f"{what}: the Hessian is not that of its rows")
        if nulls:
            _check_null(nulls[place], alone.evaluate(DrawnNull((Draw("all"),))).sums[0], what)


def _check_null(told: Any, wanted: Any, what: str) -> None:
    assert (told is None) == (wanted is None), f"{what}: a null model is told, or is not"
    if wanted is not None:
        for name in ("least", "deviance"):
            message = f"{what}: the null model's {name} is not that of its rows"
            mine, own = getattr(told.null(), name), getattr(wanted.null(), name)
            assert_allclose(mine, own, rtol=1e-9, atol=1e-12, err_msg=message)


def _of(answer: Any, model: int) -> Eval:
    """What is answered for one of several models."""
    squares = None if answer.squares is None else answer.squares[model]
    return Eval(answer.value[model], answer.grad[model], answer.weight[model], squares)


def _check_same(answer: Any, wanted: Eval, tolerance: float, what: str) -> None:
    assert_allclose(answer.value, wanted.value, rtol=tolerance, err_msg=f"{what}: the loss is not that of its rows")
    assert_close(
        np.asarray(answer.grad), np.asarray(wanted.grad), tolerance, f"{what}: the gradient is not that of its rows"
    )
    assert_allclose(answer.weight, wanted.weight, rtol=1e-12, err_msg=f"{what}: the weight is not that of its rows")
    assert (answer.squares is None) == (wanted.squares is None), f"{what}: squared slopes are told, or are not"
    if wanted.squares is not None:
        message = f"{what}: the squared slopes are not those of its rows"
        assert_allclose(answer.squares, wanted.squares, rtol=max(tolerance, 1e-9), err_msg=message)


def _check_squares(block: Block) -> None:
    """Sums of squares, and triangles, beside those of the rows that a sample of all of them holds."""
    sample = block.evaluate(RowSample(1.0))
    X, offset = _dense(sample.X).astype(np.float64), 0.0 if sample.offset is None else sample.offset
    predictors = block.parameters.predictors
    assert predictors is not None, "sums of squares are of a linear model"
    fold = (uniform_of_rows(0, len(X), seed=3) * 2).astype(int)
    for exact in (False, True):
        sums = block.evaluate(Squares(exact, folds=2, seed=3))
        own = np.column_stack((X - sums.center, sample.y - offset - sums.target))
        if predictors.shape[1] > X.shape[1]:
            own = np.column_stack((np.ones(len(X)), own))
        for number, matrix in enumerate(sums.matrices):
            weight = np.where(fold == number, sample.weight, 0.0)
            gram = matrix.T @ matrix if exact else matrix
            assert_close(gram, own.T @ (weight[:, None] * own), 1e-6, "the sums of squares are not those of the rows")
            assert_allclose(sums.weight[number], weight.sum(), rtol=1e-12, err_msg="a fold has another weight")


def _dense(X: Any) -> Array:
    dense: Array = X.toarray() if is_sparse(X) else X
    return dense
