"""Stop rules and fallbacks of the solvers that know corners and bounds, on functions that are made for them."""

from dataclasses import replace

import numpy as np
import pytest

from fullbatch import OWLQN, Newton, ProximalNewton
from fullbatch.protocols import Curvature, Curves, Point, ValueGrad
from fullbatch.protocols.seams import Facts, Parameters, Penalty
from fullbatch.run.driver import drive
from fullbatch.solvers.descent import PATIENCE
from fullbatch.solvers.working_set import most_columns, next_set

SOLVERS = [OWLQN(), ProximalNewton()]
AIM = np.array([3.0, -2.0])


def problem(l1=0.0, lower=-np.inf, upper=np.inf, predictors=True, **options):
    told = {"predictors": np.array([[0, 1]])} if predictors else {}
    parameters = Parameters(2, np.ones(2, bool), **told, **options)
    penalty = Penalty(np.zeros(2), np.full(2, l1), np.full(2, lower), np.full(2, upper))
    return Facts(9, parameters, penalty.l2, frozenset({ValueGrad, Curvature}), penalty=penalty, least=0.0)


def bowl(theta):
    """1/2 |theta - AIM|^2."""
    return Point(0.5 * float((theta - AIM) @ (theta - AIM)), theta - AIM)


class Answers:
    """Answers of a function, which keeps what it was asked."""

    def __init__(self, function):
        self.function, self.asked = function, []

    def __call__(self, request):
        self.asked.append(request)
        point = self.function(request)
        return Curves(np.eye(len(point.grad)), point) if isinstance(request, Curvature) else point


def begun(solver, facts, function, theta=(0.0, 0.0)):
    solver, answers = solver.for_problem(facts), Answers(function)
    state = drive(solver.init(np.array(theta)), answers)
    answers.asked.clear()
    return solver, state, answers


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda one: type(one).__name__)
def test_a_solver_that_knows_no_problem_says_so(solver):
    with pytest.raises(ValueError, match="the problem is not known yet: `minimize` calls for_problem"):
        drive(solver.init(np.zeros(2)), Answers(lambda request: bowl(request.theta)))


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda one: type(one).__name__)
def test_a_theta_beyond_other_bounds_is_no_end(solver):
    solver, state, _ = begun(solver, problem(), lambda request: bowl(request.theta), AIM)
    assert solver.optimality(state) == 0.0
    bounded = solver.for_problem(problem(upper=1.0))
    assert bounded.optimality(state) == np.inf


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda one: type(one).__name__)
def test_where_a_penalty_holds_all_coordinates_nothing_is_left(solver):
    solver, state, _ = begun(solver, problem(l1=3.0), lambda request: bowl(request.theta))
    assert solver.optimality(state) == 0.0
    assert not state.direction.any()


def lying(request):
    """F rises whichever way its gradient has it fall."""
    honest = bowl(request.theta)
    return Point(honest.value + 1e3 * bool(request.theta.any()), honest.grad)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda one: type(one).__name__)
def test_a_gradient_that_is_wrong_ends_the_search(solver):
    solver, state, answers = begun(solver, problem(), lying)
    after = drive(solver.step(state), answers)
    assert after.failure == "line_search"
    assert after.theta.tolist() == [0.0, 0.0]
    assert 10 <= len(answers.asked) <= 70


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda one: type(one).__name__)
def test_where_nothing_but_rounding_is_left_the_search_ends_in_it(solver):
    def flat(request):
        return Point(1e6 + 1e3 * bool(request.theta.any()), np.full(2, 1e-8))

    solver, state, answers = begun(solver, problem(), flat)
    assert drive(solver.step(state), answers).failure == "precision"


