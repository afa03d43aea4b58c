"""How many passes solvers need, on small sizes of the problems that benchmarks/solvers measures."""

import numpy as np
import pytest
from benchmarks.solvers.problems import TASKS
from benchmarks.solvers.task import Task, load, save

from fullbatch import Linear, Objective, SampledLBFGS, Standardized, ThreadEngine, array_sources, minimize


def passes_to(task, solver, distances, l2=None):
    """Passes to each relative distance from the best F known, and the best F."""
    model = Linear(task.loss)
    blocks = ThreadEngine().place(model, array_sources(task.X, task.y))
    fun = Objective(blocks, task.l2, Standardized(blocks.schema, model.outputs(blocks.schema)))
    seen = []
    minimize(
        fun, np.zeros(fun.size), solver=solver, tol=1e-13, callbacks=[lambda it: seen.append((it.value, it.passes))]
    )
    blocks.close()
    best = min(value for value, _ in seen) if task.optimum is None else task.optimum
    return [next(passes for value, passes in seen if value - best <= near * abs(best)) for near in distances], best


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("logistic", 13),
        ("logistic-decades", 13),
        ("softmax", 28),
        ("poisson", 11),
        ("tfidf", 11),
        ("breast-cancer", 20),
    ],
)
def test_a_sampled_hessian_needs_few_passes_to_1e6(name, most):
    task = TASKS[name](n=6000)
    (passes,), best = passes_to(task, "sampled-lbfgs", [1e-6])
    assert passes <= most
    if task.optimum is None and name != "tfidf":
        exact = Task(task.name, task.title, task.loss, task.l2, task.X, task.y, best)
        (newton,), _ = passes_to(exact, "newton", [1e-9])  # reaches the same F by another way
        assert newton <= 14


def test_mnist_that_ships(tmp_path):
    task = TASKS["mnist"](n=4000)
    (far, near), _ = passes_to(task, "sampled-lbfgs", [1e-4, 1e-6])
    assert far <= 45
    assert near <= 70
    (_, refined), _ = passes_to(task, SampledLBFGS(inner_steps=6), [1e-4, 1e-6])
    assert refined <= 0.7 * near


def test_the_benchmarks_own_value_is_the_objective(tmp_path):
    for name in ("softmax", "poisson", "tfidf"):
        task = TASKS[name](n=500)
        save(task, tmp_path / name)
        task = load(tmp_path / name)
        model = Linear(task.loss)
        blocks = ThreadEngine().place(model, array_sources(task.X, task.y))
        theta = 0.01 * np.random.default_rng(0).standard_normal(blocks.parameters.size)
        assert task.value(theta) == pytest.approx(Objective(blocks, task.l2).full_loss(theta), rel=1e-12)
        blocks.close()


@pytest.mark.slow
def test_full_mnist(full_mnist, monkeypatch):
    monkeypatch.setattr("benchmarks.solvers.problems.MNIST", full_mnist)
    (far, near), _ = passes_to(TASKS["mnist"](), "auto", [1e-4, 1e-6])
    assert far <= 45
    assert near <= 75
