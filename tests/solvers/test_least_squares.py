import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import REFERENCES, diabetes, objective, start
from scipy.sparse import csr_array

from fullbatch import (
    LeastSquares,
    Linear,
    Objective,
    SerialEngine,
    Standardized,
    Status,
    ThreadEngine,
    array_sources,
    load_state,
    minimize,
    ridge_path,
    save_state,
)
from fullbatch.protocols import Category, Rows, Squares
from fullbatch.protocols.sampling import uniform_of_rows
from fullbatch.run.saved import contents_of
from fullbatch.saving.files import write
from fullbatch.solvers._sum_of_squares import Reduced, _shortest
from fullbatch.solvers.ridge_path import Spectrum

LONG = np.longdouble


def by_qr(X, y, weight, l2):
    """The reference: one QR decomposition of all rows, the penalty's rows below them."""
    root = np.sqrt(weight)[:, None]
    rows = np.vstack((root * np.column_stack((X, np.ones(len(y)))), np.diag(np.sqrt(weight.sum() * l2))))
    Q, R = np.linalg.qr(rows)
    return np.linalg.solve(R, Q.T @ np.concatenate((root[:, 0] * y, np.zeros(len(l2)))))


def data(n=3000, p=8, condition=1.0, seed=0):
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.standard_normal((n, p)))
    right, _ = np.linalg.qr(rng.standard_normal((p, p)))
    X = np.sqrt(n) * left * np.geomspace(1, 1 / condition, p) @ right.T
    weight = rng.uniform(0.5, 2, n)
    return X, X @ rng.standard_normal(p) + 1e-3 * rng.standard_normal(n), weight


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("l2", [0.0, 1e-3])
@pytest.mark.parametrize("kind", ["float64", "float32", "csr"])
def test_one_pass_gives_the_solution(kind, l2, centred):
    X, y, weight = data()
    X = X + 3.0
    given = csr_array(X) if kind == "csr" else X.astype(kind)
    fun = objective(given, y, "squared", l2=l2, sample_weight=weight, centred=centred, blocks=7)
    result = minimize(fun, start(fun), solver="least-squares")
    assert (result.status, result.passes, result.iterations) == (Status.CONVERGED, 1, 1)
    theta = fun.variables.to_blocks(result.theta) if centred else result.theta
    exact = given.astype(np.float64) if kind == "float32" else X
    wanted = by_qr(exact, y, weight, objective(X, y, "squared", l2=l2, centred=False).l2)
    np.testing.assert_allclose(theta, wanted, rtol=1e-10, atol=1e-11)
    same = objective(exact, y, "squared", l2=l2, sample_weight=weight, centred=centred)
    assert result.value == pytest.approx(same.full_loss(result.theta), rel=1e-8)


@pytest.mark.parametrize("condition", [1e7, 1e10])
def test_an_ill_conditioned_problem_takes_a_second_pass_and_keeps_its_digits(condition):
    X, y, weight = data(condition=condition)
    fun = objective(X, y, "squared", l2=0.0, sample_weight=weight, centred=False, blocks=5)
    result = minimize(fun, start(fun), solver="least-squares")
    assert result.passes == 2
    # Perturbations of the size of rounding move the solution by this much, whatever computes it.
    accuracy = 100 * np.finfo(float).eps * condition * (1 + 1e-3 * condition / np.linalg.norm(result.theta) / 55)
    wanted = by_qr(X, y, weight, np.zeros(9))
    np.testing.assert_allclose(result.theta, wanted, atol=accuracy * np.abs(wanted).max())


def test_a_penalty_that_makes_it_well_conditioned_saves_the_second_pass():
    X, y, weight = data(condition=1e10)
    fun = objective(X, y, "squared", l2=1e-3, sample_weight=weight, centred=False, blocks=5)
    result = minimize(fun, start(fun), solver="least-squares")
    assert result.passes == 1
    np.testing.assert_allclose(result.theta, by_qr(X, y, weight, fun.l2), rtol=1e-8, atol=1e-9)


