"""What engines of clusters do where no cluster is needed to see it: what they are asked, and what failures become."""

import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest
from distributed import KilledWorker
from ray.exceptions import ObjectLostError, ObjectStoreFullError, RayTaskError, WorkerCrashedError

from fullbatch import (
    BlockError,
    DaskEngine,
    DataError,
    EngineError,
    Linear,
    MissingExtraError,
    RayEngine,
)
from fullbatch.data.ray_ import DatasetBlock
from fullbatch.engines import _dask_cluster, _ray_cluster, dask_, ray_
from fullbatch.engines._ray_config import engine_options
from fullbatch.engines._supervisor import Lost
from fullbatch.run.callbacks_ray_ import RayMetrics


@pytest.mark.parametrize(
    ("package", "made", "extra"),
    [
        ("ray", RayEngine, "ray"),
        ("distributed", DaskEngine, "dask"),
        ("ray.util.metrics", RayMetrics, "ray"),
    ],
)
def test_a_package_that_is_missing_is_told(monkeypatch, package, made, extra):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "ray.util.metrics":
        monkeypatch.delattr("ray.util.metrics", raising=False)
    with pytest.raises(MissingExtraError, match=rf'pip install "fullbatch\[{extra}\]"'):
        made()


def test_engines_say_what_they_are():
    assert repr(RayEngine(3, 2.0)) == "RayEngine(num_workers=3, num_cpus_per_worker=2.0)"
    assert repr(DaskEngine(num_workers=3)) == "DaskEngine(client=None, num_workers=3)"
    with pytest.raises(ValueError, match="num_cpus_per_worker must be positive, got 0"):
        RayEngine(num_cpus_per_worker=0)


def test_a_strategy_of_placing_is_left_to_ray(caplog):
    spread = SimpleNamespace(num_workers=2, resources_per_worker=None, placement_strategy="SPREAD")
    assert engine_options(spread, None) == {"num_workers": 2, "num_cpus_per_worker": 1.0}
    assert "placement_strategy='SPREAD' is not used: Ray chooses the nodes" in caplog.text


def test_metrics_of_blocks_without_a_cluster_have_none_of_one():
    assert RayMetrics(SimpleNamespace())._of_cluster() == {}
    health = SimpleNamespace(workers=2, losses=1, sent=10, received=20)
    told = RayMetrics(SimpleNamespace(health=health))._of_cluster()
    assert told == {"workers": 2, "lost_workers": 1, "sent_bytes": 10, "received_bytes": 20}


@pytest.mark.parametrize("engine", [ray_, dask_])
def test_a_run_of_sources_is_answered_in_order_and_let_go_of(engine):
    released = []

    class Shared:
        def __init__(self, number):
            self.number = number

        def release(self):
            released.append(self.number)

        def __str__(self):
            return f"rows {self.number}"

    run = {3: Shared(3), 4: Shared(4)}
    assert engine._answer_run(lambda index, source: (index, source.number), run) == [(3, 3), (4, 4)]
    assert released == [3, 4]
    with pytest.raises(BlockError, match=r"(?s)block 3 \(rows 3\).*ZeroDivisionError"):
        engine._answer_run(lambda index, source: 1 / 0, run)


def test_what_became_of_a_task_of_ray(monkeypatch):
    def get(answer):
        raise answer[0] if isinstance(answer, list) else answer

    monkeypatch.setattr("ray.get", get)
    wrong = DataError("row 3 is wrong")
    with pytest.raises(DataError, match="row 3 is wrong"):
        ray_._answers(RayTaskError("task", "traceback", wrong))
    with pytest.raises(EngineError, match="a worker was lost, and max_failures allows no more losses"):
        ray_._answers(WorkerCrashedError())
    block = DatasetBlock(2, ObjectLostError("ab" * 28, "owner", "here"), 10, 80)
    with pytest.raises(DataError, match=r"block 2 of the Ray Dataset is lost and Ray cannot make it again: .*Parquet"):
        block.decode(["x"])
    found = _ray_cluster._outcome([ObjectStoreFullError("no room")])
    assert isinstance(found, EngineError)
    assert "a worker's answer" in str(found)


