import numpy as np
import pytest
from problems import breast_cancer, objective
from scipy.optimize import fmin_l_bfgs_b
from scipy.special import xlogy

from fullbatch import Linear, Objective, SerialEngine, Standardized, array_sources
from fullbatch.protocols import Curvature, HessVec, RowSample, ValueGrad


def test_weighted_mean_does_not_depend_on_the_cut():
    X, y = breast_cancer()
    weight = np.random.default_rng(0).random(len(y))
    theta = np.linspace(-0.1, 0.1, X.shape[1] + 1)
    points = [objective(X, y, blocks=blocks, sample_weight=weight).value_and_grad(theta) for blocks in (1, 2, 7, 50)]
    for point in points[1:]:
        assert point.value == pytest.approx(points[0].value, rel=1e-14)
        np.testing.assert_allclose(point.grad, points[0].grad, rtol=0, atol=1e-14)


def test_loss_then_gradient_at_one_theta_is_one_pass():
    X, y = breast_cancer()
    fun = objective(X, y)
    theta = np.zeros(fun.size)
    loss, grad = fun.full_loss(theta), fun.full_grad(theta)
    assert fun.num_passes == 1
    point = fun.value_and_grad(theta)
    assert fun.num_passes == 2
    assert (loss, grad.tobytes()) == (point.value, point.grad.tobytes())
    theta += 0.1  # the caller's array is reused, as SciPy does
    assert fun.full_loss(theta) != loss
    assert fun.num_passes == 3


def test_gradient_is_the_callers_own():
    X, y = breast_cancer()
    fun = objective(X, y)
    theta = np.zeros(fun.size)
    first = fun.full_grad(theta)
    expected = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(fun.full_grad(theta), expected)


def test_separate_functions_cost_scipy_no_more_than_the_fused_form():
    X, y = breast_cancer()
    separate, fused = objective(X, y), objective(X, y)
    theta = np.zeros(separate.size)
    x1, f1, told = fmin_l_bfgs_b(separate.full_loss, theta, fprime=separate.full_grad, maxiter=30)
    x2, f2, _ = fmin_l_bfgs_b(fused.value_and_grad, theta, maxiter=30)
    assert separate.num_passes == fused.num_passes == told["funcalls"]
    assert (x1.tobytes(), f1) == (x2.tobytes(), f2)


def test_l2_touches_what_is_penalised():
    X, y = breast_cancer()
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y))
    theta = np.ones(X.shape[1] + 1)
    free = Objective(blocks).value_and_grad(theta)
    everywhere = Objective(blocks, 0.5).value_and_grad(theta)
    assert everywhere.value - free.value == pytest.approx(0.25 * X.shape[1])
    np.testing.assert_allclose(everywhere.grad - free.grad, [0.5] * X.shape[1] + [0.0], atol=1e-15)
    strengths = np.zeros(theta.size)
    strengths[[2, -1]] = 3.0, 5.0
    chosen = Objective(blocks, strengths).value_and_grad(theta)
    assert chosen.value - free.value == pytest.approx(4.0)
    np.testing.assert_allclose(chosen.grad - free.grad, strengths, atol=1e-14)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_squares_of_the_columns_are_those_of_the_solver(intercept, scale):
    X, y = breast_cancer(standardized=False)
    weight = np.random.default_rng(0).random(len(y))
    blocks = SerialEngine().place(Linear("logistic", intercept), array_sources(X, y, weight, blocks=3))
    mean = np.average(X, axis=0, weights=weight)
    spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    columns = (X - mean * intercept) / (spread if scale else 1.0)
    variables = Standardized(blocks.schema, 1, intercept, scale)
    for change, wanted in ((variables, columns), (None, X)):
        facts = Objective(blocks, 0.1, change).facts
        np.testing.assert_allclose(facts.squares, np.average(wanted**2, axis=0, weights=weight), rtol=1e-11)
        centred = change is variables and intercept  # else they are as large as they are stored
        larger = np.sqrt(np.average(X**2, axis=0, weights=weight)) / spread if centred else np.ones(X.shape[1])
        np.testing.assert_allclose(facts.larger, larger, rtol=1e-11)


@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_where_no_loss_is_straight_the_null_model_is_of_sums_of_the_set_up(loss):
    X, y = breast_cancer()
    y = y + np.arange(len(y)) % 5.0
    fun = objective(X, y, loss)
    before, half = fun.num_setup_passes, {"squared": y.var() / 2, "poisson": xlogy(y, y / y.mean()).mean()}
    assert fun.facts.parameters.null == pytest.approx(half[loss], rel=1e-12)
    assert (fun.num_setup_passes, fun.num_passes) == (before, 0)


