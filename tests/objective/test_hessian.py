"""What a Hessian tells, and what rounding keeps from it."""

import numpy as np
import pytest
from problems import objective, start
from scipy.sparse import csr_array

from fullbatch import Status, minimize
from fullbatch.objective.hessian import SURE, Curved, fix_level, hold
from fullbatch.objective.proximal import Cornered
from fullbatch.protocols import Curvature, Curves, Point
from fullbatch.protocols.seams import Facts, Parameters, Penalty


def nearly_alike(far, apart, n=200):
    """Two columns `far` spreads from zero that differ by `apart` of a spread, which is what the targets go by."""
    rng = np.random.default_rng(0)
    z, w = rng.standard_normal((2, n))
    return np.column_stack((far + z, far + z + apart * w)), w


@pytest.mark.parametrize(("far", "known"), [(0.0, True), (300.0, False)])
def test_curvature_that_is_lost_when_columns_are_centred_counts_as_unknown(far, known):
    X, _ = nearly_alike(far, 1e-6)
    fun = objective(csr_array(X), np.random.default_rng(1).poisson(2.0, len(X)), "poisson", l2=0.0)
    theta = start(fun)
    curved = Curved.of(fun(Curvature(theta, "gram", double=True)), theta, fun.facts, "float64")
    assert (curved.values[0] > 0) == known
    if known:  # half of the squared difference, in columns of curvature 1
        assert curved.values[0] == pytest.approx(0.25e-12, rel=0.2)


def test_curvature_of_columns_that_were_not_centred_is_known_to_the_rounding_of_sums():
    """However many of them there are: in the direction of all, 1e-13."""
    size = 200
    matrix = np.eye(size) - (1.0 - 1e-13) / size
    facts = Facts(9, Parameters(size, np.ones(size, bool)), np.zeros(size), frozenset())
    curved = Curved.of(Curves(matrix, Point(1.0, np.ones(size))), np.zeros(size), facts, "float64")
    assert curved.values[0] == pytest.approx(1e-13, rel=0.1, abs=0.0)


def test_in_a_model_with_corners_it_is_as_well_known():
    """Its minimum in that direction is nearly as far off as the slope is steep, times 1e13."""
    size, free = 200, np.full(200, np.inf)
    matrix = np.eye(size) - (1.0 - 1e-13) / size
    penalty = Penalty(np.zeros(size), np.zeros(size), -free, free)
    facts = Facts(9, Parameters(size, np.ones(size, bool)), penalty.l2, frozenset(), penalty=penalty)
    model = Cornered.of(Curves(matrix, Point(1.0, np.full(size, -1e-13))), np.zeros(size), facts, "float64")
    found, reached = model.minimum()
    assert reached
    np.testing.assert_allclose(found, 1.0 / (1.0 + 0.1), rtol=0.1)  # by the least damping, a tenth of the curvature


@pytest.mark.parametrize(("share", "counts"), [(0.8, False), (1.2, True)])
def test_a_slope_is_rounding_below_the_root_of_twice_what_f_may_fall_by(share, counts):
    """Along a direction whose curvature is rounding as well: two columns that are the same."""
    above, free = 0.3, np.full(2, np.inf)
    slope = share * 1e-14 * np.sqrt(2.0 * above)
    penalty = Penalty(np.zeros(2), np.zeros(2), -free, free)
    parameters = Parameters(2, np.ones(2, bool))
    facts = Facts(9, parameters, penalty.l2, frozenset(), penalty=penalty, least=0.0)
    theta, grad = np.ones(2), slope * np.array([1.0, -1.0]) / np.sqrt(2.0)
    curves = Curves(np.ones((2, 2)), Point(above, grad))
    curved, cornered = (kind.of(curves, theta, facts, "float64") for kind in (Curved, Cornered))
    expected = 0.5 * slope**2 / 1e-18 if counts else 0.0
    assert curved.decrease == pytest.approx(expected, rel=1e-6, abs=1e-30)
    assert cornered.left(theta)[0] == pytest.approx(expected, rel=1e-6, abs=1e-30)


