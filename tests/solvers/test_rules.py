"""Stop rules and fallbacks: each ends a run, or goes on, where it would be otherwise without the rule."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from problems import breast_cancer, diabetes, objective, start
from scipy.optimize import minimize as scipy_minimize
from test_lbfgs import quadratic, run

from fullbatch import LBFGS, Newton, NewtonCG, SampledLBFGS, ScipyLBFGSB, minimize
from fullbatch.protocols import HessVec, Point, RowSample
from fullbatch.run.driver import drive
from fullbatch.solvers._design import design
from fullbatch.solvers._line_search import LineSearch, Trial, _interpolated
from fullbatch.solvers.descent import PATIENCE, DescentState, first_state, moved, stuck
from fullbatch.solvers.newton import NewtonState
from fullbatch.solvers.newton_cg import conjugate_step
from fullbatch.solvers.preconditioners import _heavy, least_of_heavy
from fullbatch.solvers.sampled import SampledState

NOISE = 1e-8


def failures(values, lengths):
    """What `moved` says at each iterate of a run with these values of F and norms of its gradient."""
    state = first_state(DescentState, np.zeros(2), Point(1.0, np.array([1.0, 0.0])))
    told = []
    for value, length in zip(values, lengths, strict=True):
        state = moved(state, np.zeros(2), Point(value, np.array([0.0, length])), NOISE)
        told.append(state.failure)
    return told


LONG = 4 * PATIENCE


@pytest.mark.parametrize(
    ("values", "lengths", "ends"),
    [
        ([1.0] * LONG, [1.0] * LONG, PATIENCE),  # nothing happens
        ([1.0] * LONG, [0.99**k for k in range(1, LONG + 1)], PATIENCE),  # as good as nothing
        ([1.0] * LONG, [0.5**k for k in range(1, LONG + 1)], None),  # the gradient falls
        ([1.0] * LONG, [0.1] + [0.5] * (LONG - 1), PATIENCE + 1),  # it was shorter once
        ([1.0 - 1e-3 * k for k in range(1, LONG + 1)], [1.0] * LONG, None),  # F falls
        ([1.0 - NOISE / 20 * k for k in range(1, LONG + 1)], [1.0] * LONG, PATIENCE),  # by less than its noise
        ([0.5] + [0.4] * (LONG - 1), [1.0] * LONG, PATIENCE + 2),  # F fell at first
        ([0.0] * LONG, [1.0] * LONG, PATIENCE + 1),  # it is 0, of which no share is left to fall by
    ],
)
def test_a_run_without_progress_ends(values, lengths, ends):
    told = failures(values, lengths)
    first = told.index("precision") + 1 if "precision" in told else None
    assert first == ends


@pytest.mark.parametrize("solver", [LBFGS(precision="float32"), NewtonCG(precision="float32")], ids=["lbfgs", "cg"])
def test_noise_alone_is_not_followed_for_ever(solver):
    """Gradients as well as values have noise, so that there always is a way that seems to lead down."""
    fun = objective(*diabetes(), "squared", l2=0.1)
    rng = np.random.default_rng(0)

    def noisy(request):
        answer = fun(request)
        if not isinstance(answer, Point):
            return answer
        value = answer.value * (1 + 1e-9 * rng.uniform(-1, 1))
        return Point(value, answer.grad + 1e-4 * rng.standard_normal(fun.size))

    state = drive(solver.init(np.zeros(fun.size)), noisy)
    while not state.failure and state.iteration < 500:
        state = drive(solver.step(state), noisy)
    assert state.failure == "precision"
    reached = np.flatnonzero(state.values <= state.values.min() * (1 + 1e-8))[0]
    assert state.iteration <= reached + 4 * PATIENCE


def test_what_a_search_that_found_nothing_means():
    state = first_state(DescentState, np.zeros(1), Point(2.0, np.array([1e-3])))
    assert stuck(state, NOISE).failure == "line_search"  # half the square of the gradient is left
    near = first_state(DescentState, np.zeros(1), Point(2.0, np.array([1e-4])))
    assert stuck(near, NOISE).failure == "precision"
    far = replace(state, first_value=1e30)  # beside what F has fallen by, little; but a start tells no more than so
    assert stuck(far, NOISE).failure == "line_search"
    for length, failure in ((4e-5, "precision"), (5e-5, "line_search")):  # half their squares: 8e-10 and 1.25e-9
        long = first_state(DescentState, np.zeros(1), Point(2.0, np.array([length])))
        assert stuck(replace(long, first_value=1e6), 1e-15).failure == failure


def stopped(iterations):
    fun, _ = quadratic()
    state, _ = run(fun, np.zeros(30), max_iter=iterations)
    return state, lambda request: Point(*fun(request.theta))


def test_a_memory_that_leads_nowhere_is_dropped():
    state, answer = stopped(6)
    assert len(state.steps) == 6
    wrong = replace(state, direction=state.grad)  # as if the pairs had led there
    after = drive(LBFGS().step(wrong), answer)
    assert not after.failure
    assert after.value < state.value
    assert len(after.steps) == len(after.changes) == 1
    assert len(drive(LBFGS().step(state), answer).steps) == 7


@pytest.mark.parametrize("solver", [LBFGS(), SampledLBFGS()], ids=["lbfgs", "sampled"])
def test_a_pause_in_a_long_run_is_not_its_end(solver):
    state, _ = stopped(6)
    if isinstance(solver, SampledLBFGS):
        state = SampledState(**vars(state), built_iteration=7, builds=1)
    state = replace(state, iteration=200, direction=-1e-20 * state.grad)
    falling = np.linspace(2.0, 1.0, 201)
    for pause, ended in ((12, False), (21, True)):
        values = np.append(falling[: 201 - pause], np.full(pause, falling[200 - pause]))
        left = solver.optimality(replace(state, values=values, value=values[-1]))
        assert left < 1e-10 if ended else left > 1e-5


def along(values, convex=False):
    """A line search along 1 from 0, of a function of the step; what was tried beside it."""
    tried = []

    def answer(request):
        tried.append(float(request.theta[0]))
        value, slope = values(tried[-1])
        return Point(value, np.array([slope]))

    value, slope = values(0.0)
    search = LineSearch(noise=NOISE, convex=convex).search(np.zeros(1), Point(value, np.array([slope])), np.ones(1))
    return drive(search, answer), tried


def test_a_step_within_the_noise_must_not_lead_up_steeply():
    """Nearly as far up the other side: not above the start by more than noise, and of no use."""
    trial, tried = along(lambda t: (1.0 + 1e-9 * t * (0.99995 * t - 1.0), 1e-9 * (2 * 0.99995 * t - 1.0)))
    assert tried[0] == 1.0
    assert trial.step < 1.0
    assert abs(trial.slope) <= 0.8e-9


@pytest.mark.parametrize("slope", [0.01, 100.0])
def test_a_step_must_lower_a_function_by_a_share_of_what_its_slope_promises(slope):
    """By Armijo's constant, 1e-4: parabolas that rise again at the first step, to just below or above that line."""
    for fallen, taken in ((2e-4, True), (0.5e-4, False)):
        trial, tried = along(lambda t, c=1.0 - fallen: (1.0 + slope * t * (c * t - 1.0), slope * (2.0 * c * t - 1.0)))
        assert tried[0] == 1.0
        assert (trial.step == 1.0) == taken


