"""Theta is equal to the byte for any engine and any number of workers."""

import numpy as np
import pytest

from fullbatch import LBFGS, DaskEngine, Linear, Objective, RayEngine, SerialEngine, ThreadEngine, minimize
from fullbatch.datasets import load_mnist


def theta_after(engine, iterations=30):
    blocks = engine.place(Linear("softmax"), load_mnist().train_sources(blocks=10))
    try:
        objective = Objective(blocks, 1 / 8000)
        return minimize(objective, np.zeros(7850), solver=LBFGS(), tol=0, max_iter=iterations).theta.tobytes()
    finally:
        blocks.close()


@pytest.fixture(scope="module")
def expected():
    return theta_after(SerialEngine())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(expected, threads):
    assert theta_after(ThreadEngine(threads)) == expected


WORKERS = [1, pytest.param(2, marks=pytest.mark.slow), 3]


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("workers", WORKERS)
def test_ray(expected, workers):
    assert theta_after(RayEngine(workers)) == expected


@pytest.mark.usefixtures("ray_session")
def test_ray_workers_with_threads(expected):
    assert theta_after(RayEngine(1, num_cpus_per_worker=3)) == expected


@pytest.mark.parametrize("workers", WORKERS)
def test_dask(expected, dask_client, workers):
    assert theta_after(DaskEngine(dask_client, num_workers=workers)) == expected
