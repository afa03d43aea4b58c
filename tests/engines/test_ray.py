import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from fullbatch import DataError, EngineError, RayEngine, SerialEngine
from fullbatch.data.arrays import array_sources
from fullbatch.engines._ray_address import wait_until_answered
from fullbatch.models.linear import Linear
from fullbatch.protocols import HessVec, Rows, ValueGrad
from fullbatch.testing import check_engine

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.mark.parametrize("workers", [2, *(pytest.param(workers, marks=pytest.mark.slow) for workers in (1, 3))])
def test_contract(workers):
    engine = RayEngine(workers)
    check_engine(engine)
    engine.close()


@pytest.mark.slow
def test_threads_in_a_worker(ray_session):
    check_engine(RayEngine(1, num_cpus_per_worker=2))
    assert ray_session.is_initialized(), "an engine must not shut down a Ray it did not start"


def test_more_workers_than_the_cluster_can_ever_hold():
    X, y = np.ones((20, 2)), np.arange(20) % 2
    with pytest.raises(EngineError, match=r"20 workers of 1 CPUs .* hold at most 6 .*num_cpus_per_worker=0\.3"):
        RayEngine(20).place(Linear("logistic"), array_sources(X, y, blocks=20))


def test_busy_cluster_is_a_clear_error():
    X, y = np.ones((20, 2)), np.arange(20) % 2
    sources = array_sources(X, y, blocks=6)
    holding = RayEngine(6).place(Linear("logistic"), sources)
    try:
        with pytest.raises(EngineError, match=r"did not start within 1 s.*0 CPUs of the cluster are free"):
            RayEngine(2, start_timeout=1).place(Linear("logistic"), sources)
        with pytest.raises(EngineError, match=r"no task could be started within 1 s: .*0 CPUs of the cluster are free"):
            list(RayEngine(2, start_timeout=1).map(lambda number, source: number, sources))
    finally:
        holding.close()


def test_large_theta_goes_through_one_put():
    rng = np.random.default_rng(0)
    X, y = rng.random((30, 20_000)), np.arange(30) % 2
    sources = array_sources(X, y, blocks=5)
    blocks, expected = (engine.place(Linear("logistic"), sources) for engine in (RayEngine(2), SerialEngine()))
    request = ValueGrad(rng.standard_normal(20_001))
    assert request.theta.nbytes > 100 * 1024
    assert blocks.sum(request).grad.tobytes() == expected.sum(request).grad.tobytes()
    blocks.close()


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X, y = rng.random((200, 4)), np.arange(200) % 2
    sources = array_sources(X, y, blocks=7)
    request = ValueGrad(rng.standard_normal(5))
    return sources, request, SerialEngine().place(Linear("logistic"), sources).sum(request)


def pid_of(blocks, number):
    """Process of a worker."""
    import ray

    return ray.get(blocks._members[number].worker.__ray_call__.remote(lambda worker: os.getpid()))


def test_killed_worker_is_replaced_within_the_budget(problem):
    sources, request, expected = problem
    blocks = RayEngine(3, max_failures=1).place(Linear("logistic"), sources)
    try:
        os.kill(pid_of(blocks, 1), signal.SIGKILL)
        answer = blocks.sum(request)
        assert answer.grad.tobytes() == expected.grad.tobytes()
        assert answer.value == expected.value
        assert blocks.health.workers == 3
        assert blocks.health.losses == 1
        os.kill(pid_of(blocks, 0), signal.SIGKILL)
        with pytest.raises(
            EngineError, match=r"worker 0 of 3 was lost with blocks 0\.\.2 \(.*max_failures=1 allows no"
        ):
            blocks.sum(request)
    finally:
        blocks.close()