@pytest.mark.parametrize(
    ("change", "noise", "along", "convex", "taken"),
    [
        (-2e-4, 0.0, 1.0, True, True),  # more than a ten-thousandth of what was promised
        (-5e-5, 0.0, 1.0, True, False),
        (5e-5, 0.0, -0.5, True, False),  # higher by as much
        (0.0, 0.5, 0.5, True, True),  # what may be rounding, where it is flatter
        (0.0, 0.5, 0.9, True, False),
        (0.0, 100.0, 0.5, True, False),  # more than that, where F rises
        (0.0, 100.0, -0.5, True, True),  # where a convex F falls it is lower, whatever its values say
        (0.0, 100.0, -0.5, False, False),
    ],
)
def test_which_step_of_a_search_within_an_orthant_is_taken(change, noise, along, convex, taken):
    """The first trial is a step of length 1 along -grad: F there changes by so much of what is promised, and by so many
    roundings; its slope along the step is so many times as steep as at first.
    """

    def function(request):
        if not request.theta.any():
            return Point(100.0, np.array([-1.0, 0.0]))
        if request.theta[0] == 1.0:
            return Point(100.0 + change + 1e-12 * 100.0 * noise, np.array([along, 0.0]))
        return Point(99.0, np.zeros(2))

    solver, state, answers = begun(OWLQN(), problem(predictors=convex), function)
    after = drive(solver.step(state), answers)
    assert (after.theta[0] == 1.0) == (len(answers.asked) == 1) == taken


def test_trials_that_are_not_finite_are_shortened():
    """-log of the distance to a wall at 1, which a first step of 1 meets."""

    def wall(request):
        room = 1.0 - request.theta[0]
        if room <= 0.0:
            return Point(np.inf, np.full(2, np.nan))
        return Point(float(-request.theta[0] + 0.1 / room), np.array([-1.0 + 0.1 / room**2, 0.0]))

    solver, state, answers = begun(OWLQN(), problem(), wall)
    state = replace(state, direction=np.array([1.0, 0.0]))
    after = drive(solver.step(state), answers)
    assert [request.theta[0] for request in answers.asked] == pytest.approx([1.0, 0.1])
    assert not after.failure
    assert after.value < state.value


@pytest.mark.parametrize(("least", "trials"), [(0.3, [1.0, 0.3]), (0.01, [1.0, 0.1, 0.01])])
def test_trials_that_are_too_long_are_shortened_to_the_minimum_of_a_parabola(least, trials):
    def parabola(request):
        return Point(float((request.theta[0] - least) ** 2), np.array([2 * (request.theta[0] - least), 0.0]))

    solver, state, answers = begun(OWLQN(), problem(), parabola)
    after = drive(solver.step(replace(state, direction=np.array([1.0, 0.0]))), answers)
    assert [request.theta[0] for request in answers.asked] == pytest.approx(trials)
    assert after.value == pytest.approx(0.0, abs=1e-15)


def test_the_damping_falls_no_further_than_to_what_is_nothing():
    solver, state, answers = begun(Newton(), problem(), lambda request: bowl(request.theta))
    for damping, after in ((1e-4, 3e-6), (1e-18, 1e-18)):
        taken = drive(solver.step(replace(state, damping=damping)), answers)
        np.testing.assert_allclose(taken.theta, AIM, rtol=2e-4)
        assert taken.damping == pytest.approx(after, rel=1e-12, abs=0.0)


@pytest.mark.parametrize(
    ("columns", "room", "takes"), [(101, 1e9, True), (100, 1e9, False), (40, 24 * 40**2 - 1, True), (40, 1e9, False)]
)
def test_a_working_set_is_of_many_columns_or_of_what_has_no_room(columns, room, takes):
    parameters = Parameters(columns, np.ones(columns, bool), predictors=np.arange(columns)[None])
    free = np.full(columns, np.inf)
    penalty = Penalty(np.zeros(columns), np.ones(columns), -free, free)
    facts = Facts(9, parameters, penalty.l2, frozenset(), penalty=penalty)
    assert ProximalNewton(max_bytes=room).takes_some(facts) is takes


