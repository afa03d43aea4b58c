"""Losses: derivatives by differences, extremes, NaN, weights of zero, and the polynomials behind them."""

import numpy as np
import pytest
from numba import njit

from fullbatch.kernels import compiled
from fullbatch.kernels.compiled import VECTOR_BYTES, whole_vectors
from fullbatch.kernels.losses import LOSSES, pointwise


@njit
def tile(loss, y, weight, eta, curvature):
    return pointwise(loss, y, weight, eta, curvature)


@njit
def functions(x, which):
    out = np.empty_like(x)
    for i in range(x.size):
        log1p, share = compiled.log1p_and_share(x[i])
        out[i] = (compiled.exp(x[i]), compiled.log(x[i]), log1p, share)[which]
    return out


def answer(name, y, weight, eta):
    slope, curvature = np.array(eta, np.float64), np.empty(np.shape(eta))
    weight = np.array(weight, np.float64)
    value, squares = tile(LOSSES[name].kind(), np.array(y, np.float64), weight, slope, curvature)
    counts = weight > 0  # slopes come with their weight
    with np.errstate(over="ignore"):
        expected = (slope[:, : len(weight)][:, counts] ** 2 / weight[counts]).sum()
    np.testing.assert_allclose(squares, expected, rtol=1e-12)
    return value, slope, curvature


def targets(name, rng, rows):
    if LOSSES[name].per_class:
        return rng.integers(0, 3, rows)
    return rng.integers(0, 2, rows) if LOSSES[name].labels else rng.random(rows) * 3


@pytest.mark.parametrize(
    ("which", "function", "x"),
    [
        (0, np.exp, np.linspace(-707, 708.9, 200_001)),
        (1, np.log, np.geomspace(1, 1e300, 200_001)),
        (1, np.log, np.linspace(1, 20, 200_001)),
        (2, np.log1p, np.concatenate((np.linspace(0, 1, 100_001), np.geomspace(1e-300, 1, 10_001)))),
        (3, lambda x: x / (1 + x), np.concatenate((np.linspace(0, 1, 100_001), np.geomspace(1e-300, 1, 10_001)))),
    ],
)
def test_polynomials_are_accurate(which, function, x):
    expected = function(x)
    assert np.all(np.abs(functions(x, which) - expected) <= 5e-16 * np.abs(expected))


def test_exp_at_its_ends():
    np.testing.assert_array_equal(
        functions(np.array([-np.inf, -1e9, -708.1, 0.0, 709.1, np.inf, np.nan]), 0),
        [0, 0, 0, 1, np.inf, np.inf, np.nan],
    )


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_agree_with_differences(name):
    rng = np.random.default_rng(0)
    rows, step = 37, 1e-5
    outputs = 3 if LOSSES[name].per_class else 1
    y, weight, eta = targets(name, rng, rows), rng.random(rows), rng.normal(size=(outputs, rows))
    _, slope, curvature = answer(name, y, weight, eta)
    for k in range(outputs):
        move = np.zeros((outputs, rows))
        move[k] = step
        _, above, _ = answer(name, y, weight, eta + move)
        _, below, _ = answer(name, y, weight, eta - move)
        second = curvature[k] if outputs == 1 else curvature[k] * (1 - curvature[k] / weight)
        np.testing.assert_allclose((above[k] - below[k]) / (2 * step), second, rtol=1e-6, atol=1e-8)
        for i in range(0, rows, 5):
            move = np.zeros((outputs, rows))
            move[k, i] = step
            above, below = answer(name, y, weight, eta + move)[0], answer(name, y, weight, eta - move)[0]
            assert (above - below) / (2 * step) == pytest.approx(slope[k, i], rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_nan_stays_nan_and_a_row_without_weight_counts_nothing(name):
    outputs = 3 if LOSSES[name].per_class else 1
    for bad in (np.nan, 1e300, -1e300, np.inf):
        eta = np.full((outputs, 2), bad)
        value, slope, _ = answer(name, [1, 1], [0, 0], eta)
        assert value == 0
        assert not slope.any()
    value, slope, _ = answer(name, [1, 1], [1, 1], np.full((outputs, 2), np.nan))
    assert np.isnan(value)
    assert np.isnan(slope).all()


@pytest.mark.parametrize(("name", "outputs"), [("logistic", 1), ("squared_hinge", 1), ("huber", 1), ("softmax", 2)])
def test_no_overflow_at_extreme_eta(name, outputs):
    eta = np.zeros((outputs, 4))
    eta[-1] = 1e4, -1e4, 750, -750
    value, slope, curvature = answer(name, [1, 0, 0, 1], np.ones(4), eta)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    assert np.isfinite(curvature).all()
    if name in ("logistic", "softmax"):
        assert value == pytest.approx(1500)


def test_the_loss_of_a_confident_row_keeps_its_digits():
    value, slope, curvature = answer("logistic", [1], [1], [[40.0]])
    assert value == pytest.approx(np.exp(-40.0), rel=1e-14)
    assert slope[0, 0] == pytest.approx(-np.exp(-40.0), rel=1e-14)
    assert curvature[0, 0] == pytest.approx(np.exp(-40.0), rel=1e-14)


def test_tweedie_and_poisson_take_targets_of_zero():
    for name in ("tweedie", "poisson"):
        value, slope, _ = answer(name, [0], [1], [[-2000.0]])
        assert value == 0
        assert slope[0, 0] == 0


def test_the_compiler_takes_whole_vectors_where_it_is_told_to():
    """The attribute is set past llvmlite's own check: should it no longer arrive, this says so."""

    @njit
    def told(x):
        whole_vectors()
        return x + 1.0

    told(1.0)
    (code,) = told.inspect_llvm().values()
    assert f'"prefer-vector-width"="{8 * VECTOR_BYTES}"' in code