@pytest.mark.slow
def test_the_others_take_over_where_there_is_no_room(problem, ray_session, monkeypatch):
    sources, request, expected = problem
    blocks = RayEngine(3, max_failures=1).place(Linear("logistic"), sources)
    try:
        monkeypatch.setattr("fullbatch.engines._supervisor._PATIENCE", 0.0)
        monkeypatch.setattr(blocks._cluster, "room", lambda: 0)
        ray_session.kill(blocks._members[2].worker)
        assert blocks.sum(request).grad.tobytes() == expected.grad.tobytes()
        assert blocks.health.workers == 2
    finally:
        blocks.close()


@pytest.mark.slow
def test_hanging_worker_is_ended_and_replaced(problem):
    sources, request, expected = problem
    blocks = RayEngine(2, max_failures=1, timeout=10).place(Linear("logistic"), sources)
    try:
        hanging = pid_of(blocks, 1)
        os.kill(hanging, signal.SIGSTOP)
        assert blocks.sum(request).grad.tobytes() == expected.grad.tobytes()
        assert blocks.health.losses == 1
        wait_until(lambda: not os.path.exists(f"/proc/{hanging}"), "the hanging process was not ended")
    finally:
        blocks.close()


def wait_until(condition, message):
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up, message
        time.sleep(0.1)


class FailsOnce:
    """A source that does something bad to its first reader."""

    def __init__(self, source, flag, bad):
        self.source, self.flag, self.bad = source, flag, bad

    def read(self):
        if not self.flag.exists():
            self.flag.touch()
            self.bad()
        return self.source.read()


def die():
    """As by the kernel when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def run_out():
    """Ask for more memory than the process may have."""
    resource.setrlimit(resource.RLIMIT_AS, (2**33, resource.RLIM_INFINITY))
    np.ones(2**31)


@pytest.fixture(autouse=True)
def classes_of_tests_travel_by_value():
    """Workers cannot import the tests."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_worker_lost_while_placing_is_replaced(problem, tmp_path):
    sources, request, expected = problem
    sources = [*sources[:5], FailsOnce(sources[5], tmp_path / "died", die), sources[6]]
    with pytest.raises(EngineError, match=r"worker 1 of 2 was lost with blocks 4\.\.6"):
        RayEngine(2).place(Linear("logistic"), sources)
    (tmp_path / "died").unlink()
    blocks = RayEngine(2, max_failures=1).place(Linear("logistic"), sources)
    assert blocks.sum(request).grad.tobytes() == expected.grad.tobytes()
    blocks.close()


def test_worker_out_of_memory_is_replaced(problem, tmp_path):
    sources, request, expected = problem
    sources = [*sources[:6], FailsOnce(sources[6], tmp_path / "limited", run_out)]
    with pytest.raises(EngineError, match=r"worker 1 of 2 .*out of memory: block 6 \(.*Unable to allocate 16"):
        RayEngine(2).place(Linear("logistic"), sources)
    (tmp_path / "limited").unlink()
    blocks = RayEngine(2, max_failures=1).place(Linear("logistic"), sources)
    assert blocks.sum(request).grad.tobytes() == expected.grad.tobytes()
    blocks.close()


def test_large_answers_are_added_by_the_workers(ray_session):
    size = 200_000
    rng = np.random.default_rng(0)
    X = sparse.random_array((40, size), density=1e-4, rng=rng, format="csr")
    sources = array_sources(X, np.arange(40) % 2, blocks=7)
    model = Linear("logistic")
    expected = SerialEngine().place(model, sources)
    blocks = RayEngine(3, max_failures=1).place(model, sources)
    gradient = ValueGrad(rng.standard_normal(size + 1))
    product = HessVec(*rng.standard_normal((2, size + 1)))
    assert bytes_of(blocks.sum(gradient)) == bytes_of(expected.sum(gradient))
    ray_session.kill(blocks._members[0].worker)
    assert bytes_of(blocks.sum(product)) == bytes_of(expected.sum(product))
    blocks.close()


def bytes_of(answer):
    return [np.asarray(getattr(answer, field)).tobytes() for field in type(answer).__dataclass_fields__]


