import logging
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from fullbatch import DataError, Linear, LogisticRegression, RayEngine, SerialEngine, ThreadEngine, array_sources
from fullbatch.engines import _memory
from fullbatch.engines._block_cache import BlockCache
from fullbatch.engines._memory import allot, budget, check_memory
from fullbatch.protocols import (
    Curvature,
    HessVec,
    Rows,
    RowSample,
    SampleGrams,
    Size,
    Squares,
    ValueGrad,
)
from fullbatch.protocols.schema import Moments

ROWS, COLUMNS, BLOCKS = 400, 5, 10
BYTES = 8 * (COLUMNS + 1) * ROWS // BLOCKS  # of a block

REQUESTS = [
    lambda size, rng: ValueGrad(rng.standard_normal(size)),
    lambda size, rng: ValueGrad(rng.standard_normal((3, size))),
    lambda size, rng: HessVec(rng.standard_normal(size), rng.standard_normal(size)),
    lambda size, rng: Curvature(rng.standard_normal(size), "gram"),
    lambda size, rng: Curvature(rng.standard_normal(size), "diagonal"),
    lambda size, rng: Curvature(rng.standard_normal(size), "rows", 0.5, 3),
    lambda size, rng: RowSample(0.3, 7),
    lambda size, rng: SampleGrams(rng.standard_normal(size), fraction=0.3, seed=7),
    lambda size, rng: Squares(folds=3, seed=1),
    lambda size, rng: Squares(exact=True),
]