@pytest.mark.parametrize("curvature", [0.5, 1.0, 1.79])  # with which it still falls, is at the minimum, rises again
def test_a_step_within_the_noise_is_taken_where_it_is_flat(curvature):
    trial, tried = along(lambda t: (1.0 + 1e-9 * (t > 0), 1e-9 * (curvature * t - 1.0)))  # F seems to rise, by noise
    assert tried == [trial.step] == [1.0]


def test_where_a_convex_function_still_falls_it_is_lower_whatever_the_noise_of_its_values():
    """Sums of float32 may be off by more than is thought: slopes tell what values cannot."""

    def noisy(t):
        return 1.0 + 1e-6 * (t > 0), 1e-9 * (0.5 * t - 1.0)

    trial, tried = along(noisy, convex=True)
    assert tried == [trial.step] == [1.0]
    trial, tried = along(noisy)
    assert trial is None
    trial, tried = along(lambda t: (noisy(t)[0] + 1e-3 * t, noisy(t)[1]), convex=True)  # of another function
    assert trial is None


def test_a_convex_function_that_rises_steeply_is_no_end():
    trial, tried = along(lambda t: (1.0, 1e-9 * (2.0 * t - 1.0)), convex=True)
    assert tried[0] == 1.0
    assert trial.step < 1.0


