"""One Ray for the whole session; nothing outside this machine is contacted."""

import functools
import os
import signal
from importlib.util import find_spec
from pathlib import Path

# Before anything imports Ray or TensorFlow. Ray's workers inherit both.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

FULL_MNIST = Path(os.environ.get("FULLBATCH_MNIST", Path(__file__).parents[2] / "shared" / "data" / "mnist"))

# A file of tests that has one of these words in it starts a cluster of that kind.
CLUSTERS = {"ray": ("ray_session", "EXAMPLES"), "dask": ("dask_client",)}


# Packages that tests skip without: the extra "test" has them, and a suite that shrinks in silence tells nothing.
_NEEDED = ("ray", "dask", "distributed", "fsspec")


def pytest_configure(config):
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise pytest.UsageError(f"{', '.join(missing)} must be installed for the tests: pip install 'fullbatch[test]'")
    # Processes that tests start and interrupt inherit it: some runners begin with SIGINT ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """All that starts a kind of cluster runs in one process, one test after another; other tests in whichever is
    free.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _cluster(config.rootpath / nodeid.partition("::")[0]) or nodeid

    return Scheduling(config, log)


# Tests of compiled passes: of the passes themselves, and of what rests on their bits, their precision or their storage.
# Their data is small, and would be answered by plain NumPy. All other tests take what users get.
COMPILED = ("kernels", "models", "test_benchmarks.py", "solvers/test_pass_counts.py")


@pytest.fixture(autouse=True)
def _passes(request, monkeypatch):
    place = request.path.relative_to(Path(__file__).parent).as_posix()
    if any(place == one or place.startswith(f"{one}/") for one in COMPILED):
        monkeypatch.setenv("FULLBATCH_PASSES", "compiled")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Coverage measures the processes that tests start, but not those of clusters: their workers would begin so slowly
    that they were taken for lost.
    """
    told = os.environ.pop("COVERAGE_PROCESS_CONFIG", None) if _cluster(item.path) else None
    try:
        return (yield)
    finally:
        if told is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = told


@functools.cache
def _cluster(path):
    text = path.read_text()
    return next((name for name, words in CLUSTERS.items() if any(word in text for word in words)), None)


@pytest.fixture(scope="session")
def ray_session():
    """A local Ray of 6 logical CPUs that engines of the session connect to."""
    import ray

    ray.init(address="local", num_cpus=6, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


# Idle workers look after themselves many times a second, to the end of the session: here they do so less often.
_SELDOM = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "5s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    # On a busy machine a killed worker is not back within the usual 15 s, after which the cluster would give it up.
    "distributed.deploy.lost-worker-timeout": "600s",
}


@pytest.fixture(scope="session")
def dask_client():
    """A local Dask cluster of 3 processes with a nanny each; its client is the current one."""
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set(_SELDOM),
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def full_mnist():
    """Directory of the full MNIST; tests that need it are skipped where it is absent."""
    if not FULL_MNIST.is_dir():
        pytest.skip(f"the full MNIST is not at {FULL_MNIST}: set FULLBATCH_MNIST to its directory")
    return FULL_MNIST
