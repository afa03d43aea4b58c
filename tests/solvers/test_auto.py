import numpy as np
import pytest
from problems import REFERENCES, breast_cancer, objective, start
from scipy.sparse import csr_array

from fullbatch import LBFGS, Newton, Status, minimize
from fullbatch.protocols import Curvature, Facts, HessVec, Parameters, RowSample, SampleGrams, Squares, ValueGrad
from fullbatch.run.certificates import certify
from fullbatch.solvers.auto import choices, choose

LINEAR = frozenset({ValueGrad, RowSample, SampleGrams, HessVec, Curvature})


def facts(rows, width, outputs=1, answers=LINEAR, dtype="float64", **columns):
    size = outputs * width
    predictors = np.arange(size).reshape(outputs, width)
    return Facts(rows, Parameters(size, np.ones(size, bool), dtype, predictors), np.zeros(size), answers, **columns)


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        (facts(569, 31), "newton"),
        (facts(2_000_000, 11), "sampled-lbfgs"),
        (facts(50_000, 151), "sampled-lbfgs"),
        (facts(60_000, 785, 10, dtype="float32"), "sampled-lbfgs"),
        (facts(1_000_000, 1000), "sampled-lbfgs"),
        (facts(1_000_000, 200_000, dense_columns=0, looked_up=50), "sampled-lbfgs with 50 directions"),
        (facts(1_000_000, 5_000_000, dense_columns=0, looked_up=50), "sampled-lbfgs with 1 directions"),
        (facts(1_000_000, 50_000_000, dense_columns=0, looked_up=50), "lbfgs"),
        (facts(40_000, 2001), "lbfgs"),
        (facts(40_000, 2001, dense_columns=0, looked_up=42), "sampled-lbfgs with 50 directions"),
        # A pass over few values of each row is cheap, however many columns they stand for.
        (facts(678_000, 1295, dense_columns=5, looked_up=6), "sampled-lbfgs with 50 directions"),
        (facts(678_000, 1295), "sampled-lbfgs"),
        (facts(2_000_000, 101, answers=LINEAR | {Squares}), "least-squares"),
        (
            facts(20_000, 300, answers=LINEAR | {Squares}),
            "least-squares",
        ),  # decomposing 300 x 300 costs next to nothing
        (facts(3_000, 1001, answers=LINEAR | {Squares}), "sampled-lbfgs"),  # of 1,001 x 1,001 it costs as much as reads
        (facts(50_000, 30, answers=frozenset({ValueGrad})), "lbfgs"),
    ],
)
def test_choices(problem, name):
    choice = choose(problem)
    assert choice.about == name
    assert choice.reason


@pytest.mark.parametrize(
    ("problem", "on_workers"),
    [
        (facts(6_000_000, 1000), True),
        (facts(6_000_000, 1000, answers=LINEAR - {SampleGrams}), False),  # another model's blocks
        (facts(1_000_000, 1000), False),  # on one machine it would take longer
        (facts(400_000, 200), False),  # the driver's time is nothing
        (facts(6_000_000, 785, 10, dtype="float32"), False),  # each block would answer with nine matrices
    ],
)
def test_workers_make_the_matrix_of_one_output_where_passes_take_long_beside_it(problem, on_workers):
    choice = choose(problem)
    assert choice.about == "sampled-lbfgs"
    assert choice.solver.on_workers == on_workers


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        (facts(500_000, 55, 7), "sampled-lbfgs of all outputs"),
        (facts(100_000, 61, 5), "sampled-lbfgs"),  # passes are cheap
        (facts(500_000, 200, 7), "sampled-lbfgs"),  # the matrix would be large
        (facts(150, 5, 3), "newton"),
    ],
)
def test_outputs_of_few_columns_are_coupled_where_passes_take_long(problem, name):
    choice = choose(problem)
    assert choice.about == name
    assert getattr(choice.solver, "coupled", False) == name.endswith("outputs")


@pytest.mark.parametrize(
    ("problem", "often"),
    [
        (facts(2_000_000, 29), True),
        (facts(2_000_000, 29, dtype="float32"), True),
        (facts(50_000, 151), False),  # it takes longer than a pass
        (facts(2_000_000, 29, 3), False),
        (facts(600_000, 673, dense_columns=5, looked_up=6), False),
    ],
)
def test_a_matrix_that_is_made_sooner_than_a_pass_is_made_at_every_step(problem, often):
    (solver,) = [one.solver for one in choices(problem) if one.about == "sampled-lbfgs"]
    assert solver.every_step == often
    assert (solver.rows_per_column == 400) == often
    assert (solver.plain_iterations > 0) == (not often and problem.rows < 2_000_000)


@pytest.mark.parametrize(("outputs", "has_room"), [(59, True), (60, False)])
def test_newton_may_be_chosen_where_three_hessians_of_all_outputs_have_room(outputs, has_room):
    names = [choice.name for choice in choices(facts(1000, 40, outputs))]
    assert (3 * 8 * (40 * outputs) ** 2 <= Newton().max_bytes) == ("newton" in names) == has_room


def test_models_without_second_derivatives_get_a_long_memory_in_float64():
    for dtype, memory in (("float64", 100), ("float32", 30)):
        plain = Facts(1000, Parameters(5000, np.ones(5000, bool), dtype), np.zeros(5000), frozenset({ValueGrad}))
        choice = choose(plain)
        assert choice.solver == LBFGS(memory=memory)
        assert f"memory of {memory} pairs" in choice.reason


