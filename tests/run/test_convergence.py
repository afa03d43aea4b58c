"""Claims are checked, and what is said of an end is so."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from problems import REFERENCES, breast_cancer, objective, start
from scipy.sparse import csr_array

from fullbatch import (
    LBFGS,
    OWLQN,
    DataError,
    Draw,
    FitWarning,
    GeneralizedLinearRegressor,
    Linear,
    LogisticRegression,
    Newton,
    Objective,
    OrdinalLogisticRegression,
    SerialEngine,
    Status,
    array_sources,
    load_model,
    minimize,
)
from fullbatch.objective.hessian import Curved
from fullbatch.protocols import Curvature, HessVec, Point, ValueGrad
from fullbatch.run import convergence
from fullbatch.run.convergence import Check
from fullbatch.run.driver import drive

SOLVERS = ["auto", "newton", "sampled-lbfgs", "lbfgs", "newton-cg", "scipy-lbfgsb"]


@dataclass(frozen=True)
class Boaster(LBFGS):
    """Claims to have converged from its `after`-th iterate on."""

    after: int = 2

    def optimality(self, state):
        return 0.0 if state.iteration >= self.after else 1.0


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["breast cancer 0.01", "digits 1e-3", "diabetes 1e-3"])
def test_no_claim_without_a_check(solver, name):
    data, loss, l2, optimum = REFERENCES[name]
    fun = objective(*data(), loss, l2)
    result = minimize(fun, start(fun), solver=solver)
    assert result.status is Status.CONVERGED
    if name == "digits 1e-3" and solver != "newton":  # 650 parameters: the Hessian would take longer than the run
        assert result.known_by == ("directions" if solver in ("lbfgs", "scipy-lbfgsb") else "columns")
        assert result.score_r2 <= 1e-6
        assert result.value <= optimum * (1 + 1e-6)
        return
    assert result.remaining_r2 <= 1e-8
    assert result.known_by == "hessian"
    measure = min(fun.facts.parameters.null, 100 * (result.value - fun.facts.least))
    left = result.remaining_r2 * measure
    distance = result.value - optimum  # the optimum is known to 12 digits
    assert left >= 0.3 * distance - 1e-12 * optimum
    assert distance >= 0.3 * left - 1e-12 * optimum
    if result.score_r2 is not None:
        assert 0 <= result.score_r2 <= 100 * max(result.remaining_r2, 1e-12)
    assert "of the null model's" in result.message


@pytest.mark.parametrize("noise", [2e-3, 1e-4])
@pytest.mark.parametrize("solver", ["auto", "least-squares", "newton", "scipy-lbfgsb"])
def test_rows_of_float32_that_are_explained_nearly_whole(solver, noise):
    """What float32 hides of F is looked at where little is left, and does not count where it hides nothing."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 8)).astype(np.float32)
    y = X.astype(float) @ rng.standard_normal(8) + noise * rng.standard_normal(3000)
    fun = objective(X, y, "squared", l2=0.0, blocks=7)
    result = minimize(fun, start(fun), solver=solver)
    design = np.column_stack((X.astype(float), np.ones(3000)))
    optimum = 0.5 * float(((y - design @ np.linalg.lstsq(design, y)[0]) ** 2).mean())
    assert result.status is Status.CONVERGED
    assert result.value - optimum <= 1e-8 * fun.facts.parameters.null
    if solver == "least-squares":
        assert result.passes <= 2


@pytest.mark.parametrize("solver", ["lbfgs", "scipy-lbfgsb", "auto"])
@pytest.mark.parametrize("l2", [1e-6, 1e-4])
def test_wide_rows_whose_columns_are_nearly_one(solver, l2):
    """What is left lies in combinations of columns, of which single columns tell nothing."""
    rng = np.random.default_rng(2)
    Z = rng.standard_normal((60, 2600))
    X = rng.standard_normal((60, 1)) + 1e-3 * Z
    y = (Z[:, :5].sum(axis=1) + rng.logistic(size=60) > 0).astype(int)
    few = np.linalg.qr((X - X.mean(axis=0)).T)[1].T  # the same problem in as many columns as rows
    exact = objective(few, y, l2=l2)
    best = minimize(exact, start(exact), solver="newton", tol=1e-13).value
    fun = objective(X, y, l2=l2)
    result = minimize(fun, start(fun), solver=solver)
    assert result.status is Status.CONVERGED
    assert result.value - best <= 2e-8 * fun.facts.parameters.null
    if result.known_by == "directions":
        assert result.value - best <= 2 * result.remaining_r2 * fun.facts.parameters.null + 1e-14


