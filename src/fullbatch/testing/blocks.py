"""Contracts that every model, every engine and every solver passes; use them on your own.

Each check raises AssertionError with what is wrong and how far off it is.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.testing import assert_allclose

from ..data.arrays import array_sources
from ..engines.local import SerialEngine
from ..errors import BlockError, DataError
from ..models.linear import Linear
from ..protocols.answers import Eval, Product
from ..protocols.requests import HessVec, RowSample, ValueGrad
from ..protocols.rows import Rows, is_sparse
from ..protocols.sampling import uniform_of_rows
from ..protocols.schema import Description, Schema
from ..protocols.seams import Block, Engine, Model, Parameters
from .solvers import check_solver

__all__ = ["check_block", "check_engine", "check_solver"]

Array = npt.NDArray[Any]

# (step of central differences, their relative error, relative error of reordered sums) for blocks that compute in
# that precision.
_TOLERANCES = {"float64": (1e-5, 1e-6, 1e-12), "float32": (1e-2, 3e-3, 1e-4)}


def check_block(model: Model, rows: Rows, theta: Array | None = None, seed: int = 0) -> None:
    """Check that a model's blocks are pure, additive, weighted right, and have the gradient of their loss.

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
    if HessVec in block.answers:
        _check_products(block, theta, rng)
    if RowSample in block.answers:
        _check_sample(model, rows, schema)


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
    tolerance = _TOLERANCES[block.parameters.dtype][2]
    assert_allclose(stacked.value, [answer.value, alone.value], rtol=tolerance, err_msg="stacked thetas: value")
    _assert_close(stacked.grad, np.array([answer.grad, alone.grad]), tolerance, "stacked thetas: gradient")


def _check_gradient(block: Block, theta: Array, rng: np.random.Generator) -> None:
    step, tolerance, _ = _TOLERANCES[block.parameters.dtype]
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


def _check_products(block: Block, theta: Array, rng: np.random.Generator) -> None:
    step, tolerance, _ = _TOLERANCES[block.parameters.dtype]
    v = rng.standard_normal(theta.size)
    v /= np.linalg.norm(v)
    answer = block.evaluate(HessVec(theta, v))
    assert isinstance(answer, Product), f"HessVec is answered with a Product, got {type(answer).__name__}"
    assert answer.product.dtype == np.float64, f"the product is {answer.product.dtype}, sums over blocks are float64"
    numeric = (block.grad(theta + step * v) - block.grad(theta - step * v)) / (2 * step)
    message = "the product with the Hessian is not how the gradient changes along the vector"
    scale = max(np.abs(numeric).max(), np.abs(block.grad(theta)).max())
    assert_allclose(answer.product, numeric, rtol=0, atol=10 * tolerance * scale, err_msg=message)


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
    pieces = [model.build(_take(rows, slice(start, stop)), schema, start) for start, stop in itertools.pairwise(cuts)]
    answers = [piece.evaluate(ValueGrad(theta)) for piece in pieces]
    total = answers[0]
    for answer in answers[1:]:
        total = total + answer
    tolerance = _TOLERANCES[block.parameters.dtype][2]
    assert_allclose(total.value, whole.value, rtol=tolerance, err_msg="losses of pieces do not add up to the whole's")
    _assert_close(total.grad, whole.grad, tolerance, "gradients of pieces do not add up to the whole's")
    described = [model.describe(_take(rows, slice(a, b)), "piece") for a, b in itertools.pairwise(cuts)]
    summed: Description = described[0]
    for description in described[1:]:
        summed = summed + description
    again = Schema.of(summed)
    assert again.n_rows == n, "descriptions of pieces do not add up: rows"
    assert_allclose(again.mean, schema.mean, rtol=1e-10, atol=1e-12, err_msg="descriptions do not add up: means")
    assert_allclose(again.variance, schema.variance, rtol=1e-8, atol=1e-12, err_msg="descriptions do not add up")
    if schema.classes is not None:
        assert again.classes is not None
        assert np.array_equal(again.classes, schema.classes), "descriptions of pieces do not add up: classes"


def _check_weights(model: Model, rows: Rows, schema: Schema, theta: Array, rng: np.random.Generator) -> None:
    n = rows.X.shape[0]
    counts = rng.integers(0, 3, n)
    counts[0] = 2  # not all zero
    repeated = np.repeat(np.arange(n), counts)
    unweighted = Rows(rows.X, rows.y, None, rows.scale)
    weighted = model.build(Rows(rows.X, rows.y, counts.astype(np.float64), rows.scale), schema, 0)
    copied = model.build(_take(unweighted, repeated), schema, 0)
    by_weight, by_copies = weighted.evaluate(ValueGrad(theta)), copied.evaluate(ValueGrad(theta))
    tolerance = _TOLERANCES[weighted.parameters.dtype][2]
    message = "a row of weight 2 must count as two rows, one of weight 0 as none"
    assert_allclose(by_weight.value, by_copies.value, rtol=tolerance, err_msg=message)
    _assert_close(by_weight.grad, by_copies.grad, tolerance, message)
    assert_allclose(by_weight.weight, by_copies.weight, rtol=1e-12, err_msg=message)


