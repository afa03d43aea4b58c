import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from fullbatch import DaskEngine, EngineError, SerialEngine
from fullbatch.data.arrays import array_sources
from fullbatch.engines._dask_cluster import DaskCluster, dask_workers
from fullbatch.models.linear import Linear
from fullbatch.protocols import HessVec, ValueGrad
from fullbatch.testing import check_engine


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X, y = rng.random((200, 4)), np.arange(200) % 2
    sources = array_sources(X, y, blocks=7)
    request = ValueGrad(rng.standard_normal(5))
    return sources, request, SerialEngine().place(Linear("logistic"), sources).sum(request)


@pytest.fixture
def whole(dask_client):
    """The client, once all workers are there: those that a test before has ended are replaced by their nannies."""
    dask_client.wait_for_workers(3, timeout=60)
    return dask_client


def bytes_of(answer):
    return [np.asarray(getattr(answer, field)).tobytes() for field in type(answer).__dataclass_fields__]


def pid_of(blocks, number, client):
    """Process of a worker."""
    address = blocks._members[number].worker.place.address
    return client.submit(os.getpid, workers=[address], pure=False).result()


@pytest.mark.parametrize("workers", [2, *(pytest.param(workers, marks=pytest.mark.slow) for workers in (1, 3))])
def test_contract(whole, workers):
    engine = DaskEngine(whole, num_workers=workers)
    check_engine(engine)
    engine.close()
    assert whole.status == "running", "an engine must not close a client it did not open"


def test_workers_are_left_as_they_were(whole, problem):
    sources, request, expected = problem

    def here():
        from fullbatch.engines import _dask_cluster

        return len(_dask_cluster._HERE)

    blocks = DaskEngine(whole).place(Linear("logistic"), sources)
    assert bytes_of(blocks.sum(request)) == bytes_of(expected)
    assert set(whole.run(here).values()) == {1}
    blocks.close()
    wait_until(lambda: set(whole.run(here).values()) == {0}, "closed blocks stay on their workers")


def test_what_the_client_keeps_of_its_scheduler_is_not_asked(whole):
    """It names no workers every other second, and what is taken for lost is ended."""
    poll = whole._periodic_callbacks["scheduler-info"]

    def every(milliseconds):
        poll.stop()
        poll.callback_time = milliseconds
        poll.start()

    whole.loop.add_callback(every, 1.0)
    try:
        assert {len(dask_workers(whole)) for _ in range(500)} == {3}
    finally:
        whole.loop.add_callback(every, 2000.0)


def test_workers_are_those_of_before_while_the_scheduler_does_not_answer(whole, monkeypatch):
    cluster = DaskCluster(whole, Linear("logistic"), 1, "auto", 1.0)
    there = cluster.room()

    async def broken(**_):
        raise OSError("connection lost")

    monkeypatch.setattr(whole.scheduler, "identity", broken, raising=False)
    assert cluster.room() == there == 3


def wait_until(condition, message):
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up, message
        time.sleep(0.1)


def test_killed_worker_is_replaced_within_the_budget(whole, problem):
    sources, request, expected = problem
    blocks = DaskEngine(whole, num_workers=2, max_failures=1).place(Linear("logistic"), sources)
    try:
        os.kill(pid_of(blocks, 1, whole), signal.SIGKILL)
        assert bytes_of(blocks.sum(request)) == bytes_of(expected)
        assert blocks.health.workers == 2  # the third Dask worker was there
        assert blocks.health.losses == 1
        os.kill(pid_of(blocks, 0, whole), signal.SIGKILL)
        with pytest.raises(EngineError, match=r"worker 0 of 2 was lost with blocks 0\.\.3 .its Dask worker is gone"):
            blocks.sum(request)
    finally:
        blocks.close()


def test_hanging_worker_is_ended_and_replaced(whole, problem):
    sources, request, expected = problem
    blocks = DaskEngine(whole, max_failures=1, timeout=5).place(Linear("logistic"), sources)
    try:
        hanging = pid_of(blocks, 1, whole)
        os.kill(hanging, signal.SIGSTOP)
        assert bytes_of(blocks.sum(request)) == bytes_of(expected)
        assert blocks.health.losses == 1
        wait_until(lambda: not os.path.exists(f"/proc/{hanging}"), "the hanging process was not ended")
    finally:
        blocks.close()


def test_large_answers_are_added_by_the_workers(whole):
    size = 200_000
    rng = np.random.default_rng(0)
    X = sparse.random_array((40, size), density=1e-4, rng=rng, format="csr")
    sources = array_sources(X, np.arange(40) % 2, blocks=7)
    expected = SerialEngine().place(Linear("logistic"), sources)
    blocks = DaskEngine(whole, max_failures=1).place(Linear("logistic"), sources)
    gradient = ValueGrad(rng.standard_normal(size + 1))
    product = HessVec(*rng.standard_normal((2, size + 1)))
    assert bytes_of(blocks.sum(gradient)) == bytes_of(expected.sum(gradient))
    os.kill(pid_of(blocks, 2, whole), signal.SIGKILL)
    assert bytes_of(blocks.sum(product)) == bytes_of(expected.sum(product))
    blocks.close()