@pytest.mark.parametrize("kind", ["dense", "wide"])
def test_a_claim_that_fails_goes_on_with_another_solver(kind, tmp_path):
    rng = np.random.default_rng(0)
    if kind == "dense":
        fun = lambda: objective(*breast_cancer())  # noqa: E731
        other = "Newton"
    else:  # too wide for a Hessian: what single columns explain gives the claim away
        X = csr_array((rng.random((300, 4000)) < 0.01).astype(float))
        y = (X[:, :40].sum(axis=1) + rng.random(300) > 0.9).astype(int)
        fun = lambda: objective(X, y, l2=1e-3)  # noqa: E731
        other = "SampledLBFGS"
    one = fun()
    result = minimize(one, start(one), solver=Boaster())
    assert f"{other} went on where Boaster ended" in result.solver
    true = fun()
    best = minimize(true, start(true), solver="sampled-lbfgs", tol=1e-12)
    assert result.status is Status.CONVERGED
    assert result.value - best.value <= 1e-7 * best.value
    assert result.known_by == ("hessian" if kind == "dense" else "columns")
    assert result.iterations == len(result.state.values) - 1

    # A run that is ended after another solver took over goes on to the same bytes.
    two = fun()
    ended = minimize(two, start(two), solver=Boaster(), checkpoint=tmp_path / "run", max_iter=result.iterations - 1)
    assert ended.status is Status.MAX_ITER
    three = fun()
    again = minimize(three, start(three), solver=Boaster(), checkpoint=tmp_path / "run")
    assert again.resumed_at == result.iterations - 1
    assert again.theta.tobytes() == result.theta.tobytes()


def test_a_claim_that_nobody_can_better_is_no_success():
    """A fold answers nothing but loss and gradient: single columns give the claim away, and the solver goes on."""
    blocks = objective(*breast_cancer(standardized=False), l2=0.0).blocks
    fun = Objective(blocks, draw=Draw("without", 0, 5, 0))
    result = minimize(fun, start(fun), solver=Boaster(), max_iter=12)
    assert result.status is Status.MAX_ITER
    assert not result.success


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "sampled-lbfgs"])
def test_where_f_is_0_and_nothing_stands_above_it_nothing_is_left(solver):
    """Targets of zeros: the null model's F is no measure, and theta of zeros has no rounding."""
    fun = objective(np.random.default_rng(0).standard_normal((50, 3)), np.zeros(50), "squared", l2=0.0)
    result = minimize(fun, np.zeros(4), solver=solver)
    assert result.status is Status.CONVERGED
    assert (result.value, result.remaining_r2) == (0.0, 0.0)


def test_callbacks_see_each_iterate_once_whoever_made_it():
    fun = objective(*breast_cancer())
    seen = []
    minimize(fun, start(fun), solver=Boaster(), callbacks=[lambda iterate: seen.append(iterate.iteration)])
    assert seen == list(range(len(seen)))
    assert len(seen) > 4


def test_many_rows_are_checked_by_a_sample_of_them():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((30_000, 200)).astype(np.float32)
    y = (X[:, :5].sum(axis=1) + rng.logistic(size=30_000) > 0).astype(int)
    fun = objective(X, y, l2=1e-4)
    result = minimize(fun, start(fun), solver="sampled-lbfgs")
    assert result.known_by == "sample"
    assert result.remaining_r2 <= 1e-8
    assert result.sampled_passes > 0
    claim = minimize(fun, start(fun), solver=Boaster())
    assert "by the Hessian of a sample of the rows" in claim.solver
    assert claim.value == pytest.approx(result.value, rel=1e-7)


@dataclass(frozen=True)
class Overconfident(OWLQN):
    """Claims that next to nothing is left."""

    def optimality(self, state):
        return 1e-15


