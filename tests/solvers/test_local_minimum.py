"""The minimum of a quadratic model, against what linear algebra says; and where none is told."""

from dataclasses import replace

import numpy as np
import pytest

from fullbatch.protocols.answers import Curves, Point
from fullbatch.protocols.seams import Facts, Parameters, Penalty
from fullbatch.solvers.local_minimum import local_minimum

MATRIX, GRAD, THETA = np.array([[4.0, 1.0], [1.0, 9.0]]), np.array([2.0, -3.0]), np.array([1.0, 1.0])
FACTS = Facts(9, Parameters(2, np.ones(2, bool)), np.zeros(2), frozenset(), least=0.0)


def found(matrix=MATRIX, grad=GRAD, facts=FACTS):
    return local_minimum(Curves(matrix, Point(5.0, grad)), THETA, facts)


def test_newtons_step_and_what_it_promises():
    step = np.linalg.solve(MATRIX, GRAD)
    minimum = found()
    np.testing.assert_allclose(minimum.theta, THETA - step, rtol=1e-14)
    assert minimum.left == pytest.approx(0.5 * GRAD @ step, rel=1e-14)
    assert 0 < minimum.rounding < 1e-20
    assert found(facts=replace(FACTS, least=-np.inf)).rounding == 0  # how far F stands above its least is not known


def test_columns_far_from_zero_leave_more_rounding():
    of_columns = Parameters(2, np.ones(2, bool), predictors=np.array([[0, 1]]))
    facts = replace(FACTS, parameters=of_columns, squares=np.ones(2), constant=np.zeros(2, bool))
    far = replace(facts, larger=np.array([1e8, 1.0]))
    assert found(facts=far).rounding > 1e6 * found(facts=replace(facts, larger=np.ones(2))).rounding
    some, more = (found(facts=replace(facts, larger=np.array([1.0, 1.0 + beyond]))).rounding for beyond in (1e2, 1e3))
    assert more == pytest.approx(100.0 * some, rel=1e-12, abs=0.0)  # as its square


def test_a_column_that_centring_left_nothing_of_stays_where_it_is():
    of_columns = Parameters(2, np.ones(2, bool), predictors=np.array([[0, 1]]))
    facts = replace(FACTS, parameters=of_columns, squares=np.ones(2), constant=np.array([True, False]))
    np.testing.assert_allclose(found(facts=facts).theta, [THETA[0], THETA[1] - GRAD[1] / MATRIX[1, 1]], rtol=1e-14)


@pytest.mark.parametrize(
    "wrong",
    [
        {"grad": np.array([np.nan, 1.0])},
        {"matrix": np.array([[np.inf, 0.0], [0.0, 1.0]])},
        {"matrix": np.diag([1.0, 0.0])},  # straight along the second
        {"matrix": np.array([[1.0, 2.0], [2.0, 1.0]])},  # falls along the difference
        {"matrix": np.array([[1.0, 1.0 - 1e-12], [1.0 - 1e-12, 1.0]])},  # next to straight there
    ],
    ids=["gradient", "overflow", "straight", "falls", "collinear"],
)
def test_a_hessian_that_does_not_tell_of_every_direction_has_no_minimum(wrong):
    assert found(**wrong) is None
    assert local_minimum(Curves(MATRIX), THETA, FACTS) is None


def test_corners_belong_to_the_minimum():
    penalty = Penalty(np.zeros(2), np.array([1.0, 0.0]), np.full(2, -np.inf), np.array([np.inf, 1.25]))
    cornered = replace(FACTS, penalty=penalty)
    minimum = found(facts=cornered)
    # At the bound the first is where 4 (x - 1) + 0.25 + 2 + 1 = 0.
    np.testing.assert_allclose(minimum.theta, [1.0 - 3.25 / 4.0, 1.25], rtol=1e-9)
    assert found(matrix=np.full((2, 2), np.nan), facts=cornered) is None
