import numpy as np
import pytest
from problems import REFERENCES, diabetes, objective, start
from scipy.sparse import csr_array

from fullbatch import LeastSquares, Objective, Status, ThreadEngine, minimize, ridge_path
from fullbatch.protocols import Squares
from fullbatch.sampling import uniform_of_rows


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