# By what the Hessian in the columns that may move can be asked for: rows and seconds that it may take at the most.
@pytest.mark.parametrize(
    ("seconds", "draw", "known_by", "of_truth"),
    [
        (1.0, None, "hessian", (0.9, 1.1)),
        (2e-6, None, "sample", (0.5, 2.0)),
        (0.0, None, "directions", (0.5, 1.01)),  # along a few of them no more than along all
        (0.0, Draw("all"), "columns", None),  # what is drawn has no products of the Hessian
    ],
)
def test_where_f_has_corners_as_much_is_known_as_it_may_cost(monkeypatch, seconds, draw, known_by, of_truth):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, 6))
    y = (X[:, :3] @ [0.5, -0.5, 0.3] + rng.logistic(size=4000) > 0).astype(int)
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y, blocks=3))
    fun = Objective(blocks, draw=draw, l1=0.02)
    least = minimize(fun, np.zeros(7), solver="proximal-newton", tol=1e-12).value
    solver = Overconfident().for_problem(fun.facts)
    state = drive(solver.init(np.zeros(7)), fun)
    for _ in range(4):
        state = drive(solver.step(state), fun)
    monkeypatch.setattr(convergence, "_SECONDS", seconds)
    monkeypatch.setattr(convergence, "_SHARE", 0.0)
    monkeypatch.setattr(convergence, "_ROWS_PER_PARAMETER", 150)
    asked = []
    check = convergence.checked(fun, state, solver, lambda request: asked.append(request) or fun(request))
    assert all(request.double for request in asked if not isinstance(request, HessVec))  # whatever the rows
    assert (ValueGrad in map(type, asked)) == (known_by in ("hessian", "sample"))  # F beyond the end of the model
    assert check.known_by == known_by
    assert check.kinked == (known_by != "columns")
    if of_truth is None:
        assert check.remaining_r2 == 1e-15
        return
    left = (state.value - least) / fun.facts.parameters.null
    assert left > 1e-9
    assert of_truth[0] <= check.remaining_r2 / left <= of_truth[1]


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_f_is_looked_at_beyond_an_end_with_corners_where_it_has_risen_in_its_own_units(unit):
    """By a millionth of the null model's, as its Hessian says; steps are tried in fours."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    y = unit * (X @ [1.0, 0.5, 0.0] + rng.standard_normal(200))
    fun = Objective(SerialEngine().place(Linear("squared"), array_sources(X, y)), l1=0.1 * unit)
    solver = Overconfident().for_problem(fun.facts)
    near = 1.0001 * minimize(fun, np.zeros(4), tol=1e-14).theta
    state, asked = drive(solver.init(near), fun), []
    check = convergence.checked(fun, state, solver, lambda request: asked.append(request) or fun(request))
    assert check.remaining_r2 < 1e-8
    (beyond,) = (request.theta for request in asked if isinstance(request, ValueGrad))
    assert 1e-6 <= (fun.full_loss(beyond) - state.value) / (0.5 * y.var()) <= 16e-6


@pytest.mark.parametrize("scale", [np.ones(3), np.array([1e-6, 1.0, 1e6])], ids=["one scale", "many"])
@pytest.mark.parametrize(("least", "rises"), [(1e-3, True), (0.0, True), (-1e-3, False)])
def test_whether_f_falls_away_somewhere_is_told_at_any_scale(scale, least, rises):
    ways = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    matrix = ways @ np.diag([least, 1.0, 2.0]) @ ways.T
    assert convergence._rises(matrix * scale * scale[:, None]) is rises


def test_what_is_left_is_half_the_square_of_the_newton_decrement():
    fun = objective(*breast_cancer())
    theta = np.full(31, 0.05)
    curves = fun(Curvature(theta, "gram"))
    curved = Curved.of(curves, theta, fun.facts, "float64")
    step = np.linalg.solve(curves.matrix, curves.point.grad)
    assert curved.decrease == pytest.approx(0.5 * curves.point.grad @ step, rel=1e-9)
    np.testing.assert_allclose(curved.direction(0.0), -step, rtol=1e-7)
    assert 0 < curved.rounding < 1e-12 * curves.point.value
    assert Curved.of(curves._replace(point=Point(np.nan, np.full(31, np.nan))), theta, fun.facts, "float64") is None


@pytest.mark.parametrize(
    ("check", "holds"),
    [
        (Check(1e-9, 1e-9, "columns"), True),
        (Check(1e-9, 1e-3, "columns"), False),
        (Check(1e-9, 1e-3, "hessian"), True),
        (Check(1e-7, 0.0, "hessian"), False),
        (Check(1e-9, None, "estimate"), True),
        (Check(np.nan, None, "estimate"), False),
    ],
)
def test_which_checks_bear_a_claim_out(check, holds):
    assert check.holds(1e-8) is holds
    assert check.words


def codes(result):
    return {notice.code: notice.words for notice in result.notices}


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "sampled-lbfgs"])
@pytest.mark.parametrize("tol", [1e-3, 1e-4, 1e-7])
def test_separable_classes_are_told_by_every_solver_at_every_tol(solver, tol):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((100, 2))
    for X, y in (
        (np.array([[-2.0], [-1], [1], [2]]), [0, 0, 1, 1]),
        (A, np.digitize(A[:, 0], [-0.5, 0.5])),
        (rng.standard_normal((10, 30)), np.arange(10) % 2),
    ):
        with pytest.warns(FitWarning, match=r"^\[separable\] the classes can be separated, .* add a penalty"):
            model = LogisticRegression(C=np.inf, tol=tol, solver=solver).fit(X, y)
        assert "'x0'" in codes(model.result_)["separable"]
        assert np.isfinite(model.coef_).all()
        assert model.score(X, y) == 1.0


@pytest.mark.parametrize("unit", [1e-9, 1.0, 100.0, 1e9])
def test_a_level_without_events_is_at_infinity(unit):
    rng = np.random.default_rng(1)
    X = np.column_stack((rng.standard_normal(300), np.arange(300) < 30))
    y = unit * rng.poisson(np.where(X[:, 1] > 0, 0.0, 2.0))
    with pytest.warns(FitWarning, match="ever better, so the optimum is at infinity: .* along 'x1'; add a penalty"):
        GeneralizedLinearRegressor("poisson").fit(X, y)


def test_a_level_that_two_nearly_equal_float32_columns_tell_is_at_infinity():
    """Far along their difference the rounding of float32 products would hide that F still falls."""
    rng, level = np.random.default_rng(0), np.arange(300) < 30
    a = rng.standard_normal(300).astype(np.float32)
    with pytest.warns(FitWarning, match=r"^\[separable\] some of the rows .* along 'x0', 'x1'; add a penalty"):
        GeneralizedLinearRegressor("poisson").fit(np.column_stack((a, a + level)), rng.poisson(np.where(level, 0, 2.0)))


def ended(loss, x, y, start, weight=None, tol=1e-8):
    """A fit with an intercept to a single column."""
    placed = SerialEngine().place(Linear(loss), array_sources(np.array(x)[:, None], np.array(y), weight))
    return minimize(Objective(placed), np.array(start), tol=tol)


def test_a_row_of_next_to_no_weight_is_enough_for_a_minimum():
    """The last one, of weight w and on the wrong side. About its minimum F is, but for a factor,
    exp(b - a) + exp(-a - b) + w (2 a + b) in the coefficient a and the intercept b.
    """
    w, x, y = 1e-12, [-2.0, -1, 1, 2, 2], [0, 0, 1, 1, 0]
    found = ended("logistic", x, y, [0.0, 0.0], np.array([1, 1, 1, 1, w]), tol=1e-13)
    np.testing.assert_allclose(found.theta, [-np.log(w) - np.log(0.75) / 2, -np.log(3) / 2], rtol=1e-4)
    assert not codes(found)


@pytest.mark.parametrize("far", [30.0, 1000.0])
def test_classes_are_told_to_be_apart_where_nothing_is_left_of_f_too(far):
    found = ended("logistic", [-2.0, -1, 1, 2], [0, 0, 1, 1], [far, 0.0])
    assert found.value < 1e-12
    assert codes(found)["separable"].startswith("the classes can be separated")


@pytest.mark.parametrize("far", [-5.0, -30.0, -800.0])
def test_a_level_without_events_is_told_where_the_other_rows_are_fitted_exactly(far):
    found = ended("poisson", [0.0, 0, 0, 1, 1], [2.0, 2, 2, 0, 0], [far, np.log(2.0)])
    assert codes(found)["separable"].startswith("some of the rows can be fitted ever better")
    found = ended("poisson", [0.0, 0, 0, 1, 1], [2.0, 2, 2, 1, 1], [np.log(0.5), np.log(2.0)])
    assert not codes(found)  # all rows are, at a minimum


def levels(seed, empty):
    """A level of "c" has no events, or none has; other columns are collinear and of many scales."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.choice(list(values), 300) for name, values in (("c", "pqrs"), ("e", "uvw"))})
    frame["a"], frame["b"] = 10.0 ** rng.uniform(-3, 3) * rng.normal(size=300) + 20.0, rng.normal(size=300)
    frame["sum"] = frame.a + frame.b * frame.a.std()
    eta, none = 0.7 * frame.b, (frame.c == empty).to_numpy()
    targets = {
        "counts": rng.poisson(np.exp(eta + 1.0)).astype(float),
        "two": (eta + rng.logistic(size=300) > 0).astype(int),
        "three": np.digitize(eta + rng.logistic(size=300), [-1.0, 1.0]),
    }
    return frame, {name: np.where(none, 0, y) for name, y in targets.items()}