def test_what_columns_explain_is_of_the_theta_asked_for():
    X, y = breast_cancer()
    fun = objective(X, y)
    thetas = np.random.default_rng(0).standard_normal((2, fun.size))
    found = [fun.explained(theta, fun.value_and_grad(theta).grad) for theta in thetas]
    grads = [fun.value_and_grad(theta).grad for theta in thetas]  # what was asked last is of the second
    assert [fun.explained(theta, grad) for theta, grad in zip(thetas, grads, strict=True)] == found
    assert found[0] != found[1]


def test_another_penalty_of_the_same_blocks_is_all_of_it():
    X, y = breast_cancer()
    fun, groups = objective(X, y, l2=0.0), np.append(np.arange(30) // 3, -1)
    theta = np.linspace(-0.1, 0.2, 31)
    other = Objective(fun.blocks, 0.3, fun.variables, l1=0.2, lower=-1.0, upper=1.0)
    grouped = Objective(fun.blocks, 0.3, fun.variables, l1=0.2, l21=0.5, groups=groups)
    plain, coef = fun.value_and_grad(theta).value, theta[:-1]
    of_norms = 0.5 * np.sqrt(3) * np.linalg.norm(coef.reshape(-1, 3), axis=1).sum()
    for one, norms in ((other, 0.0), (grouped, of_norms)):
        made = fun.with_penalty(one.penalty)
        expected = plain + 0.2 * np.abs(coef).sum() + 0.15 * coef @ coef + norms
        assert made.value_and_grad(theta).value == pytest.approx(expected, rel=1e-13)
        assert made.penalty.parts == one.penalty.parts


@pytest.mark.parametrize("l2", [-1.0, np.nan, np.ones(3)])
def test_bad_l2(l2):
    X, y = breast_cancer()
    with pytest.raises(ValueError, match="l2 must be"):
        objective(X, y, l2=l2)


def test_theta_that_does_not_fit():
    X, y = breast_cancer()
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), this model has 31 parameters"):
        objective(X, y).full_loss(np.zeros(3))


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_change_of_variables(scale, intercept):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4)) * [1, 10, 0.1, 0] + [5, -3, 0, 7]
    y = rng.integers(0, 3, 60)
    weight = rng.random(60)
    model = Linear("softmax", intercept)
    blocks = SerialEngine().place(model, array_sources(X, y, weight))
    variables = Standardized(blocks.schema, 3, intercept, scale)
    theta = rng.standard_normal(blocks.parameters.size)
    again = theta.copy()
    if intercept:  # which says all that the last column could
        again[[3, 7, 11]] = 0.0
        np.testing.assert_array_equal(variables.to_blocks(theta)[[3, 7, 11]], 0.0)
    np.testing.assert_allclose(variables.to_solver(variables.to_blocks(theta)), again, rtol=1e-12, atol=1e-12)
    stack = rng.standard_normal((2, 5, theta.size))  # each by itself
    for change in (variables.to_blocks, variables.to_solver, variables.pull_back):
        each = [[change(one) for one in row] for row in stack]
        np.testing.assert_allclose(change(stack), each, rtol=1e-12, atol=1e-12)
    # The transposed map: <pull_back(g), theta> = <g, to_blocks(theta)> for any g.
    grad = rng.standard_normal(theta.size)
    assert variables.pull_back(grad) @ theta == pytest.approx(grad @ variables.to_blocks(theta), rel=1e-12)
    mean = np.average(X, axis=0, weights=weight)
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    changed = (X - (mean if intercept else 0)) / np.where(deviation > 1e-8, deviation, 1.0) ** scale
    by_hand = SerialEngine().place(model, array_sources(changed, y, weight)).sum(ValueGrad(theta))
    point = Objective(blocks, 0.0, variables).value_and_grad(theta)
    assert point.value == pytest.approx(by_hand.value / by_hand.weight, rel=1e-12)
    np.testing.assert_allclose(point.grad, by_hand.grad / by_hand.weight, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("centred", [False, True])
def test_hessian_times_vector_is_the_change_of_the_gradient(centred):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 5)) + 3, rng.integers(0, 3, 80)
    fun = objective(X, y, "softmax", l2=0.3, centred=centred)
    theta, v = rng.standard_normal((2, fun.size))
    step = 1e-5
    change = (fun.full_grad(theta + step * v) - fun.full_grad(theta - step * v)) / (2 * step)
    np.testing.assert_allclose(fun(HessVec(theta, v)), change, atol=1e-8)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_the_hessian_under_a_change_of_variables_is_the_change_of_the_gradient(loss, scale):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 5)) + 3, rng.integers(0, 2, 80)
    blocks = SerialEngine().place(Linear(loss), array_sources(X, y, blocks=3))
    fun = Objective(blocks, 0.3, Standardized(blocks.schema, 1 if loss == "logistic" else 2, scale=scale))
    theta = rng.standard_normal(fun.size)
    answer = fun(Curvature(theta, "gram"))
    hessian = np.array([fun(HessVec(theta, unit)) for unit in np.eye(fun.size)])
    np.testing.assert_allclose(answer.matrix, hessian, atol=1e-11)
    assert answer.point.value == pytest.approx(fun.full_loss(theta), rel=1e-13)
    np.testing.assert_allclose(answer.point.grad, fun.full_grad(theta), atol=1e-13)


