import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from fullbatch import LBFGS
from fullbatch.protocols import Point
from fullbatch.run.driver import drive
from fullbatch.solvers._line_search import LineSearch
from fullbatch.solvers._memory import remember, times_inverse


def run(fun, theta, solver=None, tol=1e-14, max_iter=1000):
    """Drive a solver over a plain function; returns the state and the number of evaluations."""
    solver = solver or LBFGS()
    evaluations = 0

    def answer(request):
        nonlocal evaluations
        evaluations += 1
        value, grad = fun(request.theta)
        return Point(float(value), grad)

    state = drive(solver.init(np.asarray(theta, float)), answer)
    while solver.optimality(state) > tol and not state.failure and state.iteration < max_iter:
        state = drive(solver.step(state), answer)
    return state, evaluations


def quadratic(condition=1e4, size=30, seed=0):
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((size, size)))
    hessian = basis * np.geomspace(1, condition, size) @ basis.T
    optimum = rng.standard_normal(size)
    return (lambda x: (0.5 * (x - optimum) @ hessian @ (x - optimum) + 1.0, hessian @ (x - optimum))), optimum


def test_quadratic():
    fun, optimum = quadratic()
    state, evaluations = run(fun, np.zeros(30))
    np.testing.assert_allclose(state.theta, optimum, atol=1e-5)
    assert evaluations < 400


def test_rosenbrock():
    state, evaluations = run(lambda x: (rosen(x), rosen_der(x)), [-1.2, 1.0, -0.5, 0.8], tol=1e-12)
    np.testing.assert_allclose(state.theta, 1.0, atol=1e-5)
    assert evaluations < 80


def test_two_loop_recursion_is_the_bfgs_formula():
    rng = np.random.default_rng(1)
    steps = tuple(rng.standard_normal((4, 6)))
    hessian = np.diag(np.arange(1.0, 7.0))
    changes = tuple(hessian @ s for s in steps)
    s, y = steps[-1], changes[-1]
    inverse = np.eye(6) * (s @ y) / (y @ y)
    for s, y in zip(steps, changes, strict=True):
        v = np.eye(6) - np.outer(y, s) / (s @ y)
        inverse = v.T @ inverse @ v + np.outer(s, s) / (s @ y)
    vector = rng.standard_normal(6)
    np.testing.assert_allclose(times_inverse(vector, steps, changes), inverse @ vector, rtol=1e-12)


def test_pairs_of_negative_or_no_curvature_are_declined_at_any_scale():
    s = np.array([1.0, 0.0])
    for scale in (1e-100, 1.0, 1e100):
        assert remember((), (), s * scale, np.array([-1.0, 5.0]) * scale, 3, 1e-12) == ((), ())
        assert remember((), (), s * scale, np.array([1e-14, 1.0]) * scale, 3, 1e-12) == ((), ())
        steps, _ = remember((), (), s * scale, np.array([1.0, 1.0]) * scale, 3, 1e-12)
        assert len(steps) == 1


def test_memory_is_bounded():
    fun, _ = quadratic()
    state, _ = run(fun, np.zeros(30), LBFGS(memory=4), max_iter=20)
    assert len(state.steps) == len(state.changes) == 4


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_iterations_do_not_depend_on_the_scale_of_the_objective_once_the_first_step_is_taken(scale):
    fun, optimum = quadratic(condition=100)
    state, evaluations = run(lambda x: tuple(scale * part for part in fun(x)), np.zeros(30), tol=1e-10)
    assert not state.failure
    np.testing.assert_allclose(state.theta, optimum, atol=1e-3)
    assert evaluations < 350


def test_values_that_are_not_finite_are_failed_trials():
    def fun(x):  # log barrier: NaN outside x > 0
        with np.errstate(all="ignore"):
            return np.sum(x - np.log(x)), 1 - 1 / x

    state, _ = run(fun, [1e-3, 5.0])
    np.testing.assert_allclose(state.theta, 1.0, atol=1e-6)


@pytest.mark.parametrize("level", [1e-9, 1e-8])
def test_noise_in_values_does_not_stop_it(level):
    fun, _ = quadratic(condition=1e3)
    rng = np.random.default_rng(0)

    def noisy(x):
        value, grad = fun(x)
        return value * (1 + level * rng.uniform(-1, 1)), grad

    state, _ = run(noisy, np.zeros(30), LBFGS(precision="float32"), tol=1e-18)
    assert state.failure in ("", "precision")
    start = np.linalg.norm(fun(np.zeros(30))[1])
    assert np.linalg.norm(fun(state.theta)[1]) < 1e-6 * start


def test_wrong_gradient_is_a_line_search_failure():
    fun, _ = quadratic()
    state, _ = run(lambda x: (fun(x)[0], -fun(x)[1]), np.zeros(30))
    assert state.failure == "line_search"
    assert state.iteration == 0


def test_start_at_the_optimum():
    fun, optimum = quadratic()
    state, evaluations = run(lambda x: (fun(x)[0], np.zeros(30)), optimum)
    assert (state.iteration, evaluations, state.failure) == (0, 1, "")


def test_line_search_step_satisfies_wolfe():
    fun, _ = quadratic()
    theta = np.zeros(30)
    value, grad = fun(theta)
    for length in (1e-6, 1e-3, 1.0, 1e3):
        search = LineSearch().search(theta, Point(value, grad), -grad * length)
        trial = drive(search, lambda request: Point(*fun(request.theta)))
        slope0 = -length * grad @ grad
        assert trial.value <= value + 1e-4 * trial.step * slope0
        assert trial.slope >= 0.9 * slope0


def test_unbounded_objective_ends():
    state, evaluations = run(lambda x: (-x.sum(), -np.ones(3)), np.zeros(3), max_iter=5)
    assert state.iteration <= 5
    assert evaluations <= 150
    assert state.value < -1e10


def test_options():
    with pytest.raises(ValueError, match="memory must be at least 1"):
        LBFGS(memory=0)
    with pytest.raises(ValueError, match="precision must be one of float64, float32"):
        LBFGS(precision="float16")