BY_LEVELS = [
    ("counts", lambda: GeneralizedLinearRegressor("poisson")),
    ("counts", lambda: GeneralizedLinearRegressor("tweedie")),
    ("counts", lambda: GeneralizedLinearRegressor("poisson", solver="lbfgs")),
    ("two", lambda: LogisticRegression(C=np.inf)),
    ("two", lambda: LogisticRegression(C=np.inf, solver="newton-cg")),
    ("two", lambda: LogisticRegression(C=np.inf, base="first")),
    ("two", lambda: GeneralizedLinearRegressor(family="binomial", link="cloglog")),
    ("three", lambda: LogisticRegression(C=np.inf)),
    ("three", lambda: OrdinalLogisticRegression(C=np.inf)),
]


@pytest.mark.parametrize("kind", range(len(BY_LEVELS)))
def test_a_level_without_events_is_told_whatever_else_moves_no_prediction(kind, tmp_path):
    target, make = BY_LEVELS[kind]
    for seed in range(3):
        frame, targets = levels(seed, "p")
        with pytest.warns(FitWarning, match=r"^\[separable\] some of the rows can be fitted ever better"):
            model = make().fit(frame, targets[target])
        told = codes(model.result_)
        assert "'c=p'" in told["separable"]
        assert not any(f"'c={level}'" in told["separable"] for level in "qrs")
        assert "collinear-columns" not in told
        model.save(tmp_path / "model.fb")
        if target != "three":
            with pytest.raises(DataError, match="classes are separated, as the fit has warned"):
                load_model(tmp_path / "model.fb").inference(frame, targets[target])
        frame, targets = levels(seed, "none")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = make().fit(frame, targets[target])
        assert "separable" not in codes(model.result_)
        assert not model.separable_


