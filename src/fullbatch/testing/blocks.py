"""The contract that the blocks of every model keep; see `fullbatch.testing.check_block`."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.testing import assert_allclose

from ..protocols.answers import Eval
from ..protocols.requests import ValueGrad
from ..protocols.rows import Rows, is_sparse
from ..protocols.schema import Description, Schema
from ..protocols.seams import Block, Model
from ._answers import check_answers
from ._pieces import TOLERANCES, assert_close, take

Array = npt.NDArray[Any]


def check_block(model: Model, rows: Rows, theta: Array | None = None, seed: int = 0) -> None:
    """Check that a model's blocks are pure, additive, weighted right, and have the gradient of their loss; and that
    samples, draws, sums of squares and second derivatives are those of the same rows and loss.

    Parameters
    ----------
    model : Model
        Describes and builds the blocks.
    rows : Rows
        At least 6 rows, in memory, with every class among the first half of them.
    theta : (size,) array, optional
        Where to look; default: small random numbers.
    seed : int
        Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    schema = Schema.of(model.describe(rows, "rows to check"))
    block = model.build(rows, schema, 0)
    size = block.parameters.size
    assert block.parameters.penalized.shape == (size,), "one flag per parameter says whether a penalty touches it"
    theta = 0.1 * rng.standard_normal(size) if theta is None else np.array(theta, np.float64)
    _check_answer(block, theta)
    _check_gradient(block, theta, rng)
    _check_purity(block, theta)
    _check_additivity(model, block, rows, schema, theta)
    _check_weights(model, rows, schema, theta, rng)
    _check_scale(model, rows, schema, theta)
    _check_threads(model, rows, schema, theta)
    _check_bad_rows(model, rows)
    check_answers(model, block, rows, schema, theta, rng)


def _check_answer(block: Block, theta: Array) -> None:
    assert ValueGrad in block.answers, "a block answers ValueGrad"
    theta.flags.writeable = False  # blocks must live with read-only theta, as Ray hands it out
    answer = block.evaluate(ValueGrad(theta))
    assert isinstance(answer, Eval), f"ValueGrad is answered with an Eval, got {type(answer).__name__}"
    assert answer.grad.shape == theta.shape, f"the gradient has shape {answer.grad.shape}, theta {theta.shape}"
    assert answer.grad.dtype == np.float64, f"the gradient is {answer.grad.dtype}, sums over blocks are float64"
    assert np.isfinite(answer.value), f"the loss is {answer.value}"
    assert np.isfinite(answer.grad).all(), "the gradient is not finite"
    assert block.loss(theta) == answer.value, "loss(theta) differs from evaluate"
    assert np.array_equal(block.grad(theta), answer.grad), "grad(theta) differs from evaluate"
    stacked = block.evaluate(ValueGrad(np.array([theta, 0.5 * theta])))
    alone = block.evaluate(ValueGrad(0.5 * theta))
    tolerance = TOLERANCES[block.parameters.dtype][2]
    assert_allclose(stacked.value, [answer.value, alone.value], rtol=tolerance, err_msg="stacked thetas: value")
    assert_close(stacked.grad, np.array([answer.grad, alone.grad]), tolerance, "stacked thetas: gradient")


def _check_gradient(block: Block, theta: Array, rng: np.random.Generator) -> None:
    step, tolerance, _ = TOLERANCES[block.parameters.dtype]
    grad = block.grad(theta)
    for _ in range(5):
        direction = rng.standard_normal(theta.size)
        direction /= np.linalg.norm(direction)
        difference = (block.loss(theta + step * direction) - block.loss(theta - step * direction)) / (2 * step)
        slope = float(grad @ direction)
        scale = max(abs(slope), float(np.linalg.norm(grad)) / np.sqrt(theta.size))
        assert abs(slope - difference) <= tolerance * scale, (
            f"the gradient is not that of the loss: along a random direction it says {slope:.10g}, "
            f"central differences say {difference:.10g}"
        )


def _check_purity(block: Block, theta: Array) -> None:
    before = block.evaluate(ValueGrad(theta))
    block.evaluate(ValueGrad(theta + 1.0))
    after = block.evaluate(ValueGrad(theta))
    same = before.value == after.value and before.grad.tobytes() == after.grad.tobytes()
    assert same, "the same theta gave another answer: a block must be a pure function of theta"