def _check_scale(model: Model, rows: Rows, schema: Schema, theta: Array) -> None:
    block = model.build(replace(rows, scale=2.0 * rows.scale), schema, 0)
    doubled = rows.X.astype(np.float32 if block.parameters.dtype == "float32" else np.float64) * 2
    by_scale = block.evaluate(ValueGrad(theta))
    by_value = model.build(replace(rows, X=doubled), schema, 0).evaluate(ValueGrad(theta))
    tolerance = _TOLERANCES[block.parameters.dtype][2]
    message = "features of scale 2 must count as features twice as large"
    assert_allclose(by_scale.value, by_value.value, rtol=tolerance, err_msg=message)
    _assert_close(by_scale.grad, by_value.grad, tolerance, message)


def _check_threads(model: Model, rows: Rows, schema: Schema, theta: Array) -> None:
    n = rows.X.shape[0]
    pieces = [model.build(_take(rows, slice(i * n // 4, (i + 1) * n // 4)), schema, i * n // 4) for i in range(4)]
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


def _check_sample(model: Model, rows: Rows, schema: Schema) -> None:
    n = rows.X.shape[0]
    cuts = [0, n // 3, n]
    first = 1_000_003  # global numbers need not begin with 0
    whole = model.build(rows, schema, first).evaluate(RowSample(0.5, seed=1))
    pieces = [model.build(_take(rows, slice(a, b)), schema, first + a) for a, b in itertools.pairwise(cuts)]
    left, right = (piece.evaluate(RowSample(0.5, seed=1)) for piece in pieces)
    assert np.array_equal((left + right).rows, whole.rows), "the rows sampled depend on how the data is cut"
    taken = uniform_of_rows(first, n, seed=1) < 0.5
    assert np.array_equal(whole.rows, first + np.flatnonzero(taken)), "the rows sampled are not those of the seed"
    X = rows.X.toarray() if is_sparse(rows.X) else rows.X
    sampled = whole.X.toarray() if is_sparse(whole.X) else whole.X
    _assert_close(sampled, X[taken] * np.float64(rows.scale), 1e-6, "the sample holds other features than its rows")


def _take(rows: Rows, which: Any) -> Rows:
    weight = None if rows.weight is None else rows.weight[which]
    return Rows(rows.X[which], None if rows.y is None else rows.y[which], weight, rows.scale)


def _assert_close(actual: Array, wanted: Array, tolerance: float, message: str) -> None:
    # Relative to the largest entry: small entries of a gradient are differences of large terms.
    assert_allclose(actual, wanted, rtol=0, atol=tolerance * np.abs(wanted).max(), err_msg=message)


def check_engine(engine: Engine) -> None:
    """Check that an engine gives the bits of the serial engine, and says what went wrong when something did.

    Parameters
    ----------
    engine : Engine
        Stays open.
    """
    _check_same_bits(engine)
    _check_two_placements(engine)
    _check_row_numbers(engine)
    _check_errors(engine)
    _check_map(engine)


def _data(rows: int = 211, columns: int = 5) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(7)
    X = rng.standard_normal((rows, columns)) * 10.0 ** np.arange(columns)
    y = rng.integers(0, 3, rows)
    return X, y, rng.random(rows)


def _check_same_bits(engine: Engine) -> None:
    X, y, weight = _data()
    model = Linear("softmax")
    for number in (1, 2, 7, 13):
        sources = array_sources(X, y, weight, blocks=number)
        expected, placed = SerialEngine().place(model, sources), engine.place(model, sources)
        try:
            size = expected.parameters.size
            assert placed.parameters.size == size, "the engine tells another number of parameters"
            for field in ("mean", "variance", "classes", "class_weight"):
                same = getattr(placed.schema, field).tobytes() == getattr(expected.schema, field).tobytes()
                assert same, f"{number} blocks: the schema's {field} differs from the serial engine's"
            assert placed.schema.block_rows == expected.schema.block_rows, "the schema's blocks differ"
            shapes: list[tuple[int, ...]] = [(size,), (size,), (3, size)]
            for seed, shape in enumerate(shapes):
                request = ValueGrad(np.random.default_rng(seed).standard_normal(shape))
                wanted, got = expected.sum(request), placed.sum(request)
                same = np.array_equal(wanted.value, got.value) and wanted.grad.tobytes() == got.grad.tobytes()
                assert same, f"{number} blocks: the sum has other bits than the serial engine's"
                assert got.weight == wanted.weight, f"{number} blocks: the weight differs from the serial engine's"
        finally:
            placed.close()
            placed.close()  # closing twice is allowed


def _check_two_placements(engine: Engine) -> None:
    X, y, _ = _data()
    theta = np.linspace(-1, 1, 18)
    expected = SerialEngine().place(Linear("softmax"), array_sources(X, y, blocks=3)).sum(ValueGrad(theta))
    first = engine.place(Linear("softmax"), array_sources(X, y, blocks=3))
    try:
        second = engine.place(Linear("softmax"), array_sources(2 * X, y, blocks=2))
        second.close()
        got = first.sum(ValueGrad(theta))
        same = expected.value == got.value and expected.grad.tobytes() == got.grad.tobytes()
        assert same, "placing other blocks changed the answers of those placed before"
    finally:
        first.close()


def _check_row_numbers(engine: Engine) -> None:
    X, y, _ = _data()
    request = RowSample(0.3, seed=5)
    samples = []
    for number in (1, 6):
        blocks = engine.place(Linear("softmax"), array_sources(X, y, blocks=number))
        try:
            samples.append(blocks.sum(request))
        finally:
            blocks.close()
    for sample in samples:
        assert 0 < len(sample.rows) < len(y), "a sample of 0.3 of the rows took none, or all of them"
        assert np.array_equal(sample.X, X[sample.rows]), "the sample's rows do not have the global numbers it says"
    assert np.array_equal(samples[0].rows, samples[1].rows), "the sample depends on how the data is cut"


def _check_errors(engine: Engine) -> None:
    X, y, _ = _data()
    sources = array_sources(X, y, blocks=4)
    error = _error_of(lambda: engine.place(Linear("softmax"), []))
    assert isinstance(error, DataError), f"no sources must be a DataError, got {error!r}"
    spoiled = X.copy()
    spoiled[150, 3] = np.nan
    error = _error_of(lambda: engine.place(Linear("softmax"), array_sources(spoiled, y, blocks=4)))
    told = isinstance(error, DataError) and "row 150" in str(error) and "column 3" in str(error)
    assert told, f"a NaN must be a DataError with row and column, got {error!r}"
    blocks = engine.place(Broken(), sources)
    try:
        error = _error_of(lambda: blocks.sum(ValueGrad(np.zeros(1))))
        told = isinstance(error, BlockError) and error.index == 2 and error.source == str(sources[2])
        assert told, f"a block's exception must be a BlockError with index and source, got {error!r}"
        assert "broken on purpose" in str(error), "the worker's traceback must be in the message"
        assert "line" in str(error), "the worker's traceback must be in the message"
        error = _error_of(lambda: blocks.sum(RowSample(0.5)))
        assert isinstance(error, TypeError), f"a request that blocks cannot answer must be a TypeError, got {error!r}"
        assert "RowSample" in str(error), "the message must name the request"
    finally:
        blocks.close()
    error = _error_of(lambda: blocks.sum(ValueGrad(np.zeros(1))))
    assert isinstance(error, RuntimeError), f"asking closed blocks must be a RuntimeError, got {error!r}"
    assert "closed" in str(error), f"closed blocks must say so, got {error!r}"


def _check_map(engine: Engine) -> None:
    X, y, _ = _data()
    sources = array_sources(X, y, block_rows=10)
    wanted = [(number, source.first_row) for number, source in enumerate(sources)]
    assert list(engine.map(_where, sources)) == wanted, "map must answer for each source, in their order"
    error = _error_of(lambda: list(engine.map(_fail_at_3, sources)))
    assert isinstance(error, BlockError), f"an error in map is told as a BlockError, got {error!r}"
    assert error.index == 3, f"an error in map of source 3 was told of source {error.index}"


def _where(number: int, source: Any) -> tuple[int, int]:
    return number, source.first_row


def _fail_at_3(number: int, source: Any) -> int:
    if number == 3:
        raise RuntimeError("as the test wants it")
    return number


def _error_of(call: Any) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


class Broken:
    """A model whose third block fails: for checking what an engine makes of it."""

    def describe(self, rows: Rows, source: str) -> Description:
        """As a linear model."""
        return Linear("softmax").describe(rows, source)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> "BrokenBlock":
        """A block that fails if it is the third."""
        return BrokenBlock(fails=first_row == sum(schema.block_rows[:2]))


class BrokenBlock(Block):
    """See `Broken`."""

    answers = frozenset({ValueGrad})

    def __init__(self, fails: bool) -> None:
        self.parameters = Parameters(1, np.array([True]))
        self._fails = fails

    def evaluate(self, request: ValueGrad) -> Eval:
        """Fail, or answer zeros."""
        if self._fails:
            raise RuntimeError("broken on purpose")
        return Eval(0.0, np.zeros(1), 1.0)
