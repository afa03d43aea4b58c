"""One Ray for the whole session; nothing outside this machine is contacted."""

import os
from pathlib import Path

# Before anything imports Ray or TensorFlow. Ray's workers inherit both.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

FULL_MNIST = Path(os.environ.get("FULLBATCH_MNIST", Path(__file__).parents[2] / "shared" / "data" / "mnist"))

# What starts clusters, beside the tests with the fixtures below: one process runs them all, one after another.
CLUSTERS = {"tests/engines", "tests/test_clusters.py", "tests/test_docs.py", "tests/test_examples.py"}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(config, items):
    for item in items:
        path = item.path.relative_to(config.rootpath)
        named = not CLUSTERS.isdisjoint(map(str, (path, *path.parents)))
        if named or not {"ray_session", "dask_client"}.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.xdist_group("clusters"))


@pytest.fixture(scope="session")
def ray_session():
    """A local Ray of 6 logical CPUs that engines of the session connect to."""
    import ray

    ray.init(address="local", num_cpus=6, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def dask_client():
    """A local Dask cluster of 3 processes with a nanny each; its client is the current one."""
    from distributed import Client, LocalCluster

    with (
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