def test_columns_that_say_nothing_or_the_same_are_named():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((200, 5))
    X[:, 3] = 7.3
    X[:, 4] = X[:, 0] - 2 * X[:, 1]
    for loss, y in (("squared", X[:, 2] + rng.standard_normal(200)), ("poisson", rng.poisson(2.0, 200))):
        with pytest.warns(FitWarning, match=r"^\[collinear-columns\] "):
            model = GeneralizedLinearRegressor(loss).fit(X, y)
        told = codes(model.result_)
        assert set(told) == {"constant-columns", "collinear-columns"}
        assert told["constant-columns"].endswith("not used: 'x3'")
        assert "fit so well: 'x0', 'x1', 'x4'." in told["collinear-columns"]
        assert np.abs(model.coef_).max() < 5
        assert model.coef_[3] == 0.0


def test_columns_without_curvature_are_not_named_where_their_predictions_count():
    """Two rows far off, to either side: their losses are straight here, and what one gains the other loses."""
    rng = np.random.default_rng(0)
    X, apart = rng.standard_normal((200, 2)), np.zeros(200)
    y = X @ [1.0, -1.0] + 0.1 * rng.standard_normal(200)
    apart[:2] = 1.0
    y[:2] += [20.0, -20.0]
    model = GeneralizedLinearRegressor("huber", loss_options={"delta": 1.0}).fit(np.column_stack((X, apart)), y)
    assert "collinear-columns" not in [one.code for one in model.result_.notices]


def test_a_base_level_is_no_column_without_variation():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.standard_normal(200), "z": rng.choice(["u", "v"], 200), "k": "one", "c": 7.3})
    y = rng.poisson(2.0, 200)
    for solver in ("auto", "lbfgs", "newton"):
        model = GeneralizedLinearRegressor("poisson", base="first", solver=solver, tol=1e-5)
        assert model.fit(frame[["a", "z"]], y).result_.notices == ()
        told = codes(model.fit(frame, y).result_)
        assert told == {"constant-columns": "without variation, and so not used: 'c'"}


