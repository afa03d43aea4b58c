"""L1 and bounds of many columns: OWL-QN, working sets, and what is known of their ends."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import optimize, special
from scipy.sparse import csr_array

from fullbatch import (
    OWLQN,
    Linear,
    Objective,
    ProximalNewton,
    SerialEngine,
    Standardized,
    Status,
    ThreadEngine,
    array_sources,
    minimize,
)
from fullbatch.protocols import Category, Rows
from fullbatch.protocols.requests import Curvature, HessVec, ValueGrad
from fullbatch.run._other_solver import other_solver

SOLVERS = {"owl-qn": OWLQN, "working set": lambda: ProximalNewton(working_set=True)}
PENALTIES = {
    "l1": {"l1": 0.03},
    "elastic net": {"l1": 0.03, "l2": 0.02},
    "not negative": {"lower": 0.0},
    "box and l1": {"lower": -0.1, "upper": 0.2, "l1": 0.005},
}


def rows(n=200, p=30, seed=0, scales=1.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * scales
    eta = (X / scales)[:, :5] @ rng.standard_normal(5) + 0.3
    return X, eta, rng


def independent(loss, X, y, l1=0.0, l2=0.0, lower=-np.inf, upper=np.inf):
    """The minimum by SciPy's L-BFGS-B on coefficients that are split into their positive and negative parts."""
    n, p = X.shape
    size = np.sqrt((X**2).mean(axis=0))
    Z = X / size  # a kind problem for it

    def fun(z):
        coef, free = z[:p] - z[p : 2 * p], z[-1]
        eta = Z @ coef + free
        if loss == "logistic":
            value, slope = np.logaddexp(0, eta) - y * eta, special.expit(eta) - y
        elif loss == "squared":
            value, slope = (eta - y) ** 2 / 2, eta - y
        else:
            value, slope = np.exp(eta) - y * eta, np.exp(eta) - y
        pull, own = Z.T @ slope / n + l2 * coef / size**2, l1 / size
        F = value.mean() + own @ (z[:p] + z[p : 2 * p]) + 0.5 * l2 * ((coef / size) ** 2).sum()
        return F, np.concatenate((pull + own, own - pull, [slope.mean()]))

    low, high = np.broadcast_to(lower, p) * size, np.broadcast_to(upper, p) * size
    bounds = [
        *zip(np.maximum(low, 0.0), np.maximum(high, 0.0), strict=True),
        *zip(np.maximum(-high, 0.0), np.maximum(-low, 0.0), strict=True),
        (-np.inf, np.inf),
    ]
    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 40}
    found = optimize.minimize(fun, np.zeros(2 * p + 1), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.fun, (found.x[:p] - found.x[p : 2 * p]) / size


@pytest.mark.parametrize("make", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("loss", ["logistic", "squared", "poisson"])
def test_the_minimum_is_that_of_scipy(make, penalty, loss):
    X, eta, rng = rows()
    y = {
        "logistic": lambda: (rng.random(len(eta)) < special.expit(eta)).astype(float),
        "squared": lambda: eta + rng.standard_normal(len(eta)),
        "poisson": lambda: rng.poisson(np.exp(eta / 2)).astype(float),
    }[loss]()
    blocks = SerialEngine().place(Linear(loss), array_sources(X, y, blocks=3))
    objective = Objective(blocks, variables=Standardized(blocks.schema, 1), **penalty)
    result = minimize(objective, np.zeros(31), solver=make(), tol=1e-11)
    assert result.status is Status.CONVERGED, result.message
    assert result.known_by == "hessian"
    best, coef = independent(loss, X, y, **penalty)
    assert result.value == pytest.approx(best, rel=1e-9)
    assert result.value <= best + 1e-11
    np.testing.assert_array_equal((result.theta[:-1] != 0) | (np.abs(coef) < 1e-6), True)
    np.testing.assert_allclose(result.theta[:-1], coef, atol=2e-4)
    if "l1" in penalty or "l2" in penalty:
        assert result.certificate.name in ("duality gap", "strong convexity")
        assert result.value - best <= result.certificate.bound * (1 + 1e-6) + 1e-10


@pytest.mark.parametrize("make", SOLVERS.values(), ids=SOLVERS)
def test_classes(make):
    X, _, rng = rows()
    y = (X[:, :4] @ rng.standard_normal((4, 3)) + rng.gumbel(size=(200, 3))).argmax(axis=1)
    blocks = SerialEngine().place(Linear("softmax"), array_sources(X, y, blocks=2))
    ends = [
        minimize(Objective(blocks, l1=0.02), np.zeros(93), solver=solver, tol=1e-10)
        for solver in (make(), ProximalNewton(working_set=False))
    ]
    assert [end.status for end in ends] == [Status.CONVERGED] * 2
    assert ends[0].value == pytest.approx(ends[1].value, rel=1e-9)
    np.testing.assert_array_equal(ends[0].theta[:90] != 0, ends[1].theta[:90] != 0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", SOLVERS.values(), ids=SOLVERS)
def test_a_claim_is_true_whatever_the_columns(make, seed):
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(20, 120)), int(rng.integers(2, 60))
    X, eta, rng = rows(n, max(p, 5), seed, 10.0 ** rng.uniform(-3, 3, max(p, 5)))
    if seed % 2:
        X[:, 1] = X[:, 0] * (1 + 1e-3 * rng.standard_normal(n))
    y = (rng.random(n) < special.expit(eta)).astype(float)
    penalty = {"l1": float(10.0 ** rng.uniform(-3, -1) * np.abs(X).mean())}
    if seed % 3 == 0:
        penalty = {"lower": -0.1, "upper": 0.3}
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y, blocks=2))
    objective = Objective(blocks, **penalty)
    result = minimize(objective, np.zeros(objective.size), solver=make(), tol=1e-8, max_iter=2000)
    best, _ = independent("logistic", X, y, **penalty)
    null = -(y.mean() * np.log(y.mean()) + (1 - y.mean()) * np.log1p(-y.mean()))
    if result.status is Status.CONVERGED:
        assert result.value - best <= 1e-7 * null
    assert result.status is not Status.LINE_SEARCH