def test_a_search_between_two_numbers_that_are_neighbours_ends():
    trial, tried = along(lambda t: (1.0 if t == 0 else 2.0, -1.0))
    assert trial is None
    assert len(tried) <= 25


@pytest.mark.parametrize("fallen", [2 / 3, 1.0], ids=["no minimum", "no curve"])
def test_a_cubic_without_a_minimum_is_cut_in_the_middle(fallen):
    low, high = (Trial(float(step), -fallen * step, -1.0, Point(0.0, np.zeros(1))) for step in (0, 1))
    assert _interpolated(low, high) == 0.5


def test_the_minimum_of_a_cubic_is_the_next_trial():
    """t^3 - t^2, whose minimum between 0 and 1 is at 2/3."""
    low, high = (Trial(float(t), t**3 - t**2, 3.0 * t**2 - 2.0 * t, Point(0.0, np.zeros(1))) for t in (0.1, 1.0))
    assert _interpolated(low, high) == pytest.approx(2 / 3, rel=1e-12)


def test_between_a_number_and_none_the_next_trial_is_near_the_number():
    """Where F falls too steeply at a tenth of a step that is beyond a wall."""
    trial, tried = along(lambda t: (np.inf, np.inf) if t > 0.5 else (1.0 - t, -1.0 if t < 0.15 else -0.5))
    assert tried == [1.0, 0.1, trial.step]
    assert trial.step == pytest.approx(0.1 + 0.1 * 0.9, rel=1e-15)


def test_steps_that_are_not_finite_are_shortened():
    for value, slope in ((np.nan, 0.0), (np.inf, 0.0), (0.5, np.nan), (0.5, np.inf)):
        trial, tried = along(lambda t, v=value, s=slope: (v, s) if t > 0.05 else (1.0 - t, -0.1))
        assert tried[:3] == [1.0, 0.1, pytest.approx(0.01)]
        assert math.isfinite(trial.value)


def states_of(solver, fun, steps):
    """The solver, told of its problem, and its states."""
    solver = solver.for_problem(fun.facts)
    states = [drive(solver.init(np.zeros(fun.size)), fun)]
    while len(states) <= steps and not states[-1].failure:
        states.append(drive(solver.step(states[-1]), fun))
    return solver, states


def test_where_the_pairs_lead_nowhere_the_sampled_matrix_does_and_else_the_gradient():
    fun = objective(*breast_cancer())
    solver, (*_, state) = states_of(SampledLBFGS(most_builds=1), fun, 4)
    wrong, inverse = replace(state, direction=state.grad), solver._made.inverse
    for matrix in (inverse, lambda vectors: -vectors):
        solver._made.inverse = matrix
        after = drive(solver.step(wrong), fun)
        step = after.theta - state.theta
        expected = -inverse(state.grad[None])[0] if matrix is inverse else -state.grad
        assert step @ expected == pytest.approx(np.linalg.norm(step) * np.linalg.norm(expected), rel=1e-9)
        assert after.value < state.value
        assert len(after.steps) == 1


def test_a_matrix_is_not_made_anew_too_soon():
    _, states = states_of(SampledLBFGS(most_builds=9), objective(*breast_cancer(), l2=1e-6), 40)
    made = [(before, after) for before, after in pairwise(states) if after.builds > before.builds]
    assert len(made) > 1
    for before, after in made:
        assert after.built_iteration == after.iteration
        assert after.iteration - before.built_iteration >= 5 * before.builds


def test_newton_cg_goes_against_the_gradient_where_there_is_no_curvature_to_go_by():
    def answer(request):
        x = float(request.theta[0])
        if isinstance(request, HessVec):
            return -np.cos(x) * request.v
        return Point(float(np.cos(x)), np.array([-np.sin(x)]))

    solver = NewtonCG()
    first = drive(solver.init(np.array([0.1])), answer)  # the top of a hill is near
    after = drive(solver.step(first), answer)
    assert not after.failure
    assert after.value < first.value
    while not after.failure and after.iteration < 20 and solver.optimality(after) > 0:
        after = drive(solver.step(after), answer)
    assert after.value == pytest.approx(-1.0)