def test_what_became_of_a_task_of_dask():
    class Future:
        status = "error"

        def __init__(self, error):
            self.error = error

        def exception(self):
            return self.error

        def result(self):
            raise self.error

    killed = KilledWorker("task", SimpleNamespace(address="tcp://10.0.0.1:1"), 3)
    with pytest.raises(EngineError, match=r"Dask workers were lost again and again: .*task"):
        dask_._answers(Future(killed))
    assert isinstance(_dask_cluster._failure(Future(killed)), Lost)
    wrong = DataError("row 3 is wrong")
    assert _dask_cluster._failure(Future(wrong)) is wrong
    cancelled = Future(None)
    cancelled.status = "cancelled"
    assert str(_dask_cluster._failure(cancelled)) == "its Dask worker is gone"


def test_calls_are_served_by_the_worker_that_was_started(monkeypatch):
    manager = SimpleNamespace(memory_manager=SimpleNamespace(memory_limit=2**20))
    monkeypatch.setattr("distributed.get_worker", lambda: manager)
    monkeypatch.setattr(_dask_cluster, "_HERE", {})
    asked = []
    worker = SimpleNamespace(sum=lambda request: ("sum", request), close=lambda: None)
    monkeypatch.setattr(_dask_cluster, "RemoteWorker", lambda *told: asked.append(told) or worker)
    serve = _dask_cluster._serve
    model = Linear("logistic")
    assert serve("one", "start", None, model, 2, 1, "auto", 1) is None
    assert asked == [(model, 2, 1, 2**19, 1)]  # half of the limit, at which Dask pauses a worker
    assert serve("one", "sum", None, _dask_cluster._Opaque({"theta": 1})) == ("sum", {"theta": 1})
    failed = serve("one", "no such method", None)
    assert isinstance(failed, _dask_cluster._Failed)
    assert isinstance(failed.error, AttributeError)
    assert serve("one", "sum", None, failed) is failed  # what it needs was not there
    assert serve("two", "sum", failed, 7) is failed  # it never started
    assert serve("one", "end", failed) is None
    assert serve("one", "end", None) is None
    assert _dask_cluster._HERE == {}


class Opened:
    """What an engine opens, and whether it closes it."""

    opened: ClassVar[list] = []
    status = "running"

    def __init__(self, *asked, **options):
        self.asked, self.options = asked, options
        self.opened.append(self)

    def close(self):
        self.status = "closed"

    @classmethod
    def current(cls, allow_global):
        raise ValueError("No clients found")


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:8786", None])
def test_an_engine_of_dask_closes_what_it_opened(monkeypatch, address):
    monkeypatch.setattr(Opened, "opened", [])
    monkeypatch.setattr("distributed.Client", Opened)
    monkeypatch.setattr("distributed.LocalCluster", Opened)
    engine = DaskEngine(address=address, num_workers=2)
    engine.client = engine._found()
    *clusters, client = Opened.opened
    assert engine.client is client
    assert client.options == {"set_as_default": False}
    assert client.asked == ((address,) if address else (clusters[0],))
    if address is None:
        assert clusters[0].options["n_workers"] == 2
        assert clusters[0].options["host"] == "127.0.0.1"  # nobody else's
    engine.close()
    assert {one.status for one in Opened.opened} == {"closed"}
    assert engine.client is None


@pytest.mark.parametrize("address", ["10.0.0.1:6379", None])
def test_an_engine_of_ray_shuts_down_what_it_started(monkeypatch, address):
    told = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **options: told.append(options["address"]))
    monkeypatch.setattr("ray.shutdown", lambda: told.append("shutdown"))
    monkeypatch.setattr(ray_, "wait_until_answered", lambda *asked: told.append(asked))
    engine = RayEngine(address=address, start_timeout=7.0)
    engine.close()
    assert told == []  # it has started nothing yet
    engine._connect()
    engine.close()
    engine.close()
    assert told == [*([(address, 7.0)] if address else []), address or "local", "shutdown"]
