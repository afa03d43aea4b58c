"""What an engine of this process promises: how far it reads ahead, what it begins after an error, what it tells."""

import threading

import numpy as np
import pytest

from fullbatch import BlockError, DataError, Linear, SerialEngine, ThreadEngine, array_sources
from fullbatch.engines import local
from fullbatch.protocols import Category, Curvature, Rows, ValueGrad


def rows(n=6):
    return Rows(np.random.default_rng(0).standard_normal((n, 2)), np.arange(n) % 2)


class Given:
    """Rows that are at hand."""

    def __init__(self, rows):
        self.rows = rows

    def read(self):
        return self.rows

    def __str__(self):
        return "rows"


class Task:
    """What a pool is asked to do, done when it is asked for."""

    def __init__(self, task, *arguments):
        self.answer, self.cancelled = lambda: task(*arguments), False

    def result(self):
        return self.answer()

    def cancel(self):
        self.cancelled = True


class Done(Task):
    """As above, and done at once."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        answer = self.answer()
        self.answer = lambda: answer


def pool_of(kind):
    class Pool:
        def __init__(self, threads, name):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        submit = staticmethod(kind)

    return Pool


def mapped(monkeypatch, kind, threads=2):
    """What `map` has begun of 20 sources, and what it yields."""
    begun = []
    monkeypatch.setattr(local, "ThreadPoolExecutor", pool_of(kind))
    monkeypatch.setattr(local, "wait", lambda tasks: [one.result() for one in tasks if not one.cancelled])
    sources = array_sources(np.ones((20, 1)), blocks=20)
    return begun, ThreadEngine(threads).map(lambda index, source: begun.append(index) or index, sources)


@pytest.mark.parametrize("threads", [1, 3])
def test_map_is_no_further_ahead_than_its_threads(monkeypatch, threads):
    begun, answers = mapped(monkeypatch, Done, threads)
    for number, answer in enumerate(answers):
        assert answer == number
        assert len(begun) == min(number + 1 + threads, 20)


def test_a_map_that_is_left_reads_no_further(monkeypatch):
    begun, answers = mapped(monkeypatch, Task)
    assert next(answers) == 0
    answers.close()
    assert begun == [0]


class Failing:
    """A source that counts how often it is asked, and fails."""

    def __init__(self, name, read, together=None):
        self.name, self.asked, self.together = name, read, together

    def read(self):
        self.asked.append(self.name)
        if self.together is not None:
            self.together.wait(20)
        raise OSError(f"cannot read {self.name}")

    def __str__(self):
        return self.name


def test_nothing_is_begun_after_an_error():
    asked = []
    with pytest.raises(BlockError, match=r"block 0 \(a\) failed"):
        SerialEngine().place(Linear("logistic"), [Failing(name, asked) for name in "abc"])
    assert asked == ["a"]


def test_of_several_errors_the_first_block_s_is_told():
    asked, together = [], threading.Barrier(3)
    with pytest.raises(BlockError, match=r"block 0 \(a\) failed"):
        ThreadEngine(3).place(Linear("logistic"), [Failing(name, asked, together) for name in "abc"])
    assert sorted(asked) == ["a", "b", "c"]


def test_no_thread_is_left_where_blocks_cannot_be_placed():
    before = set(threading.enumerate())
    X, y = np.ones((8, 2)), np.arange(8) % 2
    X[7, 1] = np.nan
    with pytest.raises(DataError, match="row 7, column 1"):
        ThreadEngine(2).place(Linear("logistic"), array_sources(X, y, blocks=4))
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("fullbatch")]


def test_blocks_answer_what_all_of_them_answer():
    class Unequal(Linear):
        def build(self, rows, schema, first_row):
            block = super().build(rows, schema, first_row)
            block.answers = block.answers - {Curvature} if first_row else block.answers
            return block

    data = rows()
    blocks = SerialEngine().place(Unequal("logistic"), array_sources(data.X, data.y, blocks=2))
    assert ValueGrad in blocks.answers
    assert Curvature not in blocks.answers
    with pytest.raises(TypeError, match="these blocks cannot answer Curvature"):
        blocks.sum(Curvature(np.zeros(3), "gram"))


@pytest.mark.parametrize("later", [5, 7])
def test_a_block_that_has_changed_its_length_is_told(later):
    class Growing:
        length = 6

        def read(self):
            return rows(self.length)

        def __str__(self):
            return "a file"

    source = Growing()
    blocks = SerialEngine(memory=1).place(Linear("logistic"), [source])  # read again on each pass
    blocks.sum(ValueGrad(np.zeros(3)))
    source.length = later
    with pytest.raises(DataError, match=f"a file now has {later} rows and had 6 when it was first read"):
        blocks.sum(ValueGrad(np.zeros(3)))


def test_a_model_that_does_not_say_that_it_takes_categories_is_given_indicators():
    class Plain:
        """Squared loss of columns of numbers."""

        def __init__(self):
            self.model, self.given = Linear("squared"), []

        def describe(self, rows, where):
            return self.model.describe(rows, where)

        def build(self, rows, schema, first_row):
            self.given.append((np.asarray(rows.X).tolist(), rows.categories))
            return self.model.build(rows, schema, first_row)

    model = Plain()
    categories = (Category(np.array([1, 0, 1]), np.array(["u", "v"])),)
    source = Given(Rows(np.array([[1.0], [2.0], [3.0]]), np.zeros(3), categories=categories))
    SerialEngine().place(model, [source])
    assert model.given == [([[1.0, 0.0, 1.0], [2.0, 1.0, 0.0], [3.0, 0.0, 1.0]], ())]
