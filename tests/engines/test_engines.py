import re
from dataclasses import replace

import numpy as np
import pytest

from fullbatch import DataError, SerialEngine, ThreadEngine
from fullbatch.data.arrays import array_sources
from fullbatch.engines import make_engine
from fullbatch.models.linear import Linear
from fullbatch.protocols import ValueGrad
from fullbatch.testing import check_engine


@pytest.mark.parametrize("engine", [SerialEngine(), ThreadEngine(1), ThreadEngine(2), ThreadEngine(5)], ids=repr)
def test_contract(engine):
    check_engine(engine)


def test_contract_notices_a_sum_in_another_order():
    class Unordered(SerialEngine):
        def place(self, model, sources):
            blocks = super().place(model, sources)
            worker = blocks._worker
            blocks.sum = lambda request: self.naive_sum(worker, request)
            return blocks

        @staticmethod
        def naive_sum(worker, request):
            total = None
            for index in sorted(worker._cache._cached, reverse=True):
                answer = worker._cache.get(index).evaluate(request)
                total = answer if total is None else total + answer
            return total

    with pytest.raises(AssertionError, match="other bits"):
        check_engine(Unordered())


def test_each_source_is_read_once():
    X, y = np.random.default_rng(0).random((20, 3)), np.arange(20) % 2
    reads = []

    class Counted:
        def __init__(self, source):
            self.source = source

        def read(self):
            reads.append(str(self.source))
            return self.source.read()

    sources = [Counted(source) for source in array_sources(X, y, blocks=4)]
    blocks = ThreadEngine(2).place(Linear("logistic"), sources)
    blocks.sum(ValueGrad(np.zeros(4)))
    assert sorted(reads) == sorted(str(source.source) for source in sources)


def test_blocks_with_different_columns_are_refused():
    y = np.arange(6) % 2
    sources = array_sources(np.ones((6, 3)), y, blocks=1) + array_sources(np.ones((6, 4)), y, blocks=1)
    with pytest.raises(DataError, match=r"3 columns and .* has 4"):
        SerialEngine().place(Linear("logistic"), sources)


def test_empty_block_is_legal():
    X, y = np.random.default_rng(0).random((6, 3)), np.array(["no", "yes"] * 3)
    empty = array_sources(X, y, blocks=1)[0]
    empty = replace(empty, X=X[:0], y=y[:0])
    with_empty = SerialEngine().place(Linear("logistic"), [empty, *array_sources(X, y, blocks=1)])
    without = SerialEngine().place(Linear("logistic"), array_sources(X, y, blocks=1))
    request = ValueGrad(np.array([0.1, 0.2, 0.3, 0.4]))
    assert with_empty.sum(request).grad.tobytes() == without.sum(request).grad.tobytes()
    assert with_empty.schema.classes.tolist() == ["no", "yes"]


def test_unknown_names_and_numbers():
    with pytest.raises(ValueError, match=re.escape("choose from threads, serial, ray, dask")):
        make_engine("spark")
    with pytest.raises(ValueError, match="serial engine has one worker"):
        make_engine("serial", 3)
    assert isinstance(make_engine("serial", 1), SerialEngine)
    with pytest.raises(ValueError, match="at least 1"):
        ThreadEngine(-1)
