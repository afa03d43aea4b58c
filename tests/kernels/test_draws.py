"""Models that count rows in their own way, in one pass: against sample weights, and against fits one by one."""

import math

import numpy as np
import pytest
import scipy.sparse

from fullbatch import Draw, Linear, Objective, SerialEngine, array_sources, minimize
from fullbatch.errors import BlockError, DataError
from fullbatch.protocols import DrawnValueGrad, HessVec, ValueGrad
from fullbatch.protocols.requests import DrawnCurvature
from fullbatch.protocols.sampling import POISSON
from fullbatch.run.lockstep import lockstep
from fullbatch.solvers.lbfgs import LBFGS
from fullbatch.solvers.proximal import ProximalNewton

DRAWS = (
    Draw("all"),
    Draw("without", 1, folds=3),
    Draw("only", 2, folds=3),
    Draw("without", 1, folds=3, seed=5),
    Draw("bootstrap", 0),
    Draw("bootstrap", 1),
    Draw("bootstrap", 1, seed=-3),
)


def data(kind, rows=331, classes=2):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 13))
    X = scipy.sparse.csr_array(X * (X > 0.3)) if kind == "csr" else X.astype(kind)
    return X, np.arange(rows) % classes, rng.random(rows) * (rng.random(rows) > 0.1)


def placed(loss, X, y, weight, blocks=4):
    return SerialEngine().place(Linear(loss), array_sources(X, y, weight, blocks=blocks))


@pytest.mark.parametrize(
    ("loss", "kind"), [("logistic", "float64"), ("logistic", "float32"), ("logistic", "csr"), ("softmax", "float64")]
)
def test_a_drawn_model_is_one_with_those_sample_weights(loss, kind):
    X, y, weight = data(kind, classes=3 if loss == "softmax" else 2)
    blocks = placed(loss, X, y, weight)
    thetas = np.random.default_rng(1).normal(size=(len(DRAWS), blocks.parameters.size))
    together = blocks.sum(DrawnValueGrad(thetas, DRAWS))
    tolerance = 1e-5 if kind == "float32" else 1e-12
    for m, (draw, theta) in enumerate(zip(DRAWS, thetas, strict=True)):
        drawn = weight * draw.weights(0, len(y))
        alone = placed(loss, X, y, drawn, blocks=1).sum(ValueGrad(theta))
        assert together.weight[m] == pytest.approx(drawn.sum(), rel=1e-13)
        assert together.value[m] == pytest.approx(alone.value, rel=tolerance)
        np.testing.assert_allclose(together.grad[m], alone.grad, rtol=0, atol=tolerance * np.abs(alone.grad).max())


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
@pytest.mark.parametrize("kind", ["float64", "float32", "int8"])
def test_a_model_gets_the_same_bytes_in_company_as_alone(loss, kind):
    X, y, weight = data(kind, classes=3 if loss == "softmax" else 2)
    blocks = placed(loss, X, y, weight)
    thetas = np.random.default_rng(2).normal(size=(len(DRAWS), blocks.parameters.size))
    together = blocks.sum(DrawnValueGrad(thetas, DRAWS))
    for m, draw in enumerate(DRAWS):
        alone = blocks.sum(DrawnValueGrad(thetas[m : m + 1], (draw,)))
        assert alone.grad[0].tobytes() == together.grad[m].tobytes()
        assert (alone.value[0], alone.weight[0]) == (together.value[m], together.weight[m])


def test_all_rows_drawn_weigh_what_they_weigh_undrawn():
    """To the bit, whatever the order in which a kernel adds them."""
    X, y, weight = data("float64", rows=3000)
    for seed in range(10):  # two orders may round to the same sum
        scattered = weight * 10.0 ** np.random.default_rng(seed).uniform(-8, 8, len(weight))
        there = placed("logistic", X, y, scattered, blocks=1 + 6 * (seed % 2))
        thetas = np.zeros((3, 14))
        drawn = there.sum(DrawnValueGrad(thetas, (Draw("all"), Draw("without", 1, folds=3), Draw("all"))))
        undrawn = there.sum(ValueGrad(thetas[0])).weight
        assert (drawn.weight[0], drawn.weight[2]) == (undrawn, undrawn)
        assert 0 < drawn.weight[1] < undrawn


def test_folds_share_the_rows_and_do_not_depend_on_blocks():
    held = [Draw("only", fold, folds=5, seed=3).weights(0, 10_000) for fold in range(5)]
    np.testing.assert_array_equal(sum(held), 1)
    assert all(1900 < one.sum() < 2100 for one in held)
    for fold, one in enumerate(held):
        np.testing.assert_array_equal(Draw("without", fold, folds=5, seed=3).weights(0, 10_000), 1 - one)
        np.testing.assert_array_equal(Draw("only", fold, folds=5, seed=3).weights(777, 50), one[777:827])


def test_replicates_are_poisson_and_apart():
    shares = [math.exp(-1.0) / math.factorial(k) for k in range(len(POISSON))]
    np.testing.assert_allclose(POISSON, np.cumsum(shares), rtol=1e-12)
    n = 400_000
    first, second = (Draw("bootstrap", number).weights(0, n) for number in (0, 1))
    for times, share in enumerate(shares[:5]):
        assert (first == times).mean() == pytest.approx(share, abs=4 * math.sqrt(share / n))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(n)


