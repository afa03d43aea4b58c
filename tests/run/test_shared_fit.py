"""When a fit that goes by a shared Hessian takes a step, shortens it, has converged, or goes on alone."""

from dataclasses import replace

import numpy as np
import pytest

from fullbatch import LBFGS, Draw, Linear, Newton, Objective, SerialEngine, array_sources, minimize
from fullbatch.protocols.seams import Facts, Parameters, Penalty
from fullbatch.run._hessians import columns_for, have_room
from fullbatch.run._shared_fit import Fit, _own_solver, by_working_set
from fullbatch.run.result import Status
from fullbatch.run.together import Together
from fullbatch.solvers.auto import Choice
from fullbatch.solvers.local_minimum import LocalMinimum

TOL = 1e-6
HESSIAN = np.eye(1)


def fit(theta=1.0):
    """Of F = 1 + theta^2 / 2, where the null model stands 1 above the least, which is 0."""
    penalty = Penalty(np.zeros(1), np.zeros(1), np.full(1, -np.inf), np.full(1, np.inf))
    parameters = Parameters(1, np.ones(1, bool), null=1.0)
    made = Fit(0, 0, Facts(9, parameters, penalty.l2, frozenset(), least=0.0, penalty=penalty), *at(theta))
    made.aim(HESSIAN)
    return made


def at(theta):
    return np.array([theta]), 1.0 + 0.5 * theta**2, np.array([theta])


def test_a_step_that_does_not_lower_f_is_halved_and_handed_over_below_a_tenth():
    one = fit()
    for tried, alone in ((0.0, False), (0.5, False), (0.75, False), (0.875, True)):
        assert one.trial == pytest.approx([tried], abs=1e-14)
        one.take(2.0, np.ones(1), np.inf, HESSIAN, TOL)
        assert one.alone is alone
        assert one.theta == [1.0]
    assert one.reads == 4


@pytest.mark.parametrize(("value", "slope"), [(1.0, np.nan), (1.0, np.inf), (np.nan, 0.0), (-np.inf, 0.0)])
def test_a_step_to_what_is_not_finite_is_none(value, slope):
    one = fit()
    one.take(value, np.full(1, slope), np.inf, HESSIAN, TOL)
    assert (one.theta, one.share, one.alone) == ([1.0], 0.5, False)


@pytest.mark.parametrize(("value", "taken"), [(1.0 + 5e-13, True), (1.0 + 5e-12, False)])
def test_where_rounding_hides_what_was_promised_f_may_rise_by_as_much(value, taken):
    one = fit(1e-7)  # 5e-15 is promised
    one.take(value, np.full(1, 1e-9), np.inf, HESSIAN, TOL)
    assert (one.theta == 0.0).all() == taken
    assert (one.share == 1.0) == taken


@pytest.mark.parametrize(
    ("slope", "converged"),
    [
        (0.09, False),  # what is left has fallen by a factor of a hundred and more, but not below tol
        (0.02 * np.sqrt(TOL), True),
        (0.9 * np.sqrt(2 * TOL), True),
    ],
)
def test_what_is_left_is_believed_once_it_has_fallen_fast(slope, converged):
    one = fit()
    one.take(1.0, np.full(1, slope), np.inf, HESSIAN, TOL)
    assert (one.status is Status.CONVERGED) == converged
    assert one.left == pytest.approx(0.5 * slope**2, rel=1e-6)


@pytest.mark.parametrize(("share_of_tol", "converged"), [(0.5, False), (0.005, True)])
def test_what_has_not_fallen_fast_is_believed_far_below_tol_alone(share_of_tol, converged):
    slope = np.sqrt(2 * TOL * share_of_tol)
    one = fit(2.0 * slope)  # so that a quarter of what was left is
    one.take(1.0, np.full(1, slope), np.inf, HESSIAN, TOL)
    assert one.ratio == pytest.approx(0.25, rel=1e-6)
    assert (one.status is Status.CONVERGED) == converged
    assert one.open != converged


@pytest.mark.parametrize(("parts", "size"), [(0, 4096), (1, 4096), (4, 2048)])
def test_fits_share_a_hessian_of_each_part_as_long_as_all_take_no_more_than_the_memory_for_them(parts, size):
    for more, room in ((0, True), (1, False)):
        parameters = Parameters(size + more, np.ones(size + more, bool))
        facts = Facts(9, parameters, np.zeros(size + more), frozenset())
        assert have_room(facts, parts) is room


@pytest.mark.parametrize(
    ("l1", "draw", "some"), [(0.1, None, True), (0.0, None, False), (0.1, Draw("only", 0, folds=2), True)]
)
def test_a_fit_goes_by_some_of_many_columns_where_it_has_corners(l1, draw, some):
    X = np.random.default_rng(0).standard_normal((20, 600))
    blocks = SerialEngine().place(Linear("squared"), array_sources(X, X[:, 0]))
    assert by_working_set(Objective(blocks, l1=l1, draw=draw)) is some


