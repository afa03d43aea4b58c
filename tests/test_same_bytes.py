"""Theta is equal to the byte for any engine and any number of workers, by compiled passes and by plain NumPy."""

from functools import cache

import numpy as np
import pytest

from fullbatch import LBFGS, DaskEngine, Linear, Objective, RayEngine, SerialEngine, ThreadEngine, minimize
from fullbatch.datasets import load_mnist
from fullbatch.solvers.sampled import SampledLBFGS


def theta_after(engine, passes, iterations=30, solver=None):
    blocks = engine.place(Linear("softmax", passes=passes), load_mnist().train_sources(blocks=10))
    try:
        objective, solver = Objective(blocks, 1 / 8000), solver or LBFGS()
        return minimize(objective, np.zeros(7850), solver=solver, tol=0, max_iter=iterations).theta.tobytes()
    finally:
        blocks.close()


@cache
def expected(passes):
    return theta_after(SerialEngine(), passes)


@pytest.mark.parametrize("passes", ["compiled", "plain"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(passes, threads):
    assert theta_after(ThreadEngine(threads), passes) == expected(passes)


def test_passes_round_in_their_own_way():
    compiled, plain = (np.frombuffer(expected(passes)) for passes in ("compiled", "plain"))
    assert not np.array_equal(compiled, plain)
    np.testing.assert_allclose(compiled, plain, atol=1e-2 * np.abs(compiled).max())


WORKERS = [
    ("compiled", 1),
    pytest.param("compiled", 2, marks=pytest.mark.slow),
    ("compiled", 3),
    ("plain", 2),
]


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(("passes", "workers"), WORKERS)
def test_ray(passes, workers):
    assert theta_after(RayEngine(workers), passes) == expected(passes)


@pytest.mark.usefixtures("ray_session")
def test_ray_workers_with_threads():
    assert theta_after(RayEngine(1, num_cpus_per_worker=3), "compiled") == expected("compiled")


@pytest.mark.parametrize(("passes", "workers"), WORKERS)
def test_dask(dask_client, passes, workers):
    assert theta_after(DaskEngine(dask_client, num_workers=workers), passes) == expected(passes)


def by_workers(engine):
    """After steps with a matrix that the workers made of their rows, some MB of it from each."""
    return theta_after(engine, "compiled", 4, SampledLBFGS(on_workers=True))


@cache
def expected_by_workers():
    return by_workers(SerialEngine())


def test_matrices_of_threads():
    assert by_workers(ThreadEngine(2)) == expected_by_workers()


@pytest.mark.usefixtures("ray_session")
def test_matrices_of_ray_workers():
    assert by_workers(RayEngine(3)) == expected_by_workers()


def test_matrices_of_dask_workers(dask_client):
    assert by_workers(DaskEngine(dask_client, num_workers=2)) == expected_by_workers()