@pytest.mark.parametrize(
    ("used", "most", "taken"),
    [(5, 10, [0, 1, 2, 3, 4]), (6, 10, list(range(10))), (6, 9, [0, 1, 2, 3, 4, 5])],
)
def test_a_working_set_is_of_all_columns_once_half_of_them_are_in_use(used, most, taken):
    free = np.full(10, np.inf)
    parameters = Parameters(10, np.ones(10, bool), predictors=np.arange(10)[None])
    penalty = Penalty(np.zeros(10), np.ones(10), -free, free)
    facts = Facts(9, parameters, penalty.l2, frozenset(), penalty=penalty, dense_columns=10)
    theta = np.where(np.arange(10) < used, 1.0, 0.0)
    grad = np.where(theta > 0, -1.0, 0.0)  # those at zero are far from moving
    assert next_set(facts, theta, theta, grad, most).tolist() == taken


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_what_is_held_at_a_bound_joins_a_working_set_when_its_slope_nearly_lets_it_go(side):
    """L1 draws it to zero: away from the bound. Slopes of 1.05 are short of that by 0.05, the others by 1 and more."""
    parameters = Parameters(10, np.ones(10, bool), predictors=np.arange(10)[None])
    bound, free = np.full(10, 0.5), np.full(10, np.inf)
    lower, upper = (-free, bound) if side > 0 else (-bound, free)
    penalty = Penalty(np.zeros(10), np.ones(10), lower, upper)
    facts = Facts(9, parameters, penalty.l2, frozenset(), penalty=penalty)
    grad = np.array([0.0, 1.05, 2.0, 3.0, 1.05, 2.0, 3.0, 2.0, 2.0, 2.0]) * -side
    theta = side * np.array([0.2, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert next_set(facts, theta, theta, grad, 10).tolist() == [0, 1, 4]


def test_pairs_that_overflow_are_not_followed():
    solver, state, _ = begun(OWLQN(), problem(), lambda request: bowl(request.theta))
    state = replace(state, steps=(np.array([1e154, 0.0]),), changes=(np.array([1e-154, 0.0]),))
    with np.errstate(over="ignore", invalid="ignore"):
        direction = solver._direction(state)
    np.testing.assert_allclose(direction, AIM / 3.0)  # against the gradient, by no more than 1


def test_a_working_set_is_of_a_linear_models_columns():
    with pytest.raises(TypeError, match="a working set is of a linear model's columns: use 'owl-qn'"):
        ProximalNewton(working_set=True).for_problem(problem(l1=1.0, predictors=False))
    with pytest.raises(ValueError, match=r"proximal-newton takes losses that are convex.* use 'owl-qn'"):
        ProximalNewton().for_problem(problem(l1=1.0, convex=False))


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_working_set_has_room_for_as_many_columns_as_their_hessian_with_intercepts(outputs):
    parameters = Parameters(30, np.ones(30, bool), predictors=np.arange(30).reshape(outputs, -1))
    facts = Facts(9, parameters, np.zeros(30), frozenset())
    for size in (2 * outputs, 4 * outputs):  # of one column and of three
        most = ProximalNewton.bytes_for(size)
        assert most_columns(facts, most) == size // outputs - 1
        assert most_columns(facts, most - 1) == size // outputs - 2


def test_a_start_that_has_more_columns_in_use_than_room_ends_at_once():
    solver, answers = ProximalNewton(working_set=True, max_bytes=1.0), Answers(lambda request: bowl(request.theta))
    solver = solver.for_problem(replace(problem(l1=0.1), squares=np.ones(2)))
    state = drive(solver.init(np.ones(2)), answers)
    assert state.failure == "line_search"
    assert [type(request) for request in answers.asked] == [ValueGrad]  # and no Hessian
    assert drive(solver.step(state), answers).failure == "line_search"


def test_where_float32_finds_no_step_float64_does():
    def rounded(request):
        return bowl(request.theta) if getattr(request, "double", False) else lying(request)

    solver, state, answers = begun(ProximalNewton(precision="float32"), problem(), rounded)
    after = drive(solver.step(state), answers)
    assert after.double == 1
    np.testing.assert_allclose(after.theta, AIM, atol=1e-6)


def test_what_is_left_within_its_rounding_is_asked_for_in_float64():
    solver, state, answers = begun(ProximalNewton(precision="float32"), problem(), lambda request: bowl(request.theta))
    after = drive(solver.step(replace(state, left=1e-9, rounding=1e-9)), answers)
    assert answers.asked[0].double
    assert answers.asked[0].theta.tolist() == [0.0, 0.0]
    assert after.double == 1


def test_straight_stretches_are_crossed_where_no_step_lowers_f():
    """The gradient at the start says nothing, but for that of a loss which is curved over a wider stretch."""

    def straight(request):
        point = bowl(request.theta)
        return lying(request) if not request.theta.any() and getattr(request, "widened", 1.0) == 1.0 else point

    def only_there(request):
        point = straight(request)
        return point if request.theta.any() or getattr(request, "widened", 1.0) > 1.0 else Point(4.0, -point.grad)

    facts = problem(straight_from=1e-3)
    solver, state, answers = begun(ProximalNewton(), facts, only_there)
    state = replace(state, iteration=3, values=np.full(4, state.value))
    after = drive(solver.step(state), answers)
    assert after.crossings == 1
    assert any(request.widened > 1.0 for request in answers.asked)
    np.testing.assert_allclose(after.theta, AIM, atol=1e-3)


@pytest.mark.parametrize("kind", [Newton, ProximalNewton])
@pytest.mark.parametrize("stalled", [0, PATIENCE])
def test_where_float32_has_come_to_rest_float64_goes_on_and_not_before(kind, stalled):
    """F does not change, as where its digits are at an end; the gradient says that there is some way to go."""

    def flat(request):
        return Point(1.0, np.full(2, 1e-5))

    solver, state, answers = begun(kind(precision="float32"), problem(), flat)
    state = replace(state, stalled=stalled, values=np.ones(PATIENCE + 1), iteration=PATIENCE)
    after = drive(solver.step(state), answers)
    assert not after.failure
    first, *others = answers.asked
    assert not first.double
    assert {request.double for request in others} == {bool(stalled)}
    assert others[0].theta.tolist() == first.theta.tolist() or not stalled
    assert (after.double, after.stalled) == ((1, 0) if stalled else (0, 1))


def test_a_search_shortens_steps_that_are_not_finite_to_a_tenth():
    def wall(request):
        if request.theta[0] > 0.05 * AIM[0]:
            return Point(np.inf, np.full(2, np.nan))
        return bowl(request.theta)

    solver, state, answers = begun(ProximalNewton(), problem(straight_from=1e-3), wall)
    after = drive(solver._searched(state, 4.0), answers)
    assert [request.theta[0] / AIM[0] for request in answers.asked] == pytest.approx([1.0, 0.1, 0.01])
    assert {request.widened for request in answers.asked} == {4.0}
    assert after.value < state.value


def test_newton_crosses_straight_stretches_once_before_its_first_step():
    solver, state, answers = begun(Newton(), problem(straight_from=1e-3), lambda request: bowl(request.theta))
    assert state.crossings == 0
    after = drive(solver.step(state), answers)
    assert answers.asked[0].widened > 1.0
    assert after.crossings == 1
    answers.asked.clear()
    drive(solver.step(replace(state, crossings=1)), answers)
    assert answers.asked[0].widened == 1.0


def test_a_crossing_whose_search_finds_nothing_is_no_crossing_and_asks_for_nothing_twice():
    """F seems to rise wherever its gradient leads."""

    def rising(request):
        point = bowl(request.theta)
        return point if not request.theta.any() else Point(10.0, point.grad)

    solver, state, answers = begun(Newton(), problem(straight_from=1e-3), rising)
    after = drive(solver._crossed(state), answers)
    assert after.theta.tolist() == [0.0, 0.0]
    widened = [(request.widened, *request.theta) for request in answers.asked if request.widened > 1.0]
    assert len(widened) > len({width for width, *_ in widened}) > 1
    assert len(set(widened)) == len(widened)