@pytest.mark.parametrize(("l1", "lower"), [(0.0, 0.0), (0.1, 0.0), (0.1, -np.inf)])
def test_what_is_left_beside_the_columns_of_a_hessian_is_no_end(l1, lower):
    """The slope of the other column is next to nothing beyond what holds it, and all of F's decrease is there."""
    hessian = np.array([[1.0, -0.9999], [-0.9999, 1.0]])
    penalty = Penalty(np.zeros(2), np.array([0.0, l1]), np.full(2, lower), np.full(2, np.inf))
    parameters = Parameters(2, np.ones(2, bool), predictors=np.array([[0, 1]]), null=1.0, least=0.0)
    facts = Facts(
        10, parameters, np.zeros(2), frozenset(), squares=np.ones(2), constant=np.zeros(2, bool), least=0.0,
        larger=np.ones(2), penalty=penalty,
    )  # fmt: skip
    slope, tol, columns = np.array([-0.005, 1e-6 - l1]), 1e-4, np.array([0])
    one = Fit(0, 0, facts, np.array([1.0, 0.0]), 0.6, np.array([-0.08, 0.08 - l1]), columns=columns)
    one.aim(hessian[:1, :1], columns, tol)
    one.take(0.597, slope, np.inf, hessian[:1, :1], tol, columns)
    assert one.open
    assert one.left == np.inf
    of_both = Fit(0, 0, facts, one.theta, 0.597, slope)
    of_both.aim(hessian)
    assert of_both.local.left > 100 * tol


def test_which_solver_goes_in_lockstep_with_others(monkeypatch):
    """Where the whole Hessian has no room, L-BFGS, if a fit by itself would take it too or rows are drawn."""
    X = np.random.default_rng(0).standard_normal((20, 6))
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, X[:, 0] > 0))
    plain, drawn = Objective(blocks), Objective(blocks, draw=Draw("only", 0, folds=2))
    assert [type(_own_solver(one)) for one in (plain, drawn)] == [Newton, Newton]
    monkeypatch.setattr(Newton, "bytes_for", staticmethod(lambda size: 2**60))
    for name, found in (("lbfgs", [LBFGS, LBFGS]), ("sampled-lbfgs", [type(None), LBFGS])):
        monkeypatch.setattr("fullbatch.run._shared_fit.choose", lambda facts, name=name: Choice(name, None, ""))
        assert [type(_own_solver(one)) for one in (plain, drawn)] == found


def test_hessians_are_those_at_the_fit_to_all_rows_once_that_has_ended_too():
    """It begins next to where it ends, where the Hessian is known; those without a fold have some way to go."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    y = rng.poisson(np.exp(X @ [0.8, -0.8, 0.4]))
    objective = Objective(SerialEngine().place(Linear("poisson"), array_sources(X, y)), l2=0.01)
    start = minimize(objective, np.zeros(4), tol=1e-14).theta + 1e-7
    fits = Together(objective, [objective.penalty], start, tol=1e-12, max_iter=100, folds=3)
    ask, asked = fits.parts.ask, []
    fits.parts.ask = lambda thetas, matrices=(): asked.append((thetas, [*matrices])) or ask(thetas, matrices)
    found = fits.run(replace(fits._first(), fresh=0), lambda state: None).thetas[0]
    assert not np.array_equal(found[0], start)
    later = [thetas[row] for thetas, rows in asked for row in rows if row > 0]  # the first is that of all rows
    assert later
    for theta in later:
        np.testing.assert_array_equal(theta, found[0])


@pytest.mark.parametrize(("most", "count"), [(250, 201), (199, 1), (0, None)])
def test_several_fits_ask_for_what_has_room_first_of_all_for_what_must_be_there(most, count):
    """Each of two fits uses the first column, and each has a hundred others in view."""
    free = np.full(300, np.inf)
    penalty = Penalty(np.zeros(300), np.ones(300), -free, free)
    parameters = Parameters(300, np.ones(300, bool), predictors=np.arange(300)[None])
    facts = Facts(9, parameters, penalty.l2, frozenset(), penalty=penalty)
    theta, fits = np.zeros(300), []
    theta[0] = 1.0
    for near in (slice(1, 101), slice(101, 201)):
        grad = np.zeros(300)
        grad[0], grad[near] = -1.0, 0.99
        fits.append(Fit(0, 0, facts, theta, 1.0, grad, LocalMinimum(theta, 0.0, 0.0)))
    columns = columns_for(fits, np.zeros(0, np.int64), most)
    assert columns is None if count is None else columns.tolist() == list(range(count))