def test_several_intercepts_are_told_once():
    X = np.arange(12.0)[:, None]
    with pytest.warns(FitWarning, match=r"along 'x0', 'the intercepts'; add a penalty"):
        OrdinalLogisticRegression(C=np.inf).fit(X, np.arange(12) // 4)


def test_nothing_is_said_where_there_is_nothing_to_say(recwarn):
    X, y = breast_cancer()
    for solver in SOLVERS:
        model = LogisticRegression(solver=solver).fit(X, y)
        assert model.result_.notices == ()
    assert not [one for one in recwarn if issubclass(one.category, FitWarning)]


def test_an_end_in_rounding_names_the_columns():
    """The driver can do nothing where the blocks' own products are all there is."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((400, 3)) + np.array([0, 1e6, 0])
    y = (X[:, 0] + rng.logistic(size=400) > 0).astype(int)
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X.astype(np.float32), y))
    blocks.answers = frozenset(answer for answer in blocks.answers if answer.__name__ == "ValueGrad")
    result = minimize(Objective(blocks), np.zeros(4), solver="lbfgs", tol=0)
    assert result.status in (Status.PRECISION, Status.LINE_SEARCH)
    assert not result.success
    assert "'x1' the mean dwarfs the spread" in codes(result)["precision"]
    assert "give the features as float64" in codes(result)["precision"]
    assert "your own" not in result.message


def test_float32_rows_end_where_float64_rows_do():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((500, 6))
    X[:, 5] = X[:, 0] + 1e-3 * X[:, 5]
    X[:, ::2] += 1000
    X = X.astype(np.float32)
    apart = 500 * (X[:, 5].astype(float) - X[:, 0])
    y = (X[:, 1] + apart - apart.mean() + rng.logistic(size=500) > 0).astype(int)
    model, exact = LogisticRegression(C=np.inf).fit(X, y), LogisticRegression(C=np.inf).fit(X.astype(np.float64), y)
    assert model.result_.state.double == 1
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e2, 1e5])
@pytest.mark.parametrize("loss", ["huber", "quantile"])
def test_straight_stretches_are_crossed(loss, scale):
    from scipy.optimize import linprog

    rng = np.random.default_rng(5)
    X = rng.standard_normal((150, 3))
    y = scale * (X @ [1.0, 2.0, -1.0] + rng.standard_t(3, 150))
    share = 0.8 if loss == "quantile" else 0.5
    options = {"quantile": share, "smoothing": 1e-5} if loss == "quantile" else {"delta": 1e-5}
    model = GeneralizedLinearRegressor(loss, loss_options=options).fit(X, y)
    assert model.result_.status is Status.CONVERGED
    columns = np.column_stack((X, np.ones(150)))
    programme = linprog(
        np.concatenate((np.zeros(4), np.full(150, share), np.full(150, 1 - share))),
        A_eq=np.hstack((columns, np.eye(150), -np.eye(150))),
        b_eq=y,
        bounds=[(None, None)] * 4 + [(0, None)] * 300,
    )
    residual = y - model.predict(X)
    pinball = np.maximum(share * residual, (share - 1) * residual).sum()
    assert pinball <= programme.fun * (1 + 1e-6) + 150 * 1e-5


def test_newton_at_any_unit_takes_the_same_steps():
    X, y = breast_cancer()
    passes = set()
    for unit in (1.0, 1e-7, 1e9):
        fun = objective(X * unit, y, l2=0.0)
        passes.add(minimize(fun, start(fun), solver=Newton(), tol=1e-6).passes)
    assert max(passes) - min(passes) <= 1


def test_a_state_of_before_goes_on():
    """Fields that are new take their defaults."""
    fun = objective(*breast_cancer())
    state = minimize(fun, start(fun), solver="newton", max_iter=2).state
    old = replace(state, damping=1e-4, left=np.inf, rounding=0.0)
    assert minimize(fun, None, resume=old).status is Status.CONVERGED


def test_softmax_coefficients_sum_to_zero():
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, 3))
    y = (X @ rng.standard_normal((3, 4)) + rng.gumbel(size=(200, 4))).argmax(axis=1)
    X = X + np.array([5, 0, -3])
    for solver in ("auto", "lbfgs"):
        model = LogisticRegression(C=np.inf, solver=solver).fit(X, y)
        np.testing.assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-12)
        assert model.intercept_.sum() == pytest.approx(0, abs=1e-12)
        value = -np.mean(model.predict_log_proba(X)[np.arange(200), y])
        assert value == pytest.approx(model.result_.value, rel=1e-10)