def test_where_no_slope_is_left_steepness_is_that_of_each_coordinate():
    facts = Facts(9, Parameters(2, np.ones(2, bool)), np.zeros(2), frozenset())
    for grad, expected in ((np.zeros(2), 1.0), (np.array([1.0, 1.0]), 1.5)):
        curves = Curves(np.array([[4.0, 2.0], [2.0, 4.0]]), Point(1.0, grad))
        assert Curved.of(curves, np.zeros(2), facts, "float64").steepness == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_where_predictors_may_move_alike_that_direction_is_given_a_curvature(outputs):
    """That of the mean coordinate; others keep theirs, and with one predictor or a penalty there is nothing to fix."""
    root = np.random.default_rng(0).standard_normal((9, 3))
    of_outputs = np.eye(outputs) - 1.0 / outputs if outputs > 1 else np.eye(1)
    matrix, places = np.kron(of_outputs, root.T @ root), np.arange(3 * outputs).reshape(outputs, 3)
    fixed, l2 = matrix.copy(), np.tile([0.0, 0.0, 0.1], outputs)
    fix_level(fixed, l2, places)
    added = np.zeros((3, 3)) if outputs == 1 else np.diag([*(1.0 - 1.0 / outputs) * np.diag(root.T @ root)[:2], 0.0])
    np.testing.assert_allclose(fixed - matrix, np.kron(np.full((outputs, outputs), 1.0 / outputs), added), atol=1e-14)


def test_a_penalty_hides_nothing_of_f():
    """What predictors round is of the rows' losses alone."""
    theta, curvature = np.array([3e6, -2e7]), np.array([0.5, 4.0])
    for l2 in (0.0, 1e9):
        facts = Facts(9, Parameters(2, np.ones(2, bool)), np.full(2, l2), frozenset(), least=0.0)
        curves = Curves(np.diag(curvature + l2), Point(1.0, np.ones(2)))
        expected = 0.5 * (curvature * (2.0**-53 * theta) ** 2).sum()
        assert Curved.of(curves, theta, facts, "float64").blurred == pytest.approx(expected, rel=1e-6, abs=0.0)


def test_what_leaves_the_range_of_numbers_tells_nothing():
    fun = objective(np.random.default_rng(0).standard_normal((60, 1)), np.arange(60) % 2)
    apart = np.array([[1e-300, 1e300], [1e300, 1e-300]])  # in parameters of curvature 1 an overflow
    for matrix, grad in ((apart, np.ones(2)), (1e-300 * np.eye(2), np.full(2, 1e200))):
        assert Curved.of(Curves(matrix, Point(1.0, grad)), start(fun), fun.facts, "float64") is None
    assert Curved.of(Curves(np.eye(2), Point(1.0, np.ones(2))), start(fun), fun.facts, "float64") is not None


def test_what_is_held_is_left_to_its_penalty():
    matrix, grad, theta = np.arange(1.0, 17.0).reshape(4, 4), np.arange(1.0, 5.0), np.full(4, 3.0)
    hold(matrix, grad, theta, np.array([0.0, 0.5, 0.0, 0.25]), np.array([1, 2]))
    np.testing.assert_array_equal(matrix, [[1, 0, 0, 4], [0, 0.5, 0, 0], [0, 0, 1, 0], [13, 0, 0, 16]])
    np.testing.assert_array_equal(grad, [1, 1.5, 0, 4])