def test_many_columns_are_those_of_a_working_set():
    X, eta, rng = rows(150, 700)
    y = (rng.random(150) < special.expit(3 * eta)).astype(float)
    blocks = ThreadEngine(2).place(Linear("logistic"), array_sources(X, y, blocks=3))
    ends = {}
    for name, solver in {"auto": "auto", "whole": ProximalNewton(working_set=False)}.items():
        ends[name] = minimize(Objective(blocks, l1=0.03), np.zeros(701), solver=solver, tol=1e-10)
        assert ends[name].status is Status.CONVERGED, ends[name].message
    assert len(ends["auto"].state.columns) < 350
    assert ends["auto"].passes <= ends["whole"].passes + 6
    assert ends["auto"].value == pytest.approx(ends["whole"].value, rel=1e-10)
    np.testing.assert_array_equal(ends["auto"].theta != 0, ends["whole"].theta != 0)
    blocks.close()


def test_a_working_set_that_outgrows_its_room_is_left_to_owl_qn():
    X, eta, rng = rows(120, 40)
    y = eta + rng.standard_normal(120)
    blocks = SerialEngine().place(Linear("squared"), array_sources(X, y))
    small = ProximalNewton(working_set=True, max_bytes=24 * 12**2)
    result = minimize(Objective(blocks, l1=1e-3), np.zeros(41), solver=small, tol=1e-8)
    assert result.status is Status.CONVERGED, result.message
    assert "OWLQN went on where ProximalNewton ended" in result.solver
    best, _ = independent("squared", X, y, l1=1e-3)
    assert result.value == pytest.approx(best, rel=1e-7)
    facts = Objective(blocks, l1=1e-3).facts
    assert other_solver(OWLQN().for_problem(facts), facts, result.state) is None


def test_a_network_with_l1_takes_owl_qn():
    import torch

    from fullbatch import TorchModel

    X, eta, _ = rows(80, 6)
    model = TorchModel(lambda: torch.nn.Linear(6, 1), lambda outputs, y: (outputs - y) ** 2 / 2, labels=False)
    blocks = SerialEngine().place(model, array_sources(X.astype(np.float32), eta))
    result = minimize(Objective(blocks, l1=0.1), np.zeros(7), tol=1e-6)
    assert result.solver.startswith("OWLQN; chose owl-qn because the penalty has l1, and the model gives no second")
    assert 0 < np.count_nonzero(result.theta[:6]) < 6