def test_the_hessian_of_raw_columns_far_from_zero_is_not_ill_conditioned():
    X, y, weight = data()
    fun = objective(X + 1e6, y, "squared", l2=0.0, sample_weight=weight, centred=True)
    result = minimize(fun, start(fun), solver="least-squares")
    assert result.passes == 1
    wanted = by_qr(X, y, weight, np.zeros(9))
    np.testing.assert_allclose(result.theta[:-1], wanted[:-1], rtol=1e-7)


def test_features_whose_squares_overflow():
    X, y, weight = data(p=3)
    scale = np.array([1.0, 1e180, 1e-170])
    fun = objective(X * scale, y, "squared", l2=0.0, sample_weight=weight, centred=False)
    with np.errstate(over="ignore", invalid="ignore"):
        result = minimize(fun, start(fun), solver="least-squares")
    np.testing.assert_allclose(result.theta[:-1] * scale, by_qr(X, y, weight, np.zeros(4))[:-1], rtol=1e-9)


def test_dependent_columns():
    X, y, weight = data()
    more = np.column_stack((X, X[:, 0] + X[:, 1], np.full(len(y), 5.0), np.zeros(len(y))))
    fun = objective(more, y, "squared", l2=0.0, sample_weight=weight)
    result = minimize(fun, start(fun), solver="least-squares")
    few = objective(X, y, "squared", l2=0.0, sample_weight=weight)
    assert result.passes == 2
    assert result.value == pytest.approx(minimize(few, start(few), solver="least-squares").value, rel=1e-9)
    assert np.abs(result.theta).max() < 100


def test_reference_optimum_and_start_that_does_not_matter():
    load, loss, l2, optimum = REFERENCES["diabetes 1e-3"]
    fun = objective(*load(), loss, l2)
    result = minimize(fun, 100 * np.random.default_rng(0).standard_normal(fun.size), solver="least-squares")
    assert result.value == pytest.approx(optimum, rel=1e-11)
    assert result.grad_norm < 1e-10 * result.first_grad_norm


def test_a_path_and_its_cross_validation_read_the_data_once():
    X, y = diabetes()
    X = X * 20
    strengths = np.geomspace(1e-4, 10, 15)
    fun = objective(X, y, "squared", l2=0.0, centred=False, blocks=4)
    path = ridge_path(fun, strengths, folds=5, seed=3)
    assert fun.num_passes == 1
    fold = (uniform_of_rows(0, len(y), 3) * 5).astype(int)
    ones = np.ones(len(y))
    for number in (0, 7, 14):
        one = Objective(fun.blocks, strengths[number])
        wanted = by_qr(X, y, ones, one.l2)
        np.testing.assert_allclose(path.theta[number], wanted, rtol=1e-8)
        assert path.value[number] == pytest.approx(one.full_loss(wanted), rel=1e-10)
        for held in range(5):
            train = fold != held
            theta = by_qr(X[train], y[train], ones[train], one.l2)
            residual = X[~train] @ theta[:-1] + theta[-1] - y[~train]
            assert path.held_out[number, held] == pytest.approx(0.5 * np.mean(residual**2), rel=1e-8)
    assert path.best == int(path.held_out.mean(axis=1).argmin())


def test_folds_do_not_depend_on_blocks_or_threads():
    X, y, weight = data()
    paths = [
        ridge_path(objective(X, y, "squared", sample_weight=weight, blocks=5, engine=ThreadEngine(threads)), [1e-3], 4)
        for threads in (1, 3)
    ]
    assert paths[0].held_out.tobytes() == paths[1].held_out.tobytes()
    other = ridge_path(objective(X, y, "squared", sample_weight=weight, blocks=2), [1e-3], 4)
    np.testing.assert_allclose(other.held_out, paths[0].held_out, rtol=1e-8)