def test_auto_goes_on_with_options_it_chose_itself():
    counts = csr_array(np.random.default_rng(0).poisson(0.05, (3000, 1500)).astype(float))
    y = (counts[:, [3, 8, 11]].sum(axis=1) + np.random.default_rng(1).random(3000) > 0.6).astype(int)
    fun = objective(counts, y)
    whole = minimize(fun, start(fun))
    assert "50 directions" in whole.solver
    first = minimize(fun, start(fun), max_iter=2)
    assert minimize(fun, None, resume=first.state).theta.tobytes() == whole.theta.tobytes()
    by_name = minimize(fun, None, resume=first.state, solver="sampled-lbfgs")
    assert by_name.theta.tobytes() == whole.theta.tobytes()


def test_the_result_explains_the_choice_and_a_name_overrides_it():
    fun = objective(*breast_cancer())
    result = minimize(fun, start(fun))
    assert result.solver.startswith("Newton; chose newton because of 569 rows and 31 parameters: ")
    assert "sampled-lbfgs 0." in result.solver
    assert minimize(fun, start(fun), solver="lbfgs").solver == "LBFGS"


@pytest.mark.parametrize("name", REFERENCES)
def test_the_default_is_close_to_the_optimum(name):
    data, loss, l2, optimum = REFERENCES[name]
    fun = objective(*data(), loss, l2)
    result = minimize(fun, start(fun))
    assert result.status is Status.CONVERGED
    assert (result.value - optimum) / optimum < 1e-6


def test_auto_goes_on_with_the_solver_of_the_state():
    fun = objective(*breast_cancer())
    first = minimize(fun, start(fun), solver="lbfgs", max_iter=5)
    second = minimize(fun, None, resume=first.state)
    assert second.solver == "LBFGS; chose lbfgs because it is the solver of the state to resume"
    assert second.theta.tobytes() == minimize(fun, start(fun), solver="lbfgs").theta.tobytes()
    with pytest.raises(ValueError, match="is a LBFGSState, which Newton cannot go on from: use 'lbfgs'"):
        minimize(fun, None, solver="newton", resume=first.state)


@pytest.mark.parametrize("solver", ["newton", "sampled-lbfgs", "lbfgs"])
def test_classes_that_can_be_separated_are_said_to_have_their_optimum_at_infinity(solver):
    X = np.random.default_rng(0).standard_normal((200, 3))
    for loss, y in (("logistic", X[:, 0] > 0), ("softmax", np.digitize(X[:, 0], [-0.5, 0.5]))):
        fun = objective(X, y.astype(int), loss, l2=0.0)
        result = minimize(fun, start(fun), solver=solver)
        assert np.isfinite(result.theta).all()
        assert "can be separated, so the optimum is at infinity" in result.message, result.message
        assert "add a penalty" in result.message


def test_a_column_that_separates_some_rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3))
    y = (X[:, 0] + rng.logistic(size=400) > 0).astype(int)
    X = np.column_stack((X, (np.arange(400) < 20) & (y == 1)))
    fun = objective(X, y, l2=0.0)
    result = minimize(fun, start(fun), solver="newton")
    assert "some of the rows can be fitted ever better, so the optimum is at infinity" in result.message
    assert "coefficients would grow for ever along 'x3'; add a penalty" in result.message
    assert "separable" in {notice.code for notice in result.notices}


def test_no_such_suspicion_where_the_optimum_is_finite():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 5)) * 10.0 ** np.arange(-2, 3)
    for loss, y in (
        ("logistic", (X[:, 2] + rng.logistic(size=400) > 0).astype(int)),
        ("poisson", rng.poisson(np.exp(0.2 * X[:, 2])).astype(float)),
        ("squared", X[:, 2]),
    ):
        for solver in ("newton", "sampled-lbfgs", "lbfgs"):
            fun = objective(X, y, loss, l2=0.0)
            result = minimize(fun, start(fun), solver=solver, max_iter=5000)
            assert result.success
            assert "infinity" not in result.message


def test_certificates():
    data, loss, l2, optimum = REFERENCES["breast cancer 0.01"]
    fun = objective(*data(), loss, l2)
    result = minimize(fun, start(fun), solver="lbfgs", tol=1e-5)
    assert 0 < result.value - optimum <= result.certificate.bound
    assert "if the coordinates without penalty were at their best" in result.certificate.words
    everything = objective(*data(), loss, np.full(31, l2))
    best = minimize(everything, start(everything), solver="newton", tol=1e-14).value
    for iterations in (1, 3, 6):
        near = minimize(everything, start(everything), solver="lbfgs", max_iter=iterations)
        assert 0 < near.value - best <= near.certificate.bound
        assert near.certificate.words.startswith("F - F* is at most this: ")
    free = objective(*data(), loss, 0.0)
    assert certify(np.ones(31), free.facts) == (np.inf, certify(np.zeros(31), free.facts).words, "residual")
    assert "nothing is penalised" in certify(np.ones(31), free.facts).words
    other = Facts(10, Parameters(3, np.ones(3, bool)), np.ones(3), frozenset({ValueGrad}))
    assert "not known to be convex" in certify(np.ones(3), other).words
