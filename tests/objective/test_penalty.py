"""Norms of groups: values, slopes, dual norms and blocks against formulas and searches that know nothing of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import optimize

from fullbatch.objective.groups import blocks_of, face_minimum, nearest_of_group, norm_curvature
from fullbatch.objective.penalties import penalty_of
from fullbatch.protocols.seams import Penalty
from fullbatch.run.together import smallest_penalty

SIZE = 8
PARAMETERS = SimpleNamespace(size=SIZE, penalized=np.arange(SIZE) < SIZE - 1)
GROUPS = np.array([0, 0, 0, 5, 5, -1, 2, -1])  # that of one coordinate is L1


def made(l21=0.7, l1=0.2, l2=0.1, **bounds):
    bounds = {"lower": -np.inf, "upper": np.inf} | bounds
    return penalty_of(l2, l1, bounds["lower"], bounds["upper"], PARAMETERS, l21, GROUPS)


def F(theta, l21=0.7, l1=0.2, l2=0.1):
    norms = np.sqrt(3) * np.linalg.norm(theta[:3]) + np.sqrt(2) * np.linalg.norm(theta[3:5]) + abs(theta[6])
    return l21 * norms + l1 * np.abs(theta[:-1]).sum() + l2 * (theta[:-1] ** 2).sum() / 2


def test_values_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    for _ in range(20):
        theta, there = (rng.standard_normal(SIZE) * (rng.random(SIZE) < 0.7) for _ in range(2))
        assert made().value(theta) == pytest.approx(F(theta), rel=1e-14)
        change = made().corner_change(theta, there).sum()
        assert change == pytest.approx(F(there, l2=0) - F(theta, l2=0), rel=1e-12, abs=1e-14)
    tiny = np.full(SIZE, 1e-200)
    assert made(l2=0).value(tiny) == pytest.approx(F(tiny * 1e200, l2=0) * 1e-200, rel=1e-14)  # squares underflow


def test_a_group_of_one_is_l1_and_one_without_strength_is_none():
    penalty = made()
    assert penalty.groups.tolist() == [0, 0, 0, 1, 1, -1, -1, -1]
    np.testing.assert_allclose(penalty.l1, [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.9, 0.0], rtol=1e-15)
    assert penalty.parts == {"l1", "groups"}
    assert made(l21=np.array(0.7)).l21.tolist() == penalty.l21.tolist()  # a number, however it is given
    assert made(l21=0.0).groups is None
    assert made(l21=np.array([0, 0, 0, 1.0, 1.0, 0, 0, 0])).groups.tolist() == [-1, -1, -1, 0, 0, -1, -1, -1]


@pytest.mark.parametrize("strength", [0.7, 0.1])
def test_the_shortest_subgradient_is_the_steepest_descent(strength):
    """Its length is the steepest decrease of F for a step of length 1, found by a search over directions."""
    rng = np.random.default_rng(1)
    for at_zero in ([], [0, 1, 2], [0, 3, 4], [0, 1, 2, 3, 4, 6]):
        theta, grad = rng.standard_normal(SIZE), rng.standard_normal(SIZE)
        theta[at_zero] = 0.0
        penalty = made(l21=strength, l2=0.0)
        slope = penalty.steepest(theta, grad)

        def falls(way, theta=theta, grad=grad):
            way = way / np.linalg.norm(way)
            step = 1e-7
            return (F(theta + step * way, strength, l2=0.0) - F(theta, strength, l2=0.0)) / step + grad @ way

        best = min(
            optimize.minimize(falls, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-6}).fun
            for start in (-slope, -slope + 0.1 * rng.standard_normal(SIZE))
        )
        assert best == pytest.approx(-np.linalg.norm(slope), abs=2e-5)
        assert falls(-slope) == pytest.approx(best, abs=2e-5)


def test_the_dual_norm_is_the_least_strength_that_keeps_a_group_at_zero():
    rng = np.random.default_rng(2)
    penalty = made()
    for _ in range(10):
        slope = rng.standard_normal(SIZE) * 10.0 ** rng.uniform(-3, 3)
        times = penalty.dual_norms(slope)
        assert times[5:].tolist() == [0.0, 0.0, 0.0]
        for places in (slice(0, 3), slice(3, 5)):
            assert np.ptp(times[places]) == 0.0

            def excess(t, places=places, slope=slope):
                soft = np.maximum(np.abs(slope[places]) - t * 0.2, 0.0)
                return np.linalg.norm(soft) - t * penalty.l21[places][0]

            root = optimize.brentq(excess, 0.0, 1e3 * np.abs(slope).max(), xtol=1e-300, rtol=1e-14)
            assert times[places][0] == pytest.approx(root, rel=1e-12)
    assert not penalty.dual_norms(np.zeros(SIZE)).any()


def test_the_smallest_penalty_of_a_coordinate_that_may_move_one_way_is_that_of_this_way():
    slopes, bounds = np.array([3.0, 3.0, -3.0, -3.0, 3.0, 0.0]), ([-1, 0, 0, 0, -0.5, -1], [0, 1, 0.5, 0, 0.5, 1])
    unit = Penalty(np.zeros(6), np.full(6, 2.0), *(np.array(one, float) for one in bounds))
    assert list(smallest_penalty(unit, slopes))[:6] == [1.5, 0.0, 1.5, 0.0, 1.5, 0.0]


@pytest.mark.parametrize("l1", [0.0, 0.2, [0.2, 0.0, 0.3]], ids=str)
def test_a_block_is_at_its_minimum(l1):
    rng = np.random.default_rng(3)
    penalty = made(l1=np.append(np.zeros(3) + l1, np.zeros(5)), l2=0.0)
    l1 = penalty.l1[:3]
    for number in range(30):
        root = rng.standard_normal((SIZE, SIZE)) * 10.0 ** (rng.uniform(-3, 0, SIZE) if number % 2 else np.zeros(SIZE))
        matrix = root.T @ root + 1e-8 * np.eye(SIZE)
        block = next(iter(blocks_of(matrix, penalty, np.zeros(SIZE))))
        pull, start = (
            rng.standard_normal(3) * 10.0 ** rng.uniform(-1, 1),
            rng.standard_normal(3) * (rng.random(3) < 0.5),
        )
        x = block.minimum(pull, start)
        if not x.any():
            assert np.linalg.norm(np.maximum(np.abs(pull) - l1, 0.0)) <= block.l21
            continue
        slope = matrix[:3, :3] @ x - pull + block.l21 * x / np.linalg.norm(x)
        size = np.abs(pull).max()
        np.testing.assert_allclose(slope[x != 0], -(l1 * np.sign(x))[x != 0], atol=1e-11 * size)
        assert (np.abs(slope) <= l1 + 1e-11 * size).all()


def test_the_minimum_of_a_group_with_l2_and_second_derivatives_of_norms():
    rng = np.random.default_rng(4)
    penalty = made(l1=0.0, l2=np.array([0.1, 1.0, 10.0, 1, 1, 1, 1, 1]))
    places, pull = np.arange(3), 3.0 * rng.standard_normal(3)
    x = nearest_of_group(penalty, places, pull)
    np.testing.assert_allclose(penalty.l2[:3] * x + penalty.l21[0] * x / np.linalg.norm(x), pull, rtol=1e-12)
    assert not nearest_of_group(penalty, places, 0.01 * pull).any()
    theta, step = rng.standard_normal(SIZE), 1e-6
    theta[3:5] = 0.0
    near = [penalty.norm_slope(theta + step * way) - penalty.norm_slope(theta - step * way) for way in np.eye(SIZE)]
    expected = np.array(near) / (2 * step)
    expected[3:5] = 0.0  # those of a group at zero have none
    np.testing.assert_allclose(norm_curvature(penalty, theta), expected, atol=1e-8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"groups": None}, "l21 is the strength of the norms of groups, and there are none: give groups"),
        ({"groups": np.zeros(3, int)}, r"groups must be 8 whole numbers, one per parameter, got int64 of shape \(3,\)"),
        ({"groups": np.zeros(8)}, "groups must be 8 whole numbers, one per parameter, got float64"),
        ({"l21": -1.0}, "l21 must be finite and not negative, got -1.0"),
        ({"l21": np.arange(8.0)}, "l21 must be the same for all coordinates of a group, and in that of coordinate"),
        ({"l21": "much"}, "l21 must be a number, or one for each parameter, got 'much'"),
        ({"l21": np.ones(3)}, r"l21 must be one number or 8, one per parameter; got shape \(3,\)"),
        (
            {"lower": 0.0},
            "coordinate 0 is in a group whose norm is penalised, and has a bound: no solver here knows both",
        ),
    ],
)
def test_what_is_no_penalty_of_groups_is_refused(wrong, message):
    told = {"l21": 0.5, "groups": GROUPS, "lower": -np.inf} | wrong
    with pytest.raises(ValueError, match=message):
        penalty_of(0.0, 0.0, told["lower"], np.inf, PARAMETERS, told["l21"], told["groups"])


@pytest.mark.parametrize(("lower", "upper"), [(1.0, 0.0), (np.inf, np.inf), (-np.inf, -np.inf), (np.nan, 0.0)])
def test_bounds_that_no_number_keeps_are_refused(lower, upper):
    bounds = np.full(8, -np.inf), np.full(8, np.inf)
    bounds[0][3], bounds[1][3] = lower, upper
    with pytest.raises(ValueError, match=f"coordinate 3 must be at least {lower} and at most {upper}, which no number"):
        penalty_of(0.0, 0.0, *bounds, PARAMETERS)


def test_groups_that_no_coordinate_is_in_penalise_nothing():
    penalty = penalty_of(0.0, 0.0, -np.inf, np.inf, PARAMETERS, 0.5, np.full(8, -1))
    assert not penalty.parts
    assert penalty.value(np.ones(8)) == 0.0


def test_the_minimum_of_a_face_is_where_its_slope_is_none():
    """From where it is, and from elsewhere on the face."""
    rng = np.random.default_rng(6)
    root, penalty = rng.standard_normal((SIZE + 4, SIZE)), made(l1=0.0, l2=0.0)
    matrix, there = root.T @ root, rng.uniform(1.0, 2.0, SIZE)
    slopes = -penalty.norm_slope(there) - penalty.l1  # of the smooth part, where the whole has its minimum
    np.testing.assert_allclose(face_minimum(matrix, slopes, there, penalty, np.zeros(SIZE)), there, rtol=1e-12)
    away = there + 0.1 * rng.standard_normal(SIZE)
    found = face_minimum(matrix, slopes + matrix @ (away - there), away, penalty, np.zeros(SIZE))
    np.testing.assert_allclose(found, there, rtol=1e-7)
    nowhere = np.zeros(SIZE)
    assert not face_minimum(matrix, nowhere, nowhere, made(l1=9.0), np.zeros(SIZE)).any()