def test_newton_cg_tries_the_gradient_where_its_direction_leads_nowhere():
    hessian = np.array([[1.0, 0.8], [0.8, 1.0]])  # by which it moves the second coordinate too, where F is infinite

    def answer(request):
        if isinstance(request, HessVec):
            return hessian @ request.v
        first, second = request.theta
        return Point(0.5 * first**2 if second == 0 else np.inf, np.array([first, 0.0]))

    before = drive(NewtonCG().init(np.array([1.0, 0.0])), answer)
    after = drive(NewtonCG().step(before), answer)
    assert not after.failure
    assert after.theta == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("scale", [1.0, np.array([1e-3, 1.0, 50.0])], ids=["as they are", "of one size"])
def test_conjugate_gradients_solve_for_newtons_step(scale):
    hessian = np.outer(scale, scale) * [[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 1.5]]
    grad = scale * np.array([1.0, -2.0, 0.5])
    found = drive(conjugate_step(np.zeros(3), grad, 1e-12, 4, scale), lambda request: hessian @ request.v)
    np.testing.assert_allclose(found, -np.linalg.solve(hessian, grad), rtol=1e-10)


def test_conjugate_gradients_end_where_curvature_is_not_positive():
    hessian, grad = np.diag([1.0, -1.0]), np.array([1.0, 0.5])
    found = drive(conjugate_step(np.zeros(2), grad, 1e-9, 10), lambda request: hessian @ request.v)
    np.testing.assert_allclose(found, -grad * (grad @ grad) / (grad @ hessian @ grad), rtol=1e-14)
    assert not drive(conjugate_step(np.zeros(2), grad, 1e-9, 10), lambda request: -request.v).any()


@pytest.mark.parametrize(
    ("promised", "reached", "takes"),
    [
        (1.0, -0.1 - 1e-13, True),  # a tenth of what was promised is enough
        (1.0, -0.1 + 5e-13, False),  # though by less than F's noise, it is not
        (1e-12, 5e-13, True),  # what was promised is noise itself: it is enough not to rise by more
        (1e-12, 5e-12, False),
        (1.0, np.nan, False),
        (1.0, -np.inf, False),
    ],
)
def test_newton_takes_a_step_that_does_what_it_promised(promised, reached, takes):
    state = first_state(NewtonState, np.zeros(1), Point(1.0, np.array([1.0])))
    point = Point(1.0 + reached, np.zeros(1))
    assert Newton(precision="float64")._takes(state, promised, point) is takes


@pytest.mark.parametrize("most", [1, 2])
def test_the_matrix_is_made_no_more_often_than_allowed(most):
    fun = objective(*breast_cancer(), l2=1e-5)
    assert minimize(fun, start(fun), solver="sampled-lbfgs", tol=1e-12).state.builds > 2
    assert minimize(fun, start(fun), solver=SampledLBFGS(most_builds=most), tol=1e-12).state.builds == most


def test_scipy_is_handed_the_start_that_was_evaluated():
    fun, alone = (objective(*breast_cancer()) for _ in range(2))
    ScipyLBFGSB().run(fun.value_and_grad, np.zeros(31), 1e-8, 100, lambda state: False)
    options = {"maxcor": 10, "ftol": 1e-8, "gtol": 0.0, "maxls": 50}
    found = scipy_minimize(alone.value_and_grad, np.zeros(31), jac=True, method="L-BFGS-B", options=options)
    assert fun.num_passes == found.nfev


def test_the_heaviest_rows_stand_for_all_of_them():
    fun = objective(*breast_cancer())
    rows = design(fun(RowSample(1.0)), fun.facts)
    factor = np.random.default_rng(0).random(len(rows)) ** 20
    part, kept = _heavy(rows, factor, least_of_heavy(factor))
    assert len(part) == len(kept) < len(rows) / 2
    assert kept.sum() == pytest.approx(factor.sum(), rel=1e-12)
    for alike in (np.ones(len(rows)), np.zeros(len(rows))):
        assert least_of_heavy(alike) == 0.0
        assert _heavy(rows, alike, 0.0)[0] is rows