def test_the_same_bytes_after_a_checkpoint_and_on_any_number_of_workers(tmp_path):
    X, eta, rng = rows(150, 60)
    y = (rng.random(150) < special.expit(3 * eta)).astype(float)

    def objective(engine):
        return Objective(engine.place(Linear("logistic"), array_sources(X, y, blocks=5)), l1=0.02)

    for name, make in SOLVERS.items():
        whole = minimize(objective(SerialEngine()), np.zeros(61), solver=make())
        for workers in (1, 3):
            again = minimize(objective(ThreadEngine(workers)), np.zeros(61), solver=make())
            assert again.theta.tobytes() == whole.theta.tobytes()
        path = tmp_path / name
        first = minimize(objective(SerialEngine()), np.zeros(61), solver=make(), checkpoint=path, max_iter=3)
        assert first.status is Status.MAX_ITER
        second = minimize(objective(SerialEngine()), np.zeros(61), solver=make(), checkpoint=path)
        assert (second.resumed_at, second.theta.tobytes()) == (3, whole.theta.tobytes())


# --- the Hessian of some columns -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["float64", "float32 far off", "sparse", "very wide"])
@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_the_hessian_of_some_columns_is_a_part_of_the_whole(stored, loss):
    X, _, rng = rows(60, 12)
    y, columns = rng.integers(0, 3 if loss == "softmax" else 2, 60), np.array([1, 4, 7, 11])
    if stored == "float32 far off":
        X = (X + 100).astype(np.float32)
    if stored in ("sparse", "very wide"):
        X = csr_array(np.where(rng.random(X.shape) < 0.4, X, 0.0))
    if stored == "very wide":
        apart = 9000 * X.indices.astype(np.int32)
        X, columns = csr_array((X.data, apart, X.indptr), shape=(60, 9000 * 12)), np.append(5, 9000 * columns)
    blocks = SerialEngine().place(Linear(loss), array_sources(X, y, blocks=3))
    outputs = 3 if loss == "softmax" else 1
    for variables in (None, Standardized(blocks.schema, outputs, scale=True)):
        objective = Objective(blocks, l2=0.1, variables=variables)
        theta = 0.01 * rng.standard_normal(objective.size)
        curves, places = (
            objective(Curvature(theta, "gram", columns=columns, double=True)),
            objective.facts.coordinates(columns),
        )
        if stored == "very wide":
            units = np.zeros((len(places), objective.size))
            units[np.arange(len(places)), places] = 1.0
            whole = np.array([objective(HessVec(theta, unit))[places] for unit in units])
        else:
            whole = objective(Curvature(theta, "gram", double=True)).matrix[np.ix_(places, places)]
        np.testing.assert_allclose(curves.matrix, whole, atol=2e-6 * np.abs(whole).max())
        np.testing.assert_array_equal(curves.point.grad, objective(ValueGrad(theta, double=True)).grad)


def test_so_it_is_of_categorical_columns():
    X, _, rng = rows(60, 5)
    y = rng.integers(0, 2, 60)
    levels = [Category(rng.integers(0, n, 60).astype(np.int32), np.arange(n)) for n in (4, 2)]
    source = SimpleNamespace(read=lambda: Rows(X, y, categories=tuple(levels)))
    blocks = SerialEngine().place(Linear("logistic"), [source])
    objective, columns = Objective(blocks, l2=0.1), np.array([1, 4, 6, 10])
    theta, places = rng.standard_normal(objective.size), np.append(columns, 11)
    curves = objective(Curvature(theta, "gram", columns=columns))
    design = np.column_stack((X, *(one.codes[:, None] == one.levels for one in levels), np.ones(60)))
    p = special.expit(design @ theta)
    expected = (design.T * (p * (1 - p))) @ design / 60 + 0.1 * np.diag(np.arange(12) < 11)
    np.testing.assert_allclose(curves.matrix, expected[np.ix_(places, places)], rtol=1e-12, atol=1e-12)