def test_a_column_without_variation_is_not_moved():
    X = np.random.default_rng(0).standard_normal((60, 3))
    X[:, 1] = 7.0
    fun = objective(X, np.arange(60) % 2, "logistic", l2=0.0)
    theta = start(fun)
    curves = fun(Curvature(theta, "gram", double=True))
    curved = Curved.of(curves, theta, fun.facts, "float64")
    assert curved.held.tolist() == [1]
    probes = list(curved.probes(1e-6, kinked=True))
    steps = [curved.direction(0.0), *(step for step, _ in probes)]
    assert len(steps) == 3
    for step in steps:
        assert step[1] == 0.0
        assert step[[0, 2]].all()
    for step, rise in probes:  # by the quadratic model, whose minimum they go beyond
        assert rise == pytest.approx(curves.point.grad @ step + 0.5 * step @ curves.matrix @ step, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("solver", ["auto", "sampled-lbfgs", "lbfgs"])
def test_what_sparse_columns_far_from_zero_hide_is_not_taken_for_the_end(solver):
    X, w = nearly_alike(300.0, 1e-8)
    y = np.random.default_rng(2).poisson(np.exp(0.5 * w))
    # The same columns, told apart: exact differences of what was stored.
    few = np.column_stack((X[:, 0] - 300.0, (X[:, 1] - X[:, 0]) / 1e-8))
    exact = objective(few, y, "poisson", l2=0.0)
    best = minimize(exact, start(exact), solver="newton", tol=1e-12).value
    fun = objective(csr_array(X), y, "poisson", l2=0.0)
    result = minimize(fun, start(fun), solver=solver)
    distance = exact.full_loss(_told_apart(result.theta, fun)) - best
    assert result.status in (Status.CONVERGED, Status.PRECISION)
    if result.status is Status.CONVERGED:
        assert distance <= 1e-6 * fun.facts.parameters.null


def _told_apart(theta, fun):
    """Theta of the two columns told apart, from that of the columns as stored: in long double, since it cancels."""
    a, b, c = np.asarray(fun.variables.to_blocks(theta), np.longdouble)
    raw = np.array([a + b, 1e-8 * b, c + 300.0 * (a + b)], np.float64)
    X, _ = nearly_alike(300.0, 1e-8)
    mean = np.column_stack((X[:, 0] - 300.0, (X[:, 1] - X[:, 0]) / 1e-8)).mean(axis=0)
    raw[2] += mean @ raw[:2]  # the objective told apart is centred
    return raw


def in_long_double(loss, predictions, y):
    if loss == "squared":
        losses = (predictions - y) ** 2 / 2
    elif loss == "poisson":
        losses = np.exp(predictions) - y * predictions - (y - y * np.log(y.astype(np.longdouble)))
    else:
        losses = np.maximum(1 - y * predictions, 0) ** 2 / 2
    return losses.mean()


@pytest.mark.parametrize("loss", ["squared", "poisson", "squared_hinge"])
@pytest.mark.parametrize("far", [0.0, 1e3, 1e5])
def test_what_large_terms_that_cancel_hide_of_f(loss, far):
    """F by long double, where it is 0 but for the targets' own rounding, and as blocks tell it."""
    rng = np.random.default_rng(2)
    z, w = rng.standard_normal((2, 500))
    w = np.sign(w) if loss == "squared_hinge" else w / 4
    X = np.column_stack((far + z, far + z + 2.0**-30 * w))
    theta = np.array([-1.1e9, 1.1e9, w.mean()])
    stored = objective(X, np.arange(500) % 2).variables.to_blocks(theta)
    predictions = X.astype(np.longdouble) @ stored[:2] + stored[2]
    y = {"squared": predictions, "poisson": np.exp(predictions), "squared_hinge": np.sign(predictions)}[loss]
    fun = objective(X, y.astype(float), loss, l2=0.0)
    curves = fun(Curvature(theta, "gram", double=True))
    off = abs(float(curves.point.value - fun.facts.least - in_long_double(loss, predictions, y.astype(float))))
    blurred = Curved.of(curves, theta, fun.facts, "float64").blurred
    assert off <= SURE * blurred
    assert blurred <= 1.1 * (2.0**-53 * 1.1e9 * np.hypot(far, 2.0)) ** 2  # of two columns, half the square each