def test_a_sample_under_a_change_of_variables_has_the_columns_that_theta_multiplies():
    X, y = breast_cancer(standardized=False)
    fun, plain = objective(X, y), objective(X, y, centred=False)
    theta = np.random.default_rng(0).standard_normal(fun.size)
    sample, as_stored = fun(RowSample(0.2, seed=3)), plain(RowSample(0.2, seed=3))
    of_blocks = fun.variables.to_blocks(theta)
    wanted = as_stored.X @ of_blocks[:-1] + of_blocks[-1]
    np.testing.assert_allclose(sample.X @ theta[:-1] + theta[-1], wanted, rtol=1e-9)
    assert (fun.num_passes, fun.num_sampled_passes) == (0, 0.2)


@pytest.mark.parametrize("scale", [False, True])
def test_columns_of_many_rows_in_parts_are_standardised_as_all_at_once(scale):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((3000, 6)) * 10.0 ** np.arange(-2, 4) + 7).astype(np.float32)
    X[:, 2] = 5.0
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, np.arange(3000) % 2))
    variables = Standardized(blocks.schema, 1, scale=scale)
    found, shift = variables.columns([X[:1], X[1:1400], X[1400:1400], X[1400:]])
    wanted = X - X.astype(np.float64).mean(axis=0)
    wanted[:, 2] = 0.0  # a constant is not used
    if scale:
        wanted[:, [0, 1, 3, 4, 5]] /= X.astype(np.float64).std(axis=0)[[0, 1, 3, 4, 5]]
    assert shift is None
    assert found.dtype == np.float32
    size = np.maximum(np.abs(X).max(axis=0) / (np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0) if scale else 1.0), 1.0)
    np.testing.assert_allclose(found / size, wanted / size, rtol=0, atol=1e-6)


def test_what_a_change_of_variables_cannot_translate_is_refused_before_a_pass():
    X, y = breast_cancer()
    fun = objective(X, y)
    with pytest.raises(TypeError, match="Curvature 'diagonal' cannot be asked under a change of variables"):
        fun(Curvature(np.zeros(fun.size), "diagonal"))
    assert fun.num_passes == 0
    plain = objective(X, y, l2=0.5, centred=False)
    theta = np.zeros(plain.size)
    diagonal, hessian = plain(Curvature(theta, "diagonal")).matrix, plain(Curvature(theta, "gram")).matrix
    np.testing.assert_allclose(diagonal, np.diag(hessian), rtol=1e-12)


def test_sums_that_float32_cannot_hold_are_asked_for_again_in_float64():
    X, y = np.array([[100.0], [120.0], [127.0]]), np.array([0.0, 1.0, 3.0])
    exact = objective(X, y, "poisson", l2=0.0, centred=False)
    theta = np.array([0.75, 0.0])  # exp(95.25) is more than float32 holds
    for kind in (np.float32, np.int8):
        fun = objective(X.astype(kind), y, "poisson", l2=0.0, centred=False)
        assert fun.facts.parameters.dtype == "float32"
        point = fun.value_and_grad(theta)
        assert fun.num_passes == 2
        assert point.value == pytest.approx(exact.full_loss(theta), rel=1e-12)
        np.testing.assert_allclose(point.grad, exact.full_grad(theta), rtol=1e-12)
        fun.value_and_grad(np.zeros(2))
        assert fun.num_passes == 3