@dataclass(frozen=True)
class Remade:
    """Rows that are in no memory until they are read."""

    number: int
    told: bool = True
    sparse: bool = False
    reads: Counter | None = None

    @property
    def size(self):
        return Size(ROWS // BLOCKS, BYTES) if self.told else None

    def read(self):
        if self.reads is not None:
            self.reads[self.number] += 1
        rng = np.random.default_rng(self.number)
        X = rng.standard_normal((ROWS // BLOCKS, COLUMNS))
        return Rows(
            sp.csr_array(X * (X > 0)) if self.sparse else X, X @ np.arange(COLUMNS) + rng.standard_normal(len(X))
        )

    def __str__(self):
        return f"remade {self.number}"


def of_bytes(answer):
    fields = [getattr(answer, name) for name in answer.__dataclass_fields__]
    fields = [part for field in fields for part in (field if isinstance(field, tuple) else (field,))]
    nested = [byte for field in fields if isinstance(field, Moments) for byte in of_bytes(field)]
    fields = [field for field in fields if not isinstance(field, Moments)]
    sparse = [field for field in fields if hasattr(field, "indptr")]
    fields = [field for field in fields if not hasattr(field, "indptr")]
    fields += [part for field in sparse for part in (field.data, field.indices, field.indptr)]
    own = [np.asarray(field).tobytes() for field in fields if field is not None and not hasattr(field, "grad")]
    return own + nested


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("engine", [SerialEngine, ThreadEngine])
def test_every_request_has_the_same_bytes_whatever_the_budget(engine, told, sparse):
    sources = [Remade(number, told, sparse) for number in range(BLOCKS)]
    whole = SerialEngine().place(Linear("squared"), sources)
    assert whole.plan.streamed == 0
    for blocks_that_fit in (0, 4, 7):
        placed = engine(memory=max(1, blocks_that_fit * BYTES)).place(Linear("squared"), sources)
        assert placed.plan.streamed > 0
        assert placed.schema.mean.tobytes() == whole.schema.mean.tobytes()
        for request in REQUESTS:
            asked = request(placed.parameters.size, np.random.default_rng(0))
            assert of_bytes(placed.sum(asked)) == of_bytes(whole.sum(asked)), asked
        placed.close()


def test_blocks_beyond_the_budget_are_read_once_on_each_pass_and_others_once():
    reads = Counter()
    sources = [Remade(number, reads=reads) for number in range(BLOCKS)]
    blocks = SerialEngine(memory=6 * BYTES).place(Linear("squared"), sources)
    assert reads == Counter(range(BLOCKS))
    for _ in range(3):
        blocks.sum(ValueGrad(np.zeros(COLUMNS + 1)))
    # Two of the six that fit are for the block that is computed and the one that is read meanwhile.
    assert [reads[number] for number in range(BLOCKS)] == [1, 1, 1, 1, 4, 4, 4, 4, 4, 4]
    assert (blocks.plan.rows, blocks.plan.streamed, blocks.plan.streamed_bytes) == (ROWS, 6, 6 * BYTES)
    assert blocks.plan.peak == 6 * BYTES
    blocks.close()


def test_a_fit_on_ray_under_a_budget(ray_session):
    ray_session.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    sources = [Remade(number) for number in range(BLOCKS)]
    request = ValueGrad(np.linspace(-1, 1, COLUMNS + 1))
    expected = SerialEngine().place(Linear("squared"), sources).sum(request)
    blocks = RayEngine(2, memory=3 * BYTES).place(Linear("squared"), sources)
    try:
        assert (blocks.plan.workers, blocks.plan.streamed, blocks.plan.rows) == (2, 8, ROWS)
        for _ in range(2):
            assert of_bytes(blocks.sum(request)) == of_bytes(expected)
    finally:
        blocks.close()


def test_reading_goes_on_while_a_block_is_computed():
    class Waiting:
        """A model whose blocks are computed only once another one was read meanwhile."""

        def describe(self, rows, source):
            return Linear("squared").describe(rows, source)

        def build(self, rows, schema, first_row):
            block = Linear("squared").build(rows, schema, first_row)
            evaluate = block.evaluate

            def waits(request):
                with counting:
                    counts["computed"] += 1
                    enough = min(counts["computed"] + 1, BLOCKS)
                    assert counting.wait_for(lambda: counts["read"] >= enough, 60), "nothing is read meanwhile"
                return evaluate(request)

            block.evaluate = waits
            return block

    class Told(Remade):
        def read(self):
            with counting:
                counts["read"] += 1
                counting.notify_all()
            return super().read()

    counts, counting = Counter(), threading.Condition()
    blocks = SerialEngine(memory=2 * BYTES).place(Waiting(), [Told(number) for number in range(BLOCKS)])
    counts.clear()
    blocks.sum(ValueGrad(np.zeros(COLUMNS + 1)))
    assert counts == {"read": BLOCKS, "computed": BLOCKS}
    blocks.close()


def test_no_more_blocks_are_in_memory_than_planned():
    alive, most, lock = 0, 0, threading.Lock()

    class Watched(np.ndarray):
        def __del__(self):
            nonlocal alive
            if getattr(self, "counted", False):
                with lock:
                    alive -= 1

    class Counted(Remade):
        def read(self):
            nonlocal alive, most
            rows = super().read()
            X = rows.X.view(Watched)
            X.counted = True
            with lock:
                alive, most = alive + 1, max(most, alive + 1)
            return Rows(X, rows.y)

    sources = [Counted(number) for number in range(BLOCKS)]
    blocks = ThreadEngine(2, memory=6 * BYTES).place(Linear("squared"), sources)
    for _ in range(3):
        blocks.sum(ValueGrad(np.zeros(COLUMNS + 1)))
    assert most <= 6
    blocks.close()
    assert alive == 0


def test_data_that_changes_its_length_between_passes_is_told():
    class Shrinking(Remade):
        def read(self):
            rows = super().read()
            return rows if len(calls) < BLOCKS else Rows(rows.X[1:], rows.y[1:])

    calls = []
    blocks = SerialEngine(memory=BYTES).place(Linear("squared"), [Shrinking(number) for number in range(BLOCKS)])
    blocks.sum(ValueGrad(np.zeros(COLUMNS + 1)))
    calls += range(BLOCKS)
    with pytest.raises(DataError, match=r"remade 0 now has 39 rows and had 40 .*the data has changed"):
        blocks.sum(ValueGrad(np.zeros(COLUMNS + 1)))
    blocks.close()


def test_arrays_in_memory_are_never_streamed():
    X = np.random.default_rng(0).standard_normal((100, 3))
    blocks = SerialEngine(memory=1).place(Linear("squared"), array_sources(X, X[:, 0], blocks=4))
    assert (blocks.plan.streamed, blocks.plan.nbytes) == (0, X.nbytes + 800)
    blocks.close()


def test_the_plan_is_logged_before_anything_is_read(caplog):
    class Never(Remade):
        def read(self):
            raise OSError("not now")

    caplog.set_level(logging.INFO, "fullbatch.plan")
    with pytest.raises(RuntimeError, match="not now"):
        SerialEngine(memory=4 * BYTES).place(Linear("squared"), [Never(number) for number in range(BLOCKS)])
    assert caplog.messages == [
        "400 rows in 10 blocks, 19.2 kB: 8 of them (15.4 kB) are read on each pass; workers: 1 of 1 thread; "
        "memory budget 7.68 kB, expected peak 7.68 kB"
    ]
    caplog.clear()
    SerialEngine(memory=100).place(Linear("squared"), [Remade(number) for number in range(BLOCKS)]).close()
    assert "takes 1.92 kB and the memory budget is 100 B: give more memory" in caplog.messages[1]
    caplog.clear()
    SerialEngine(memory=5000).place(Linear("squared"), [Remade(number, False) for number in range(BLOCKS)]).close()
    assert caplog.messages[0].startswith("10 blocks of a size that is known once they are read: all stay in memory")
    assert "10 of them (19.2 kB) are read on each pass" in caplog.messages[1]


def test_an_estimator_under_a_budget():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 4)), rng.integers(0, 3, 300)

    class Unheld:
        def __init__(self, source):
            self.read = source.read

    sources = [Unheld(source) for source in array_sources(X, y, blocks=6)]
    models = [LogisticRegression(engine=SerialEngine(memory=memory)).fit(sources) for memory in ("auto", "4kB")]
    assert models[0].coef_.tobytes() == models[1].coef_.tobytes()


def test_spending_a_budget():
    sizes = dict.fromkeys(range(10), Size(1, 100, reading=20, shared=50))
    assert allot(sizes, None, 2) == (frozenset(range(10)), 2, 1000 + 40 + 50)
    assert allot(sizes, 1090, 2).kept == frozenset(range(10))
    # Four lanes of 120 and the shared 50: what is left keeps the first blocks.
    assert allot(sizes, 1089, 2) == (frozenset(range(5)), 4, 4 * 120 + 50 + 500)
    assert allot(sizes, 300, 2) == (frozenset(), 2, 290)
    assert allot(sizes, 1, 2) == (frozenset(), 1, 170)
    held = {**sizes, 9: Size(1, 10**9, held=True)}
    assert allot(held, 300, 2).kept == frozenset({9})


def test_the_plan_tells_what_is_kept_where_blocks_turn_out_smaller_than_told():
    rows = Remade(0).read()
    told = dict.fromkeys(range(4), SimpleNamespace(size=Size(len(rows.X), 4 * BYTES)))
    cache = BlockCache(12 * BYTES, 1)
    cache.add(told)
    for number in told:
        cache.put(number, rows, rows)
    kept = [number for number in told if cache.get(number) is not None]
    assert kept == [0]  # beside the two lanes of blocks as large as told
    assert (cache.plan.streamed, cache.plan.streamed_bytes) == (3, 3 * BYTES)
    assert cache.plan.peak == 3 * BYTES


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("auto", None),
        (5, 5),
        ("2GB", 2 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("3 KiB", 3072),
        ("5MiB", 5 * 2**20),
        ("1TIB", 2**40),
        ("100", 100),
        ("7kb", 7000),
        ("3M", 3 * 10**6),
        ("1T", 10**12),
    ],
)
def test_amounts_of_memory(given, meant):
    assert check_memory(given) == meant