def test_cross_validation_in_lockstep_is_the_fits_one_by_one():
    X, y, weight = data("float64")
    blocks = placed("logistic", X, y, weight)
    folds = [Draw("without", fold, folds=4) for fold in range(4)]
    objectives = [Objective(blocks, l2=1e-2, draw=draw) for draw in folds] + [Objective(blocks, l2=1e-2)]
    counted, blocks_sum = [], blocks.sum
    blocks.sum = lambda request: counted.append(request) or blocks_sum(request)
    states = lockstep(objectives, [LBFGS()] * 5, [np.zeros(14)] * 5, tol=1e-12, max_iter=500)
    assert len(counted) == max(objective.num_passes for objective in objectives)
    for draw, state in zip([*folds, Draw("all")], states, strict=True):
        alone = Objective(placed("logistic", X, y, weight * draw.weights(0, len(y)), blocks=1), l2=1e-2)
        result = minimize(alone, np.zeros(14), solver="lbfgs", tol=1e-12)
        assert state.value == pytest.approx(result.value, rel=1e-12)
        np.testing.assert_allclose(state.theta, result.theta, rtol=0, atol=1e-6)


def test_minimize_takes_a_draw_and_chooses_a_solver_that_can():
    X, y, weight = data("float64")
    objective = Objective(placed("logistic", X, y, weight), l2=1e-2, draw=Draw("bootstrap", 7))
    result = minimize(objective, np.zeros(14), tol=1e-10)
    drawn = weight * Draw("bootstrap", 7).weights(0, len(y))
    alone = minimize(Objective(placed("logistic", X, y, drawn), l2=1e-2), np.zeros(14), tol=1e-12)
    assert result.value == pytest.approx(alone.value, rel=1e-9)
    with pytest.raises(TypeError, match="answers ValueGrad, not HessVec"):
        objective(HessVec(np.zeros(14), np.zeros(14)))


def test_what_cannot_be_drawn_is_said():
    for wrong, words in [
        ({"form": "some"}, "choose from all, without, only, bootstrap"),
        ({"form": "only", "number": 3, "folds": 3}, "one of 3 folds"),
        ({"form": "only", "folds": 0}, "folds must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=words):
            Draw(**wrong)
    X, y, weight = data("float64")
    blocks = placed("logistic", X, y, weight)
    with pytest.raises(BlockError, match="2 models need as many draws, got 1"):
        blocks.sum(DrawnValueGrad(np.zeros((2, 14)), DRAWS[:1]))
    nobody = Objective(placed("logistic", X[:4], y[:4], np.ones(4), blocks=1), draw=Draw("only", 0, folds=100_000))
    with pytest.raises(DataError, match="no row with a weight counts"):
        nobody.value_and_grad(np.zeros(14))


@pytest.mark.parametrize(
    "draw", [Draw("only", 1, 3), Draw("without", 1, 3), Draw("bootstrap", 1)], ids=lambda one: one.form
)
def test_draws_of_float32_rows_can_be_asked_for_in_float64(draw):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 2)).astype(np.float32), rng.integers(0, 2, 60)
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y, blocks=2))
    theta = np.array([0.3, -0.2, 0.1])
    found = blocks.sum(DrawnCurvature(theta[None], (draw,), 1, double=True))
    Z, times = np.column_stack((X.astype(np.float64), np.ones(60))), draw.weights(0, 60)
    p = 1.0 / (1.0 + np.exp(-Z @ theta))
    expected = Z.T @ (Z * (times * p * (1 - p))[:, None])
    np.testing.assert_allclose(found.matrix[0], expected, rtol=1e-13)
    np.testing.assert_allclose(found.point.grad[0], Z.T @ (times * (p - y)), rtol=1e-12)
    some = blocks.sum(DrawnCurvature(theta[None], (draw,), 1, double=True, columns=np.array([1])))
    np.testing.assert_allclose(some.matrix[0], expected[1:, 1:], rtol=1e-13)
    np.testing.assert_array_equal(some.point.grad, found.point.grad)


def test_hessians_of_columns_of_which_a_fold_has_none():
    """Very wide sparse rows are stored by the columns that they have; those of a fold may have none in a block."""
    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array((40, 70_000), density=2e-5, rng=rng, format="lil")
    X[:9, 5] = 1.0
    y = rng.integers(0, 2, 40).astype(float)
    blocks = SerialEngine().place(Linear("logistic"), array_sources(scipy.sparse.csr_array(X), y, blocks=20))
    draws, columns = tuple(Draw("only", fold, folds=5) for fold in range(5)), np.array([5, 69_999])
    total = blocks.sum(DrawnCurvature(np.zeros((5, 70_001)), draws, 5, columns=columns))
    Z = np.column_stack((X.toarray()[:, columns], np.ones(40)))
    for draw, matrix in zip(draws, total.matrix, strict=True):
        np.testing.assert_allclose(matrix, 0.25 * Z.T @ (Z * draw.weights(0, 40)[:, None]), rtol=1e-13)


def test_working_sets_of_their_own_go_in_lockstep():
    """Hessians of the same columns are read together, those of others apart."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 40))
    y = (X[:, 0] - X[:, 1] + rng.logistic(size=90) > 0).astype(float)
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y, blocks=2))
    draws = [None, *(Draw("without", fold, folds=3) for fold in range(3))]
    objectives = [Objective(blocks, l1=0.05, draw=draw) for draw in draws]
    solver = ProximalNewton(working_set=True)
    ends = lockstep(objectives, [solver] * 4, [np.zeros(41)] * 4, tol=1e-12, max_iter=50)
    for draw, state in zip(draws, ends, strict=True):
        alone = Objective(blocks, l1=0.05, draw=draw)
        expected = minimize(alone, np.zeros(41), solver=ProximalNewton(working_set=False), tol=1e-12)
        assert 0 < np.count_nonzero(state.theta) < 30
        np.testing.assert_allclose(state.value, expected.value, rtol=1e-12)