def test_what_cannot_be_asked():
    fun = objective(*diabetes(), "squared")
    for arguments, message in (
        (([-1.0],), "not negative"),
        (([1.0], 1), "folds must be 0, or 2 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            ridge_path(fun, *arguments)
    with pytest.raises(ValueError, match=r"the sums of products of 11 columns take 0.0046\d* MB, more than max_bytes"):
        minimize(fun, start(fun), solver=LeastSquares(max_bytes=4000))
    with pytest.raises(ValueError, match="no folds to choose by"):
        ridge_path(fun, [1.0]).best  # noqa: B018
    other = objective(*diabetes(), "huber")
    with pytest.raises(TypeError, match="needs a linear model with the squared loss"):
        ridge_path(other, [1.0])
    with pytest.raises(TypeError, match=r"LeastSquares needs Squares, .*: use '(newton|sampled-lbfgs)'"):
        minimize(other, start(other), solver="least-squares")
    assert Squares not in other.blocks.answers


# --- against sums in long double --------------------------------------------------------------------------------


def value_at(theta, X, y, weight, l2=0.0):
    """F in long double; theta as the blocks have it, with an intercept if it is one longer than X is wide."""
    p = X.shape[1]
    X, y, weight, theta = (np.asarray(one).astype(LONG) for one in (X, y, weight, theta))
    residual = X @ theta[:p] + (theta[p] if len(theta) > p else 0) - y
    return 0.5 * (weight @ residual**2) / weight.sum() + 0.5 * (np.asarray(l2) * theta[:p] ** 2).sum()


def least_value(X, y, weight, l2=0.0, intercept=True):
    """The minimum of F, and its coefficients: LAPACK on centred, scaled columns, refined in long double."""
    X, y, weight = (np.asarray(one).astype(LONG) for one in (X, y, weight))
    total = weight.sum()
    if intercept:
        X, y = X - (weight @ X) / total, y - (weight @ y) / total
    penalty = np.sqrt(total * np.broadcast_to(np.asarray(l2, LONG), X.shape[1]))
    A = np.vstack((np.sqrt(weight)[:, None] * X, np.diag(penalty)))
    largest = np.abs(A).max(axis=0)
    A = A / largest
    length = np.sqrt((A * A).sum(axis=0))
    A, goal = A / length, np.concatenate((np.sqrt(weight) * y, np.zeros(X.shape[1], LONG)))
    b, residual = np.zeros(X.shape[1], LONG), goal
    for _ in range(5):
        unit = np.abs(residual).max() or LONG(1)
        b += unit * np.linalg.lstsq(A.astype(float), (residual / unit).astype(float), rcond=1e-14)[0]
        residual = goal - A @ b
    return 0.5 * (residual @ residual) / total, (b / length / largest).astype(float)


def fitted(X, y, weight=None, l2=0.0, intercept=True, variables="centred", blocks=3, offset=None, scale=1.0):
    """Result, and theta as the blocks have it."""
    sources = array_sources(X, y, weight, offset, blocks=blocks, scale=scale)
    placed = SerialEngine().place(Linear("squared", intercept), sources)
    kind = {None: None, "centred": False, "scaled": True}[variables]
    change = None if kind is None else Standardized(placed.schema, 1, intercept, kind)
    result = minimize(Objective(placed, l2, change), np.zeros(placed.parameters.size), solver="least-squares")
    return result, result.theta if change is None else change.to_blocks(result.theta)


def columns(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    return X, X @ [1.0, 2.0, 3.0] + rng.standard_normal(n)


@st.composite
def problems(draw):
    """Columns of any scale, some far from zero, nearly collinear or equal, one constant; and how to fit them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, p = draw(st.sampled_from([30, 100, 400])), draw(st.integers(1, 8))
    X = rng.standard_normal((n, p))
    if p > 1 and draw(st.booleans()):
        X[:, 1] = X[:, 0] + 10.0 ** draw(st.integers(-6, -1)) * X[:, 1]
    if draw(st.booleans()):
        X *= 10.0 ** rng.uniform(-6, 6, p)
    intercept = draw(st.booleans())
    if intercept:
        X += 10.0 ** draw(st.integers(-2, 6)) * X.std(axis=0)
    kind = draw(st.sampled_from(["float64", "float32", "csr"]))
    X = X.astype("float32" if kind == "float32" else "float64")
    constant = draw(st.sampled_from([None, 0.0, 1.0, 0.1, 1e8, 1e-300] if intercept else [None, 0.0]))
    copied = draw(st.booleans())
    y = 10.0 ** draw(st.integers(-1, 1)) * rng.standard_normal(n)
    y += (X - X.mean(axis=0)) @ (rng.standard_normal(p) / X.std(axis=0))
    y += draw(st.sampled_from([0.0, 1e4, 1e7])) if intercept else 0.0
    weight = draw(st.sampled_from([None, "any", "some are 0"]))
    if weight is not None:
        weight = rng.uniform(0.1, 2.0, n) * (rng.random(n) < (0.8 if weight == "some are 0" else 1.0))
    offset = rng.standard_normal(n) if draw(st.booleans()) else None
    l2 = draw(st.sampled_from([0.0, 1e-4, 1.0]))
    variables, blocks = draw(st.sampled_from([None, "centred", "scaled"])), draw(st.integers(1, 5))
    return X, y, weight, offset, l2, intercept, kind, constant, copied, variables, blocks


@settings(derandomize=True, max_examples=40, deadline=None)
@given(problems())
def test_any_problem(problem):
    X, y, weight, offset, l2, intercept, kind, constant, copied, variables, blocks = problem
    p, more = X.shape[1], [X]
    if constant is not None:
        more.append(np.full((len(y), 1), constant, X.dtype))
    if copied:
        more.append(X[:, :1])
    all_columns = np.column_stack(more)
    if weight is not None and kind != "csr":
        all_columns[weight == 0] = 1e30 if kind == "float32" else 1e200  # whatever it is
    rows = csr_array(all_columns) if kind == "csr" else all_columns
    result, theta = fitted(rows, y, weight, l2, intercept, variables, blocks, offset)
    counted = np.ones(len(y)) if weight is None else weight
    target = y if offset is None else y - offset
    X, all_columns, target, counted = (one[counted > 0].astype(float) for one in (X, all_columns, target, counted))
    assert result.success
    assert result.optimality <= 1e-20
    middle = np.average(all_columns, axis=0, weights=counted)
    deviation = np.sqrt(np.average((all_columns - middle) ** 2, axis=0, weights=counted))
    strength = l2 * np.where(deviation > 1e-10 * np.abs(middle), deviation, 1.0) ** 2 if variables == "scaled" else l2
    strength = np.broadcast_to(strength, all_columns.shape[1])
    here = value_at(theta, all_columns, target, counted, strength)
    # F as told is made of sums of squares, and terms that cancel leave their rounding in it.
    sizes = np.abs(all_columns - middle if intercept else all_columns) @ np.abs(theta[: all_columns.shape[1]])
    rounding = 20 * np.finfo(float).eps * np.average(sizes**2, weights=counted)
    assert result.value == pytest.approx(float(here), rel=1e-9, abs=rounding)
    # Two equal columns with a penalty are one with half of it.
    halved = strength[:p] / np.where(copied & (np.arange(p) == 0), 2.0, 1.0)
    best, _ = least_value(X, target, counted, halved, intercept)
    assert float(here) == pytest.approx(float(best), rel=1e-9)
    assert result.state.constant.tolist() == ([] if constant is None else [p])
    assert result.state.dependent.tolist() == ([0, len(strength) - 1] if copied and l2 == 0 else [])
    if constant is not None:
        assert theta[p] == 0.0
    if copied and l2 == 0:  # a weak penalty leaves the difference to rounding
        assert theta[0] == pytest.approx(theta[len(strength) - 1], rel=1e-6)


# --- columns without variation, and dependent ones ---------------------------------------------------------------


@pytest.mark.parametrize("variables", [None, "centred", "scaled"])
@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -1 / 3, 1e8, 1e-300, 1e300])
def test_a_constant_column_changes_nothing(constant, variables):
    X, y = columns()
    for weight in (None, np.random.default_rng(1).uniform(0.0, 1.0, len(y))):
        alone, theta = fitted(X, y, weight)
        result, more = fitted(np.insert(X, 1, constant, axis=1), y, weight, variables=variables, blocks=7)
        assert (result.status, more[1]) == (Status.CONVERGED, 0.0)
        assert result.state.constant.tolist() == [1]
        np.testing.assert_allclose(np.delete(more, 1), theta, rtol=1e-10, atol=1e-12)
        assert result.value == pytest.approx(alone.value, rel=1e-12)


@pytest.mark.parametrize("kind", ["uint8", "int8", "float32", "csr"])
def test_a_constant_column_of_any_type(kind):
    rng = np.random.default_rng(0)
    X, (_, y) = rng.integers(0, 100, (200, 3)).astype("float64" if kind == "csr" else kind), columns()
    X[:, 1] = 7
    result, theta = fitted(csr_array(X) if kind == "csr" else X, y, scale=1.0 if kind == "csr" else 1 / 255)
    assert (theta[1], result.passes, result.state.constant.tolist()) == (0.0, 1, [1])
    without, zero = fitted(X * [1, 0, 1], y, intercept=False)
    assert (zero[1], without.state.constant.tolist()) == (0.0, [1])
    with_it, one = fitted(X, y, intercept=False)  # then it is the intercept
    assert one[1] * 7 == pytest.approx(theta[3], rel=1e-9)
    assert with_it.state.constant.size == 0


def test_a_constant_column_with_a_penalised_intercept_shares_it():
    X, y = columns()
    X, y = np.column_stack((X, np.full(len(y), 2.0))), y + 3.0
    result, theta = fitted(X, y, l2=np.full(5, 0.1), variables=None)
    rows = np.vstack((np.column_stack((X, np.ones(len(y)))), np.eye(5) * np.sqrt(0.1 * len(y))))
    wanted = np.linalg.lstsq(rows, np.append(y, np.zeros(5)), rcond=None)[0]
    np.testing.assert_allclose(theta, wanted, rtol=1e-11)
    assert result.state.constant.tolist() == [3]
    assert theta[3] == pytest.approx(2 * theta[4], rel=1e-10)


def test_levels_that_add_up_to_the_intercept():
    codes = np.random.default_rng(0).integers(0, 4, 300).astype(np.int32)
    y = np.array([1.0, 5.0, 2.0, 9.0])[codes] + np.random.default_rng(1).standard_normal(300)
    X = np.random.default_rng(2).standard_normal((300, 2))
    sources = [InMemory(Rows(X[at], y[at], categories=(Category(codes[at], np.arange(4)),))) for at in halves(300)]
    result = minimize(Objective(SerialEngine().place(Linear("squared"), sources)), np.zeros(7), solver="least-squares")
    assert result.state.dependent.tolist() == [2, 3, 4, 5]
    one_hot = np.column_stack((X, codes[:, None] == np.arange(4))).astype(float)
    best, _ = least_value(one_hot[:, :-1], y, np.ones(300))
    assert result.value == pytest.approx(float(best), rel=1e-12)
    # The shortest in columns of length 1: no part along the combination that is zero.
    spread = one_hot[:, 2:].std(axis=0)
    assert (result.theta[2:6] * spread) @ spread == pytest.approx(0.0, abs=1e-10)


def halves(n):
    return slice(0, n // 2), slice(n // 2, n)


class InMemory:
    """A source of rows that are there."""

    def __init__(self, rows):
        self.rows = rows

    def read(self):
        return self.rows


@pytest.mark.parametrize("far", [0.0, 1e3, 1e7])
def test_the_same_quantity_in_other_units(far):
    """Celsius and Fahrenheit: equal but for the rounding of numbers that are far from zero."""
    X, y = columns()
    celsius = X[:, 0] + far
    result, theta = fitted(np.column_stack((celsius, 1.8 * celsius + 32, X[:, 1:])), y)
    assert result.state.dependent.tolist() == [0, 1]
    assert np.abs(theta[:4]).max() < 10
    assert result.value == pytest.approx(fitted(X, y)[0].value, rel=1e-7 if far == 1e7 else 1e-10)


def test_collinear_to_a_millionth_is_not_dependent():
    X, y = columns()
    near = np.column_stack((X, X[:, 0] + 1e-6 * np.random.default_rng(3).standard_normal(len(y))))
    result, theta = fitted(near, y)
    best, b = least_value(near, y, np.ones(len(y)))
    assert (result.passes, result.state.dependent.size) == (2, 0)
    assert result.value == pytest.approx(float(best), rel=1e-9)
    np.testing.assert_allclose(theta[:-1], b, rtol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_rows_than_columns(n):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, 8)), rng.standard_normal(n)
    result, theta = fitted(X, y, blocks=1)
    assert result.success
    np.testing.assert_allclose(X @ theta[:-1] + theta[-1], y, rtol=1e-12)
    centred = X - X.mean(axis=0)
    length = np.linalg.norm(centred, axis=0) if n > 1 else np.ones(8)
    shortest = np.linalg.lstsq(centred / length, y - y.mean(), rcond=1e-12)[0] / length
    np.testing.assert_allclose(theta[:-1], shortest, atol=1e-13)
    assert (result.state.constant if n == 1 else result.state.dependent).tolist() == list(range(8))


# --- digits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e8, 1.7e9])
def test_value_and_held_out_losses_of_targets_far_from_zero(mean):
    X, y = columns(300)
    y = mean + y
    result, theta = fitted(X, y)
    assert result.passes == 1
    assert result.value == pytest.approx(float(value_at(theta, X, y, np.ones(300))), rel=1e-12 + 1e-20 * mean)
    fun = Objective(SerialEngine().place(Linear("squared"), array_sources(X, y, blocks=4)))
    path = ridge_path(fun, [1e-2, 1.0], folds=5, seed=1)
    assert fun.num_passes == 1
    fold = (uniform_of_rows(0, 300, 1) * 5).astype(int)
    for number, l2 in enumerate(path.l2):
        for held in range(5):
            train = fold != held
            _, b = least_value(X[train], y[train], np.ones(train.sum()), l2)
            residual = (y - X @ b) - (y - X @ b)[train].astype(LONG).mean()
            assert path.held_out[number, held] == pytest.approx(
                float(0.5 * (residual[~train] ** 2).mean()), rel=1e-12 + 1e-16 * mean
            )


@pytest.mark.parametrize("variables", [None, "centred", "scaled"])
@pytest.mark.parametrize("far", [1e2, 1e5, 1e8])
def test_means_far_beyond_the_spread(far, variables):
    X, y = columns()
    X = X + far
    result, theta = fitted(X, y, variables=variables)
    best, b = least_value(X, y, np.ones(len(y)))
    assert result.passes == 1
    assert result.value == pytest.approx(float(best), rel=1e-12)
    np.testing.assert_allclose(theta[:3], b, rtol=1e-12)


@pytest.mark.parametrize("variables", [None, "centred", "scaled"])
@pytest.mark.parametrize("size", [1e-170, 1e-155, 1e150, 1e155, 1e300])
def test_columns_whose_squares_leave_the_range(size, variables):
    X, y = columns()
    result, theta = fitted(X * [1.0, size, 1.0], y, variables=variables)
    _, usual = fitted(X, y)
    np.testing.assert_allclose(theta * [1.0, size, 1.0, 1.0], usual, rtol=1e-12)
    assert result.status is Status.CONVERGED


def test_targets_whose_squares_leave_the_range():
    X, y = columns()
    _, usual = fitted(X, y)
    for size in (1e-300, 1e-170, 1e150):
        result, theta = fitted(X, size * y)
        np.testing.assert_allclose(theta / size, usual, rtol=1e-12)
        assert result.success
    for size in (1e155, 1e160, 1e300):
        with pytest.raises(ValueError, match="not finite numbers: scale the target or the columns"):
            fitted(X, size * y)


def test_rows_of_weight_0_count_nothing():
    X, y = columns()
    result, theta = fitted(X, y)
    for wild in (1e10, 1e200, -1.7e308):
        more = np.vstack((X, np.full((5, 3), wild) * (-1.0) ** np.arange(15).reshape(5, 3)))
        weight = np.append(np.ones(len(y)), np.zeros(5))
        for variables in (None, "centred"):
            other, at = fitted(more, np.append(y, np.full(5, wild)), weight, variables=variables)
            np.testing.assert_allclose(at, theta, rtol=1e-12)
            assert other.value == pytest.approx(result.value, rel=1e-13)


def test_what_is_explained_almost_entirely_takes_a_second_pass():
    X, y = columns()
    for noise, passes in ((1e-1, 1), (1e-6, 2)):
        target = X @ [1.0, 2.0, 3.0] + noise * (y - X @ [1.0, 2.0, 3.0])
        result, _ = fitted(X, target)
        best, _ = least_value(X, target, np.ones(len(y)))
        assert result.passes == passes
        assert result.value == pytest.approx(float(best), rel=1e-9)


# --- the path -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (1e-6, 1.0, 1e6), (1e-150, 1.0, 1e150)])
def test_a_path_is_what_single_fits_are(scales):
    X, y = columns()
    X = np.column_stack((X * scales, np.ones(len(y)), X[:, 1]))
    placed = SerialEngine().place(Linear("squared"), array_sources(X, y, blocks=4))
    path = ridge_path(Objective(placed), [0.0, 1e-30, 1e-3, 10.0])
    for number, l2 in enumerate(path.l2):
        alone = minimize(Objective(placed, l2), np.zeros(6), solver="least-squares")
        np.testing.assert_allclose(path.theta[number], alone.theta, rtol=1e-8, atol=1e-13)
        assert path.value[number] == pytest.approx(alone.value, rel=1e-12)
        assert path.theta[number, 3] == 0.0


def test_a_solution_is_exact_to_the_last_digits_where_nothing_is_ill_conditioned():
    """Whole numbers, whose products are exact: what the singular vectors have lost comes back from the residual."""
    rng = np.random.default_rng(0)
    off = []
    for _ in range(10):
        A, wanted = rng.integers(-9, 10, (40, 30)).astype(float), rng.integers(1, 10, 30).astype(float)
        found, remaining, _, dependent = _shortest(A, A @ wanted, np.zeros(30), 0.0)
        assert not dependent.size
        assert remaining < 2e-15
        off.append(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    assert np.median(off) < 4 * np.finfo(float).eps


@pytest.mark.parametrize("weight", [1e-20, 1.0, 1e20])
def test_directions_that_repeat_others_are_left_out_in_any_unit_of_weights(weight):
    X, y = columns()
    X = np.column_stack((X, X[:, 1]))
    placed = SerialEngine().place(Linear("squared"), array_sources(X, y, np.full(len(y), weight)))
    (factor,) = Objective(placed)(Squares(exact=True))
    centred = X - X.mean(axis=0)
    expected = weight * np.linalg.eigvalsh(centred.T @ centred)[:0:-1]  # but for the least, which is rounding
    np.testing.assert_allclose(Spectrum.of(factor, np.ones(4)).squares, expected, rtol=1e-10)


def test_rounding_of_many_columns_is_no_direction():
    """That of singular values grows with their number."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 120))
    X = np.column_stack((X, X @ rng.standard_normal((120, 120))))
    placed = SerialEngine().place(Linear("squared"), array_sources(X, X[:, 0]))
    (factor,) = Objective(placed)(Squares(exact=True))
    centred = X - X.mean(axis=0)
    expected = np.linalg.svd(centred, compute_uv=False)[:120] ** 2  # the others are combinations
    np.testing.assert_allclose(Spectrum.of(factor, np.ones(240)).squares, expected, rtol=1e-9)


def test_a_path_of_ill_conditioned_columns_takes_a_second_pass():
    for condition, passes in ((1e6, 2), (1e2, 1)):
        X, y, weight = data(condition=condition)
        more = np.random.default_rng(1).standard_normal(len(y))  # so much is left that it takes none for that
        y = y + more - np.column_stack((X, np.ones(len(y)))) @ by_qr(X, more, weight, np.zeros(9))
        fun = objective(X, y, "squared", l2=0.0, sample_weight=weight, centred=False, blocks=5)
        path = ridge_path(fun, [0.0])
        assert fun.num_passes == passes
        wanted = by_qr(X, y, weight, np.zeros(9))
        np.testing.assert_allclose(path.theta[0], wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("intercept", [True, False])
def test_a_sum_of_factors_with_the_intercept_solved_for_is_the_same_sum_of_squares(intercept):
    """Of the rows of two folds, whose residuals no theta makes zero, at any theta."""
    X, y, weight = data(n=60, p=3)
    blocks = SerialEngine().place(Linear("squared", intercept), array_sources(X, y + X[:, 0] ** 2, weight))
    first, second = Objective(blocks)(Squares(folds=2))
    factor, rng = first + second, np.random.default_rng(1)
    reduced = Reduced.of(factor)
    for v in rng.standard_normal((3, 3 + intercept)):
        b, a = (v[:3], v[-1]) if intercept else (v, 0.0)
        residual = X @ factor.theta_of(v)[:3] + (factor.theta_of(v)[3] if intercept else 0.0) - y - X[:, 0] ** 2
        parts = ((reduced.R @ b - reduced.z) ** 2).sum() + (reduced.level * a + reduced.pull @ b - reduced.target) ** 2
        assert parts + reduced.rest == pytest.approx(weight @ residual**2, rel=1e-12)


def test_folds_without_rows_or_with_all_the_weight():
    X, y = columns(12)
    placed = SerialEngine().place(Linear("squared"), array_sources(X, y, blocks=3))
    path = ridge_path(Objective(placed), [1e-2, 1.0], folds=40)
    empty = np.bincount((uniform_of_rows(0, 12, 0) * 40).astype(int), minlength=40) == 0
    assert empty.any()
    assert (np.isnan(path.held_out) == empty).all()
    assert path.best == int(np.nanmean(path.held_out, axis=1).argmin())
    weight = ((uniform_of_rows(0, 12, 0) * 3).astype(int) == 1).astype(float)
    placed = SerialEngine().place(Linear("squared"), array_sources(X, y, weight))
    path = ridge_path(Objective(placed), [1e-2, 1.0], folds=3)
    assert np.isfinite(path.theta).all()
    assert np.isnan(path.held_out).all()
    with pytest.raises(ValueError, match="no fold tells anything: all the weight is in one"):
        path.best  # noqa: B018


# --- the state ------------------------------------------------------------------------------------------------------


def test_the_same_bits_for_any_number_of_threads():
    X, y = columns(5000)
    X = np.column_stack((X, np.ones(5000), X[:, 0], 1e8 + X[:, 1]))
    seen = set()
    for threads in (1, 2, 4):
        fun = objective(X, y + 1e8, "squared", l2=0.0, engine=ThreadEngine(threads), blocks=9)
        result = minimize(fun, start(fun), solver="least-squares")
        state = result.state
        seen.add(pickle.dumps((result.theta, result.value, state.remaining, state.constant, state.dependent)))
    assert len(seen) == 1


def test_optimality_is_measured_and_a_solution_cannot_be_improved():
    X, y = columns()
    fun = objective(X, y, "squared")
    result = minimize(fun, start(fun), solver="least-squares", tol=0)
    assert (result.passes, result.iterations) == (1, 1)
    assert result.status is (Status.CONVERGED if result.optimality == 0 else Status.PRECISION)
    assert result.optimality < 1e-28
    state = minimize(fun, start(fun), solver="least-squares", max_iter=0).state
    assert LeastSquares().optimality(state) == np.inf


def test_a_state_of_an_earlier_version_is_solved_again(tmp_path):
    X, y = columns()
    fun = objective(X, y, "squared")
    result = minimize(fun, start(fun), solver="least-squares")
    state = result.state
    save_state(tmp_path / "new", state)
    loaded = load_state(tmp_path / "new")
    for field in fields(state):
        assert np.array_equal(getattr(loaded, field.name), getattr(state, field.name))
    arrays, metadata = contents_of(replace(state, found=np.zeros(4), theta=np.zeros(4)))
    for name in ("doubt", "remaining", "constant", "dependent"):
        del arrays[name]
    write(tmp_path / "old", "LeastSquaresState", arrays, metadata)
    again = minimize(fun, start(fun), resume=load_state(tmp_path / "old"))
    assert again.status is Status.CONVERGED
    np.testing.assert_allclose(again.theta, result.theta, rtol=1e-12)