@pytest.mark.parametrize("wrong", ["", "much", "-1GB", "GB", 0, -5, "1..5GB", "2 XB", None, True, float("nan")])
def test_no_amounts_of_memory(wrong):
    with pytest.raises(ValueError, match='memory must be "auto", bytes, or a text like'):
        ThreadEngine(memory=wrong)


def test_auto_is_a_share_of_what_machine_and_control_groups_leave(tmp_path, monkeypatch):
    assert _memory.available_memory() > 2**20
    with monkeypatch.context() as context:
        context.setattr(_memory, "available_memory", lambda: 2**30)
        assert (budget("auto"), budget("auto", workers=4)) == (2**29, 2**27)
    root, own = tmp_path / "root", tmp_path / "own"
    (root / "a" / "b").mkdir(parents=True)
    own.write_text("0::/a/b\n")
    for group, most in {"..": "800", "a": "1000", "a/b": "max"}.items():  # what is above the root is no group
        (root / group / "memory.max").write_text(f"{most}\n")
        (root / group / "memory.current").write_text("700\n")
    (root / "a" / "memory.stat").write_text("anon 600\ninactive_file 100\n")
    assert _memory._free_in_groups(str(root), str(own)) == [400]
    (root / "memory" / "job").mkdir(parents=True)
    own.write_text("5:cpu:/job\n4:memory:/job\n")
    for group in ("..", "job"):
        (root / "memory" / group / "memory.limit_in_bytes").write_text("1000\n")
        (root / "memory" / group / "memory.usage_in_bytes").write_text("900\n")
    assert _memory._free_in_groups(str(root), str(own)) == [100]
    monkeypatch.setattr(_memory, "_free_in_groups", lambda: [10])
    assert budget("auto") == 5


def check_streaming(kind, megabytes, budget, folder):
    from benchmarks.streaming import compare

    found = compare(kind, megabytes, budget, folder)
    assert found["same_bytes"]
    assert found["in_memory"]["streamed"] == 0
    assert found["streamed"]["streamed"] > 0.5 * found["streamed"]["blocks"]
    assert found["streamed"]["data_MB"] > 3.9 * budget
    assert found["streamed"]["peak_anonymous_MB"] < budget + 300, found


def test_data_of_four_times_the_budget_gives_the_same_bytes_within_the_budget_and_300_mb(tmp_path):
    check_streaming("npy", 80, 20, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "megabytes", "budget"), [("npy", 2048, 512), ("parquet", 1024, 256)])
def test_large_data_of_four_times_the_budget(tmp_path, kind, megabytes, budget):
    check_streaming(kind, megabytes, budget, tmp_path)