def told(client, address):
    """What Dask tells of a worker."""
    return dask_workers(client)[address]


@contextlib.contextmanager
def two_of_which_one_can_pause():
    """A client of two Dask workers in this process, and what sets the status of one of them."""
    dask = import_module("dask")
    from distributed import Client, LocalCluster
    from distributed.core import Status

    def becomes(status, dask_worker):
        dask_worker.status = status

    quiet = {"distributed.worker.memory.monitor-interval": "1h"}  # else Dask resumes it, as it has memory
    local = {"processes": False, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": "1GB"}
    with dask.config.set(quiet), LocalCluster(n_workers=2, **local) as cluster, Client(cluster) as client:

        def turn(address, status):
            client.run(becomes, Status[status], workers=[address])
            wait_until(lambda: told(client, address)["status"] == status, f"it is not {status}")

        yield client, turn


@pytest.mark.parametrize("columns", [6, 15_000], ids=["inside the call", "large"])
def test_a_paused_worker_is_waited_for_and_the_budget_keeps_clear_of_its_limit(columns):
    X = np.random.default_rng(0).random((20, columns), np.float32)
    sources, request = array_sources(X, np.arange(20) % 2, blocks=4), ValueGrad(np.full(columns + 1, 1e-3))
    expected = SerialEngine().place(Linear("logistic"), sources).sum(request)
    with two_of_which_one_can_pause() as (client, turn):
        blocks = DaskEngine(client).place(Linear("logistic"), sources)
        assert 0 < blocks.plan.budget <= 5e8
        address = blocks._members[0].worker.place.address
        turn(address, "paused")
        resume = threading.Timer(1.5, turn, [address, "running"])
        resume.start()
        assert bytes_of(blocks.sum(request)) == bytes_of(expected)
        assert blocks.health.losses == 0
        resume.join()
        blocks.close()


def test_a_worker_that_stays_paused_is_lost_unless_something_runs_there(problem, monkeypatch, caplog):
    sources, request, expected = problem
    monkeypatch.setattr("fullbatch.engines._dask_cluster._PAUSED", 1.0)
    monkeypatch.setattr("fullbatch.engines._supervisor._PATIENCE", 0.0)
    with two_of_which_one_can_pause() as (client, turn):
        blocks = DaskEngine(client, max_failures=1).place(Linear("logistic"), sources)
        address = blocks._members[0].worker.place.address
        other = client.submit(time.sleep, 3.0, workers=[address], pure=False)
        wait_until(lambda: told(client, address)["metrics"]["task_counts"].get("executing"), "it does not run")
        turn(address, "paused")
        assert bytes_of(blocks.sum(request)) == bytes_of(expected)
        assert other.done()
        assert blocks.health.losses == 1
        assert "(its Dask worker has no memory: it was paused for 1 s)" in caplog.text
        blocks.close()


def test_an_asynchronous_client_is_refused_also_where_it_is_the_current_one(monkeypatch, problem):
    import distributed

    asynchronous = SimpleNamespace(asynchronous=True)
    with pytest.raises(ValueError, match="client must be synchronous"):
        DaskEngine(asynchronous)
    monkeypatch.setattr(distributed.Client, "current", lambda **_: asynchronous)
    with pytest.raises(ValueError, match="client must be synchronous"):
        DaskEngine().place(Linear("logistic"), problem[0])


def test_workers_that_do_not_come(whole, problem):
    with pytest.raises(EngineError, match=r"9 Dask workers are wanted, and after 0\.5 s there are 3"):
        DaskEngine(whole, num_workers=9, start_timeout=0.5).place(Linear("logistic"), problem[0])


def test_an_engine_closes_the_cluster_it_started_which_only_this_machine_can_reach():
    program = textwrap.dedent("""
        import psutil
        import numpy as np
        from fullbatch import LogisticRegression, DaskEngine, array_sources

        if __name__ == "__main__":
            rng = np.random.default_rng(0)
            X, y = rng.standard_normal((300, 5)), rng.integers(0, 3, 300)
            engine = DaskEngine(num_workers=2)
            model = LogisticRegression(engine=engine).fit(array_sources(X, y, blocks=4))
            ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
            sockets = [one.laddr.ip for process in ours for one in process.net_connections() if one.status == "LISTEN"]
            print(len(ours) > 2, len(sockets) > 2, set(sockets))
            engine.close()
            threads = LogisticRegression().fit(array_sources(X, y, blocks=4))
            print(engine.client, np.array_equal(model.coef_, threads.coef_))
    """)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout.splitlines() == ["True True {'127.0.0.1'}", "None True"], done.stderr


def test_options_are_checked():
    with pytest.raises(ValueError, match=re.escape("max_failures must be 0 or more")):
        DaskEngine(max_failures=-1)
