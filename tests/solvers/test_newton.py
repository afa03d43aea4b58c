import numpy as np
import pytest
from problems import REFERENCES, breast_cancer, digits, objective, start

from fullbatch import Newton, NewtonCG, ProximalNewton, Status, minimize
from fullbatch.protocols import Curvature, Facts, HessVec, Parameters, ValueGrad


@pytest.mark.parametrize("solver", ["newton", "newton-cg"])
@pytest.mark.parametrize("name", REFERENCES)
def test_reference_optima(name, solver):
    data, loss, l2, optimum = REFERENCES[name]
    fun = objective(*data(), loss, l2)
    result = minimize(fun, start(fun), solver=solver, tol=1e-12)
    assert result.status is Status.CONVERGED
    assert result.value == pytest.approx(optimum, rel=1e-10)
    if solver == "newton":
        assert result.passes <= 10


def test_raw_columns_of_breast_cancer_in_at_most_12_passes():
    fun = objective(*breast_cancer(standardized=False), l2=1 / 569, centred=False)
    result = minimize(fun, start(fun), solver="newton", tol=1e-12)
    assert result.value == pytest.approx(0.094542374746, rel=1e-10)
    assert result.passes <= 12


def test_an_iteration_is_one_pass_with_its_hessian():
    fun = objective(*breast_cancer())
    asked = []
    blocks_sum = fun.blocks.sum
    fun.blocks.sum = lambda request: asked.append(request) or blocks_sum(request)
    result = minimize(fun, start(fun), solver="newton")
    assert {type(request) for request in asked} == {Curvature}
    assert result.passes == result.iterations + 1


def test_a_full_step_too_far_is_shortened_by_reads_without_hessian():
    fun = objective(*breast_cancer(), l2=1e-4)
    asked = []
    blocks_sum = fun.blocks.sum
    fun.blocks.sum = lambda request: asked.append(type(request)) or blocks_sum(request)
    result = minimize(fun, np.full(31, 2.0), solver="newton", tol=1e-12)
    assert result.status is Status.CONVERGED
    assert ValueGrad in asked
    assert result.passes == len(asked)
    assert result.value == pytest.approx(minimize(fun, start(fun), solver="newton", tol=1e-12).value, rel=1e-11)


def test_a_loss_that_is_linear_at_the_start():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((2000, 5))
    y = 1000.0 + X @ rng.standard_normal(5) * 50 + rng.standard_t(2, 2000)
    fun = objective(X, y, "huber", l2=1e-6)
    result = minimize(fun, start(fun), solver="newton", tol=1e-12)
    assert result.success
    assert result.value == pytest.approx(minimize(fun, start(fun), solver="sampled-lbfgs", tol=1e-12).value, rel=1e-8)


def test_products_are_passes():
    fun = objective(*breast_cancer())
    asked = []
    blocks_sum = fun.blocks.sum
    fun.blocks.sum = lambda request: asked.append(type(request)) or blocks_sum(request)
    result = minimize(fun, start(fun), solver="newton-cg")
    assert result.passes == len(asked)
    assert asked.count(HessVec) > asked.count(ValueGrad)


def test_collinear_and_constant_columns_without_a_penalty():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((400, 4))
    y = (X @ rng.standard_normal(4) + rng.logistic(size=400) > 0).astype(int)
    fun = objective(X, y, l2=0.0)
    wanted = minimize(fun, start(fun), solver="newton", tol=1e-13).value
    more = objective(np.column_stack((X, X[:, 0] - X[:, 1], np.full(400, 3.0), np.zeros(400))), y, l2=0.0)
    result = minimize(more, start(more), solver="newton", tol=1e-13)
    assert result.value == pytest.approx(wanted, rel=1e-11)
    assert result.passes <= 10 + 5  # five tell whether columns are collinear, or lead to infinity
    assert {notice.code for notice in result.notices} == {"constant-columns", "collinear-columns", "precision"}
    assert np.abs(result.theta).max() < 10


@pytest.mark.parametrize(("solver", "most"), [(Newton(), 2364), (ProximalNewton(), 6688)])
def test_memory_for_the_hessian_unless_more_is_given(solver, most):
    """24 bytes for each entry: 128 MiB and 1 GiB."""

    def told(size):
        return solver.for_problem(Facts(9, Parameters(size, np.ones(size, bool)), np.zeros(size), frozenset()))

    assert told(most).bytes_needed == 24 * most**2
    with pytest.raises(ValueError, match=f"the Hessian of {most + 1} parameters takes .* more than max_bytes"):
        told(most + 1)


def test_a_hessian_that_is_too_large_names_solvers_that_need_none():
    fun = objective(*digits(), "softmax")
    with pytest.raises(ValueError, match=r"the Hessian of 650 parameters takes 10.1 MB, .* use 'sampled-lbfgs'"):
        minimize(fun, start(fun), solver=Newton(max_bytes=2**20))
    with pytest.raises(ValueError, match="max_products must be"):
        NewtonCG(max_products=0)
