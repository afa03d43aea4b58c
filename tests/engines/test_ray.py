import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fullbatch import DataError, EngineError, RayEngine, SerialEngine
from fullbatch.data.arrays import array_sources
from fullbatch.models.linear import Linear
from fullbatch.protocols import Rows, ValueGrad
from fullbatch.testing import check_engine

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_contract(workers):
    engine = RayEngine(workers)
    check_engine(engine)
    engine.close()


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


def test_killed_worker_is_replaced_within_the_budget(ray_session):
    rng = np.random.default_rng(0)
    X, y = rng.random((200, 4)), np.arange(200) % 2
    sources = array_sources(X, y, blocks=7)
    request = ValueGrad(rng.standard_normal(5))
    expected = SerialEngine().place(Linear("logistic"), sources).sum(request)
    blocks = RayEngine(3, max_failures=1).place(Linear("logistic"), sources)
    try:
        ray_session.kill(blocks._workers[1])
        answer = blocks.sum(request)
        assert answer.grad.tobytes() == expected.grad.tobytes()
        assert answer.value == expected.value
        ray_session.kill(blocks._workers[0])
        with pytest.raises(EngineError, match=r"worker 0 of 3 was lost with blocks 0\.\.2"):
            blocks.sum(request)
    finally:
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
        print(len(blocks._workers), len({node["NodeID"] for node in ray.nodes() if node["Alive"]}))
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
        ray_session.kill(blocks._workers[0])
        with pytest.raises(DataError, match="the data has changed since it was first read"):
            blocks.sum(ValueGrad(np.zeros(3)))
    finally:
        blocks.close()


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