def test_an_actor_that_could_not_be_reached_is_asked_again(problem, monkeypatch):
    """Unreachable for a moment is not lost: Ray's answer to one request is replaced by what it says then."""
    import ray
    from ray.exceptions import ActorUnavailableError

    sources, request, expected = problem
    blocks = RayEngine(2).place(Linear("logistic"), sources)
    get, cut_off = ray.get, [3]  # all at once, then each of the two alone

    def unreachable(references, **options):
        if cut_off[0]:
            cut_off[0] -= 1
            raise ActorUnavailableError("cut off, says the test", None)
        return get(references, **options)

    monkeypatch.setattr(ray, "get", unreachable)
    assert bytes_of(blocks.sum(request)) == bytes_of(expected)
    assert cut_off == [0]
    blocks.close()


def test_full_object_store_is_a_clear_error(ray_session, monkeypatch):
    """Ray (2.60) says so only once the disk is full too, to which it goes on first."""
    import ray
    from ray.exceptions import ObjectStoreFullError

    from fullbatch.engines import _ray_cluster

    sources = array_sources(np.ones((4, 20_000), np.uint8), [0, 1, 0, 1])
    request = ValueGrad(np.zeros(20_001))  # more than goes inside a call
    expected = SerialEngine().place(Linear("logistic"), sources).sum(request)
    blocks = RayEngine(1).place(Linear("logistic"), sources)
    waited = []

    def full(value):
        raise ObjectStoreFullError("says the test")

    with monkeypatch.context() as there:
        there.setattr(ray, "put", full)
        there.setattr(_ray_cluster.time, "sleep", waited.append)
        with pytest.raises(EngineError, match="Ray's object store is full: a ValueGrad does not fit"):
            blocks.sum(request)
    assert waited == [1.0, 5.0]
    assert bytes_of(blocks.sum(request)) == bytes_of(expected)
    blocks.close()


@pytest.mark.slow
def test_starts_and_stops_its_own_ray_and_ctrl_c_keeps_the_best_iterate():
    program = textwrap.dedent("""
        import numpy as np, ray
        from fullbatch import LogisticRegression, RayEngine, StopWhen
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((3000, 50)), rng.integers(0, 3, 3000)
        engine = RayEngine(2)
        started = StopWhen(lambda iterate: print("iterating", flush=True))
        model = LogisticRegression(engine=engine, tol=0, max_iter=10**6, callbacks=[started]).fit(X, y)
        print(model.result_.status, model.result_.iterations > 0, ray.is_initialized())
        engine.close()
        print(ray.is_initialized())
    """)
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], stdout=subprocess.PIPE, text=True)
    for _ in range(2):
        assert process.stdout.readline() == "iterating\n"
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    told = [line for line in output.splitlines() if line != "iterating"]
    assert told[0] in ("Status.INTERRUPTED True True", "Status.PRECISION True True")
    assert told[1] == "False"


@pytest.mark.slow
def test_connects_to_a_running_cluster_and_leaves_it_running():
    program = textwrap.dedent("""
        import numpy as np, ray
        from ray.cluster_utils import Cluster
        from fullbatch import Linear, RayEngine, array_sources
        cluster = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=2)
        engine = RayEngine(address=cluster.address)
        blocks = engine.place(Linear("logistic"), array_sources(np.ones((40, 2)), np.arange(40) % 2, blocks=8))
        print(blocks.health.workers, len({node["NodeID"] for node in ray.nodes() if node["Alive"]}))
        blocks.close()
        engine.close()
        print(ray.is_initialized())
        ray.init(address=cluster.address, log_to_driver=False)
        print(ray.cluster_resources()["CPU"])
        ray.shutdown()
        cluster.shutdown()
    """)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout.split() == ["3", "2", "False", "3.0"], done.stderr


