"""The contract that every engine keeps; see `fullbatch.testing.check_engine`."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..data.arrays import array_sources
from ..data.frames import table_sources
from ..engines.local import SerialEngine
from ..errors import BlockError, DataError
from ..models.linear import Linear
from ..protocols.answers import Eval
from ..protocols.requests import RowSample, ValueGrad
from ..protocols.rows import Rows
from ..protocols.schema import Description, Schema
from ..protocols.seams import Block, Engine, Parameters

Array = npt.NDArray[Any]


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


def _table() -> pa.Table:
    """Numbers, and text whose levels are not the same in all parts, with weights and offsets."""
    X, y, weight = _data()
    columns = {"small": X[:, 0], "large": X[:, 4], "y": np.where(y == 2, "yes", "no"), "weight": weight}
    level = np.array([f"level {number // 20}" for number in range(len(y))])
    return pa.table(columns | {"level": level, "offset": X[:, 1] / 10})


def _check_same_bits(engine: Engine) -> None:
    X, y, weight = _data()
    for number in (1, 2, 7, 13):
        _check_bits_of(engine, Linear("softmax"), array_sources(X, y, weight, blocks=number))
    of_text = table_sources(_table(), target="y", weight="weight", offset="offset", blocks=7)
    _check_bits_of(engine, Linear("logistic", class_weight="balanced"), of_text)


def _check_bits_of(engine: Engine, model: Linear, sources: list[Any]) -> None:
    number = len(sources)
    expected, placed = SerialEngine().place(model, sources), engine.place(model, sources)
    try:
        size = expected.parameters.size
        assert placed.parameters.size == size, "the engine tells another number of parameters"
        for field in ("mean", "variance", "classes", "class_weight"):
            same = getattr(placed.schema, field).tobytes() == getattr(expected.schema, field).tobytes()
            assert same, f"{number} blocks: the schema's {field} differs from the serial engine's"
        assert placed.schema.features.same_as(expected.schema.features), f"{number} blocks: the levels differ"
        assert placed.schema.offset == expected.schema.offset, f"{number} blocks: an offset is told, or is not"
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