def _check_additivity(model: Model, block: Block, rows: Rows, schema: Schema, theta: Array) -> None:
    n = rows.X.shape[0]
    whole = block.evaluate(ValueGrad(theta))
    cuts = [0, n // 3, n // 3, n // 2 + 1, n]  # the second piece is empty
    pieces = [model.build(take(rows, slice(start, stop)), schema, start) for start, stop in itertools.pairwise(cuts)]
    answers = [piece.evaluate(ValueGrad(theta)) for piece in pieces]
    total = answers[0]
    for answer in answers[1:]:
        total = total + answer
    tolerance = TOLERANCES[block.parameters.dtype][2]
    assert_allclose(total.value, whole.value, rtol=tolerance, err_msg="losses of pieces do not add up to the whole's")
    assert_close(total.grad, whole.grad, tolerance, "gradients of pieces do not add up to the whole's")
    described = [model.describe(take(rows, slice(a, b)), "piece") for a, b in itertools.pairwise(cuts)]
    summed: Description = described[0]
    for description in described[1:]:
        summed = summed + description
    again = Schema.of(summed)
    assert again.n_rows == n, "descriptions of pieces do not add up: rows"
    assert again.features.same_as(schema.features), "descriptions of pieces do not add up: levels"
    assert_allclose(again.mean, schema.mean, rtol=1e-10, atol=1e-12, err_msg="descriptions do not add up: means")
    assert_allclose(again.variance, schema.variance, rtol=1e-8, atol=1e-12, err_msg="descriptions do not add up")
    assert again.offset == schema.offset, "descriptions of pieces do not add up: offsets"
    assert again.sparse_entries == schema.sparse_entries, "descriptions of pieces do not add up: sparse entries"
    _check_sums("weights", again.weight, schema.weight)
    _check_sums("mean of the targets", again.target_mean, schema.target_mean)
    if schema.classes is not None:
        assert again.classes is not None
        assert np.array_equal(again.classes, schema.classes), "descriptions of pieces do not add up: classes"
        _check_sums("weights of the classes", again.class_weight, schema.class_weight)


def _check_sums(name: str, summed: Any, whole: Any) -> None:
    message = f"descriptions of pieces do not add up: {name}"
    assert (summed is None) == (whole is None), message
    if whole is not None:
        assert_allclose(summed, whole, rtol=1e-10, atol=1e-12, err_msg=message)


def _check_weights(model: Model, rows: Rows, schema: Schema, theta: Array, rng: np.random.Generator) -> None:
    n = rows.X.shape[0]
    counts = rng.integers(0, 3, n)
    counts[0] = 2  # not all zero
    repeated = np.repeat(np.arange(n), counts)
    weighted = model.build(replace(rows, weight=counts.astype(np.float64)), schema, 0)
    copied = model.build(take(replace(rows, weight=None), repeated), schema, 0)
    by_weight, by_copies = weighted.evaluate(ValueGrad(theta)), copied.evaluate(ValueGrad(theta))
    tolerance = TOLERANCES[weighted.parameters.dtype][2]
    message = "a row of weight 2 must count as two rows, one of weight 0 as none"
    assert_allclose(by_weight.value, by_copies.value, rtol=tolerance, err_msg=message)
    assert_close(by_weight.grad, by_copies.grad, tolerance, message)
    assert_allclose(by_weight.weight, by_copies.weight, rtol=1e-12, err_msg=message)


def _check_scale(model: Model, rows: Rows, schema: Schema, theta: Array) -> None:
    if rows.categories:
        return  # they stand beside columns of scale 1 only
    block = model.build(replace(rows, scale=2.0 * rows.scale), schema, 0)
    doubled = rows.X.astype(np.float32 if block.parameters.dtype == "float32" else np.float64) * 2
    by_scale = block.evaluate(ValueGrad(theta))
    by_value = model.build(replace(rows, X=doubled), schema, 0).evaluate(ValueGrad(theta))
    tolerance = TOLERANCES[block.parameters.dtype][2]
    message = "features of scale 2 must count as features twice as large"
    assert_allclose(by_scale.value, by_value.value, rtol=tolerance, err_msg=message)
    assert_close(by_scale.grad, by_value.grad, tolerance, message)


def _check_threads(model: Model, rows: Rows, schema: Schema, theta: Array) -> None:
    n = rows.X.shape[0]
    pieces = [model.build(take(rows, slice(i * n // 4, (i + 1) * n // 4)), schema, i * n // 4) for i in range(4)]
    alone = [piece.evaluate(ValueGrad(theta)) for piece in pieces]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: pieces[i % 4].evaluate(ValueGrad(theta)), range(40)))
    for i, answer in enumerate(together):
        same = answer.value == alone[i % 4].value and answer.grad.tobytes() == alone[i % 4].grad.tobytes()
        assert same, "blocks evaluated in several threads at once gave other answers: they share something"


def _check_bad_rows(model: Model, rows: Rows) -> None:
    X = rows.X.toarray() if is_sparse(rows.X) else rows.X
    if X.dtype.kind != "f":
        return
    spoiled = X.copy()
    spoiled[4, -1] = np.nan
    problem = model.describe(replace(rows, X=spoiled), "spoiled rows").problem
    assert problem is not None, "describe must report a NaN among the features"
    assert (problem.row, problem.column) == (4, X.shape[1] - 1), (
        f"a NaN in row 4, last column, was reported as {problem}"
    )