def test_a_worker_shares_its_node_with_as_many_as_that_holds_also_if_it_joined_later(monkeypatch):
    import ray

    from fullbatch.engines import _memory, _ray_cluster

    cpus = {"small": 2.0}

    def nodes():
        return [{"NodeID": one, "Alive": True, "Resources": {"CPU": count}} for one, count in cpus.items()]

    def budget_on(node):
        with monkeypatch.context() as there:
            there.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: node))
            return cluster.start().plan.budget

    monkeypatch.setattr(ray, "nodes", nodes)
    here = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=_ray_cluster._RayWorker))
    monkeypatch.setattr(_ray_cluster, "_WorkerActor", here)
    monkeypatch.setattr(_memory, "available_memory", lambda: 8_000_000)
    cluster = _ray_cluster.RayCluster(Linear("logistic"), 64, 1.0, "auto", 2)
    assert budget_on("small") == 2_000_000
    cpus["large"] = 8.0
    assert cluster.grown() == 8
    assert budget_on("large") == 500_000
    assert budget_on("small") == 2_000_000


def test_data_that_changed_since_is_not_rebuilt(ray_session, tmp_path):
    path = tmp_path / "X.npy"

    class File:
        def read(self):
            X = np.load(path)
            return Rows(X, np.arange(len(X)) % 2)

    np.save(path, np.ones((10, 2)))
    blocks = RayEngine(1, max_failures=1).place(Linear("logistic"), [File()])
    try:
        np.save(path, np.full((10, 2), 2.0))
        ray_session.kill(blocks._members[0].worker)
        with pytest.raises(DataError, match="the data has changed since it was first read"):
            blocks.sum(ValueGrad(np.zeros(3)))
    finally:
        blocks.close()


@pytest.mark.slow
def test_asking_after_ray_was_shut_down_starts_no_other():
    program = textwrap.dedent("""
        import numpy as np, ray
        from fullbatch import Linear, RayEngine, array_sources
        from fullbatch.protocols import ValueGrad
        engine = RayEngine(1)
        blocks = engine.place(Linear("logistic"), array_sources(np.ones((4, 2)), [0, 1, 0, 1]))
        engine.close()
        try:
            blocks.sum(ValueGrad(np.zeros(3)))
        except RuntimeError as error:
            print(error)
        blocks.close()
        print(ray.is_initialized())
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.splitlines() == ["these blocks are closed: place them again", "False"], done.stderr


@pytest.mark.slow
def test_workers_fill_the_bundles_reserved_for_the_task_that_starts_them(ray_session):
    from ray.util import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group = placement_group([{"CPU": 1}, {"CPU": 1}, {"CPU": 1}])
    ray_session.get(group.ready())
    inside = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
    )

    @ray_session.remote(num_cpus=1, scheduling_strategy=inside)
    def count(workers):
        import logging

        warned = []
        handler = logging.Handler()
        handler.emit = warned.append
        logging.getLogger("fullbatch").addHandler(handler)
        sources = array_sources(np.ones((40, 2)), np.arange(40) % 2, blocks=8)
        try:
            blocks = RayEngine(workers).place(Linear("logistic"), sources)
        except EngineError as error:
            return str(error)
        members = blocks.health.workers
        blocks.close()
        return members, len(warned)

    try:
        assert ray_session.get(count.remote(None)) == (2, 0)  # one bundle is the task's own
        assert ray_session.get(count.remote(2))[0] == 2
        assert "4 workers of 1 CPUs each can never be placed" in ray_session.get(count.remote(4))
    finally:
        remove_placement_group(group)


def test_a_cluster_answers_at_its_address(ray_session, caplog):
    address = ray_session.get_runtime_context().gcs_address
    wait_until_answered(address, 30.0)
    RayEngine(address=address)._connect()
    assert not caplog.records


def test_what_ray_tells_of_free_cpus_may_be_late(monkeypatch):
    told = iter([0.0, 1.0, 1.0, 3.0])
    monkeypatch.setattr("fullbatch.engines._ray_cluster.free_cpus", lambda: next(told))
    assert RayEngine()._free_workers(2) == 3
    monkeypatch.setattr("fullbatch.engines._ray_cluster.free_cpus", lambda: 1.0)
    assert RayEngine()._free_workers(2) == 1
    assert RayEngine(num_cpus_per_worker=0.5)._free_workers(2) == 2
