"""Least squares for several targets at once: scikit-learn's coefficients, from one read of the data."""

import copy
import pickle
import re
import warnings
from importlib import import_module

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn import linear_model
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning

import fullbatch
from fullbatch import DataError, Ridge, RidgeCV, SerialEngine, array_sources, load_model, table_sources
from fullbatch.estimators._several_targets import sources_with_targets, split_targets
from fullbatch.estimators._splits import column_of
from fullbatch.models.by_row import ByRow
from fullbatch.models.linear import Linear
from fullbatch.objective.factor import factors
from fullbatch.protocols.requests import Curvature, DrawnCurvature, DrawnValueGrad, Squares, ValueGrad
from fullbatch.protocols.sampling import Draw
from fullbatch.run import together
from fullbatch.run.targets import TargetSums
from fullbatch.solvers.least_squares import LeastSquares


def data():
    X, y = load_diabetes(return_X_y=True)
    X, y, rng = 10.0 * X[:120, :5] + 1.0, y[:120], np.random.default_rng(0)
    Y = np.column_stack((y, y**2 / 100.0, rng.standard_normal(120), 1e6 + 3.0 * X[:, 2] + rng.standard_normal(120)))
    return X, Y, rng.uniform(0.2, 2.0, 120)


TIGHT = {"tol": 1e-12, "max_iter": 100_000}
PAIRS = [
    ("LinearRegression", {}, {}),
    ("LinearRegression", {"fit_intercept": False}, {}),
    ("LinearRegression", {"positive": True}, {}),
    ("Ridge", {"alpha": [0.1, 1.0, 2.0, 3.0]}, {}),
    ("Ridge", {"alpha": 0.5, "fit_intercept": False}, {}),
    ("Lasso", {"alpha": 0.05}, TIGHT),
    ("ElasticNet", {"alpha": 0.01, "positive": True}, TIGHT),
]


@pytest.mark.parametrize("sparse", [False, True], ids=["", "sparse"])
@pytest.mark.parametrize(("name", "options", "theirs"), PAIRS, ids=str)
def test_several_targets_at_once(name, options, theirs, sparse):
    X, Y, weight = data()
    wanted = getattr(linear_model, name)(**options, **theirs).fit(X, Y, weight)
    given = sp.csr_array(X) if sparse else X
    found = getattr(fullbatch, name)(**options, tol=1e-8, engine="serial").fit(given, Y, weight)
    assert found.coef_.shape == (4, 5)
    assert found.intercept_.shape == (4,) or not options.get("fit_intercept", True)
    np.testing.assert_allclose(found.coef_, wanted.coef_, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.intercept_, wanted.intercept_, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found.predict(given), wanted.predict(X), rtol=1e-7)
    assert found.score(given, Y, weight) == pytest.approx(wanted.score(X, Y, weight), abs=1e-8, rel=1e-9)
    assert found.n_iter_.shape == (4,)
    assert len(found.results_) == 4
    if name in ("Lasso", "ElasticNet"):
        assert found.dual_gap_.shape == (4,)
        assert found.sparse_coef_.shape == (4, 5)


def test_each_target_is_what_a_model_of_it_alone_is():
    X, Y, weight = data()
    offset = np.linspace(0.0, 5.0, len(Y))
    together = fullbatch.Ridge(2.0, engine="serial").fit(X, Y, weight, offset=offset)
    for number, y in enumerate(Y.T):
        alone = fullbatch.Ridge(2.0, engine="serial").fit(X, y, weight, offset=offset)
        np.testing.assert_allclose(together.coef_[number], alone.coef_, rtol=1e-9)
        assert together.intercept_[number] == pytest.approx(alone.intercept_, rel=1e-9)
        result, of_one = together.results_[number], alone.result_
        assert result.value == pytest.approx(of_one.value, rel=1e-7)
        assert result.status is of_one.status


def test_one_read_serves_all_targets(monkeypatch):
    X, Y, _ = data()
    reads = []
    place = fullbatch.SerialEngine.place

    def counted(self, model, sources):
        blocks = place(self, model, sources)
        ask = blocks.sum
        monkeypatch.setattr(blocks, "sum", lambda request: reads.append(type(request).__name__) or ask(request))
        return blocks

    monkeypatch.setattr(fullbatch.SerialEngine, "place", counted)
    fullbatch.LinearRegression(engine=fullbatch.SerialEngine()).fit(X, Y)
    assert reads == ["Squares"]


def test_columns_too_many_for_their_products_are_fitted_target_by_target(monkeypatch):
    X, Y, weight = data()
    wanted = fullbatch.Lasso(0.05, engine="serial", tol=1e-8).fit(X, Y, weight)
    monkeypatch.setattr(LeastSquares, "bytes_for", staticmethod(lambda size: 2**40))
    found = fullbatch.Lasso(0.05, engine="serial", tol=1e-8).fit(X, Y, weight)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-7)


def test_ill_conditioned_columns_are_decomposed_for_all_targets():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3))
    X = np.column_stack((X, X[:, 0] + 1e-7 * rng.standard_normal(80)))
    Y = X @ rng.standard_normal((4, 3)) + 0.1 * rng.standard_normal((80, 3))
    wanted = np.linalg.lstsq(X - X.mean(axis=0), Y - Y.mean(axis=0), rcond=1e-14)[0].T
    found = fullbatch.LinearRegression(engine="serial").fit(X, Y)
    np.testing.assert_allclose(found.coef_, wanted, rtol=1e-6)


def test_threads_saving_and_frames(tmp_path):
    X, Y, weight = data()
    frame = pd.DataFrame(X, columns=list("abcde")).assign(kind=np.where(X[:, 0] > 1.0, "up", "down"))
    targets = pd.DataFrame(Y, columns=["p", "q", "r", "s"])
    model = fullbatch.Ridge([1.0, 2.0, 3.0, 4.0], engine="serial").fit(frame, targets, weight)
    for threads in (1, 2, 4):
        other = clone(model).set_params(engine=fullbatch.ThreadEngine(threads)).fit(frame, targets, weight)
        assert other.coef_.tobytes() == model.coef_.tobytes()
    model.save(tmp_path / "model.fb")
    for again in (load_model(tmp_path / "model.fb"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    model.write_predictions(frame, tmp_path / "predictions.csv")
    written = pd.read_csv(tmp_path / "predictions.csv")
    assert list(written) == [f"prediction_{number}" for number in range(4)]
    np.testing.assert_allclose(written.to_numpy(), model.predict(frame), rtol=1e-12)


def test_shapes_of_one_target():
    X, Y, _ = data()
    one = fullbatch.LinearRegression(engine="serial").fit(X, Y[:, :1])
    assert (one.coef_.shape, one.intercept_.shape, one.predict(X).shape) == ((1, 5), (1,), (len(X), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fullbatch.Ridge(engine="serial").fit(X, Y[:, :1]).coef_.shape == (5,)


def test_what_several_targets_have_not():
    X, Y, _ = data()
    model = fullbatch.Ridge(engine="serial").fit(X, Y)
    for asked in (lambda: model.inference(X, Y), lambda: model.evaluate(X, Y), lambda: model.to_sql("data")):
        with pytest.raises(ValueError, match="of several targets: fit a model to each of them"):
            asked()
    with pytest.raises(ValueError, match="Number of targets and number of penalties do not correspond: 3 != 4"):
        fullbatch.Ridge([1.0, 2.0, 3.0]).fit(X, Y)
    with pytest.raises(ValueError, match="Ridge requires y to be passed"):
        model.score(X)


FRAME = pd.DataFrame(data()[0], columns=list("abcde")).assign(
    kind=np.where(data()[0][:, 0] > 1.0, "up", "down"), weight=data()[2], p=data()[1][:, 0], q=data()[1][:, 1]
)
KINDS = [
    (pd.DataFrame, lambda X, names: X.drop(columns=names)),
    (pl.from_pandas, lambda X, names: X.drop(names)),
    (pa.Table.from_pandas, lambda X, names: X.drop_columns(names)),
    (lambda X: import_module("dask.dataframe").from_pandas(X, npartitions=3), lambda X, names: X.drop(columns=names)),
]


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize(("kind", "without"), KINDS, ids=["pandas", "polars", "Arrow", "Dask"])
def test_targets_may_be_names_of_columns(kind, without, text):
    X = kind(FRAME if text else FRAME.drop(columns="kind"))
    y = FRAME[["q", "p"]]
    for model in (
        fullbatch.LinearRegression(), Ridge([1.0, 2.0]), fullbatch.Lasso(0.05), fullbatch.ElasticNet(0.1),
    ):  # fmt: skip
        model.set_params(engine="serial")
        named = clone(model).fit(X, ["q", "p"], sample_weight="weight")
        given = clone(model).fit(without(X, ["p", "q"]), y, sample_weight="weight")
        assert list(named.feature_names_in_) == [*"abcde", *(["kind"] if text else [])]
        assert named.coef_.tobytes() == given.coef_.tobytes()
        assert np.asarray(named.predict(X)).tolist() == np.asarray(given.predict(X)).tolist()
    of_index = clone(model).fit(X, pd.Index(["q", "p"]), sample_weight="weight")
    assert of_index.coef_.tobytes() == named.coef_.tobytes()
    assert named.score(FRAME, ["q", "p"], "weight") == given.score(FRAME, y, FRAME["weight"])


def test_one_name_in_a_list_is_a_frame_of_one_column():
    for name, shape in (("LinearRegression", (1, 7)), ("Ridge", (7,)), ("LassoCV", (7,))):
        kind = getattr(fullbatch, name)
        X = FRAME.drop(columns=["weight", "q"])
        named, given = kind(engine="serial").fit(X, ["p"]), kind(engine="serial").fit(X.drop(columns="p"), X[["p"]])
        assert named.coef_.tobytes() == given.coef_.tobytes()
        assert named.coef_.shape == given.coef_.shape == shape
        assert named.score(X, ["p"]) == given.score(X, X[["p"]])
        if name == "Ridge":
            assert named.evaluate(X, ("p",)) == given.evaluate(X, X["p"])


@pytest.mark.parametrize("options", [{}, {"alpha_per_target": True}, {"cv": 3}], ids=str)
def test_strengths_are_chosen_for_named_targets_too(options):
    X = FRAME.drop(columns=["kind"])
    named, given = (RidgeCV([0.1, 1.0, 10.0], engine="serial", **options) for _ in range(2))
    named.fit(X, ["p", "q"], sample_weight="weight")
    given.fit(X.drop(columns=["p", "q"]), X[["p", "q"]], sample_weight="weight")
    assert named.coef_.tobytes() == given.coef_.tobytes()
    assert np.array_equal(named.alpha_, given.alpha_)


def test_formulas_of_several_targets():
    named = Ridge(formula="a + C(kind)", engine="serial").fit(FRAME, ["p", "q"])
    given = Ridge(formula="a + C(kind)", engine="serial").fit(FRAME, FRAME[["p", "q"]].to_numpy())
    assert named.coef_.tobytes() == given.coef_.tobytes()
    with pytest.raises(ValueError, match="names the target, 'p', and y is given too: leave y out"):
        Ridge(formula="p ~ a").fit(FRAME, ["p", "q"])


HOLES = [[1.0, 2.0]] * 3 + [[1.0, None]] + [[np.inf, 2.0]] * 2


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array(HOLES, float), "row 3: target y, column 1, contains NaN: remove or fill in such values first"),
        (HOLES, "row 3: target y, column 1, contains NaN"),
        (np.array(HOLES[:3] + HOLES[4:] + HOLES[:1], float), "row 3: target y, column 0, contains infinity"),
        (pd.DataFrame(HOLES, columns=["p", "q"]), "row 3: target y, column 'q', contains NaN"),
        (pl.DataFrame(HOLES, schema=["p", "q"], orient="row"), "row 3: target y, column 'q', contains NaN"),
        (pa.table({"p": [1.0] * 6, "q": [None, *range(5)]}), "row 0: target y, column 'q', contains NaN"),
        (pd.DataFrame({"p": pd.array([*range(5), None], "Int64"), "q": 1.0}), "row 5: target y, column 'p', contains"),
        (pd.DataFrame({"p": 1.0, "q": list("abcdef")}), "column 'q' of target y must be numbers, not 'a'"),
        (pd.DataFrame({"p": 1.0, "q": pd.date_range("2020", periods=6)}), "derive numbers from the dates first"),
        (np.full((6, 2), np.datetime64("2020-01-01")), "derive numbers from the dates first"),
        (np.ones((6, 2)) + 1j, "column 0 of target y must be real numbers"),
        ([[1.0, 2.0], [1.0]] * 3, "the rows of target y are not of one length"),
        (sp.csr_array(np.ones((6, 2))), "which must be dense: give y.toarray()"),
        (np.ones((5, 2)), "X has 6 rows and the target has 5"),
        (pd.DataFrame(np.ones((6, 2)), index=range(6)[::-1]), "X and y have different indexes: row 0 is 0 in X and 5"),
        (["p", "nr"], "there is no column 'nr'"),
        (["a", "a"], "y names the column 'a' twice: name each target once"),
    ],
)  # fmt: skip
def test_what_is_no_several_targets_is_told_by_row_and_column(y, message):
    X = pd.DataFrame({"a": np.arange(6.0), "p": np.arange(6) % 2, "kind": list("uvuvuv")})
    for model in (Ridge(), fullbatch.LinearRegression(), fullbatch.Lasso(), RidgeCV(), RidgeCV(cv=2)):
        with pytest.raises(DataError, match=re.escape(message)):
            model.fit(X, y)


def test_targets_to_score_by_are_told_by_row_and_column():
    X, Y, _ = data()
    model = Ridge(engine="serial").fit(X, Y)
    holes = Y.copy()
    holes[7, 1] = np.nan
    for y, message in (
        (holes, "row 7: target y, column 1, contains NaN"),
        (Y[:50], r"target y has shape \(50, 4\), predictions for X have \(120, 4\)"),
        (Y[:, 0], r"target y has shape \(120,\): give a row of targets for each row of X"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            model.score(X, y)


def test_names_of_several_targets_are_refused_where_there_is_one():
    for model in (fullbatch.PoissonRegressor(), fullbatch.LogisticRegression(), fullbatch.GeneralizedLinearRegressor()):
        with pytest.raises(ValueError, match=rf"y names 2 columns, and {type(model).__name__} takes one target"):
            model.fit(FRAME, ["p", "q"])
        with pytest.raises(ValueError, match="takes one target: give its name alone, y='p'"):
            model.fit(FRAME, ["p"])
    with pytest.raises(ValueError, match="y names 2 columns, and fit_path takes one target"):
        fullbatch.fit_path(Ridge(), FRAME, ["p", "q"])
    with pytest.raises(ValueError, match=r"LazyFrame is not computed yet: give what its collect\(\) returns"):
        Ridge().fit(pl.from_pandas(FRAME).lazy(), ["p", "q"])
    with pytest.raises(ValueError, match="fit a LassoCV to each of them"):
        fullbatch.LassoCV().fit(FRAME, ["p", "q"])
    with pytest.raises(DataError, match=r"X \(ndarray\) has no names of columns: give a data frame"):
        Ridge().fit(np.ones((3, 2)), ["p", "q"])
    of_ray = type("Dataset", (), {"__module__": "ray.data.dataset"})()
    with pytest.raises(DataError, match="several targets must be in memory, X is a Ray Dataset: fit each target alone"):
        Ridge().fit(of_ray, ["p", "q"])
    with pytest.raises(ValueError, match="sources bring their targets and weights with them"):
        Ridge().fit(fullbatch.table_sources(FRAME), ["p", "q"])
    two = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 1.0]})
    assert fullbatch.LogisticRegression().fit(two, ["a", "b"]).classes_.tolist() == ["a", "b"]  # labels


def test_targets_whose_products_have_no_room_are_placed_one_by_one(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8))
    Y = X @ rng.normal(size=(8, 3)) + rng.normal(size=(60, 3))
    kinds = Ridge(alpha=2.0, tol=1e-8), RidgeCV(alphas=[0.1, 1.0, 10.0], cv=4, tol=1e-8)
    wanted = [clone(kind).fit(X, Y) for kind in kinds]
    monkeypatch.setattr(LeastSquares, "bytes_for", staticmethod(lambda size: 10**15))
    for kind, one in zip(kinds, wanted, strict=True):
        found = clone(kind).fit(X, Y)
        assert_allclose(found.coef_, one.coef_, atol=1e-7)
        assert getattr(found, "alpha_", 2.0) == getattr(one, "alpha_", 2.0)


def test_folds_whose_hessians_have_no_room_are_chosen_alike(monkeypatch):
    X, Y, weight = data()
    kind = RidgeCV(alphas=[0.1, 1.0, 10.0], cv=4, tol=1e-8)
    wanted = clone(kind).fit(X, Y, weight)
    monkeypatch.setattr(together, "have_room", lambda facts, parts: False)
    found = clone(kind).fit(X, Y, weight)
    assert_allclose(found.coef_, wanted.coef_, rtol=1e-6)
    assert found.alpha_ == wanted.alpha_


def test_a_working_set_of_the_columns_of_several_targets():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 501))
    Y = X[:, :3] @ rng.uniform(1.0, 2.0, (3, 2)) + 0.1 * rng.standard_normal((50, 2))
    wanted = linear_model.Lasso(0.2, **TIGHT).fit(X, Y)
    found = fullbatch.Lasso(0.2, engine="serial", tol=1e-8).fit(X, Y)
    assert_allclose(found.coef_, wanted.coef_, atol=1e-6)


@pytest.mark.parametrize("number", [0, 1])
def test_one_of_several_targets_answers_as_blocks_of_it_alone(number):
    X, Y, weight = data()
    model = Linear("squared")
    asked = ByRow(model, None, Y[:, :2])
    sums = TargetSums(SerialEngine().place(asked, array_sources(X, np.arange(120.0), weight, blocks=3)), 2)
    one, alone = sums.one(number), SerialEngine().place(model, array_sources(X, Y[:, number], weight, blocks=3))
    theta = np.arange(6.0)
    several = np.array([theta, 2.0 * theta, -theta])
    draws = Draw("only", 1, 4), Draw("without", 1, 4), Draw("all")
    for request in (
        ValueGrad(theta),
        ValueGrad(several),
        Curvature(theta, "gram"),
        Curvature(theta, "gram", columns=np.array([1, 4])),
        DrawnValueGrad(several, draws),
        DrawnCurvature(several, draws, 2),
    ):
        mine, theirs = one.sum(request), alone.sum(request)
        if isinstance(request, Curvature | DrawnCurvature):
            assert_allclose(mine.matrix, theirs.matrix, rtol=1e-9)
            mine, theirs = mine.point, theirs.point
        assert_allclose(mine.value, theirs.value, rtol=1e-9)
        assert_allclose(mine.squares, theirs.squares, rtol=1e-9)
        assert_allclose(mine.grad, theirs.grad, rtol=1e-9, atol=1e-9 * np.abs(theirs.grad).max())
        assert_allclose(mine.weight, theirs.weight, rtol=1e-12)
    for exact in (False, True):
        (factor,) = factors(one.sum(Squares(exact=exact)))
        residual = Y[:, number] - X @ theta[:-1] - theta[-1]
        assert_allclose(factor.loss(theta), 0.5 * weight @ residual**2, rtol=1e-9)
    with pytest.raises(ValueError, match="only the form 'gram' is known, not 'diagonal'"):
        one.sum(Curvature(theta, "diagonal"))
    exact = one.sum(Squares(exact=True))
    rows = np.sqrt(weight)[:, None] * np.column_stack((np.ones(120), X - exact.center, Y[:, number] - exact.target))
    triangle = np.linalg.qr(rows, mode="r")
    assert_allclose(np.abs(exact.matrices[0]), np.abs(triangle), rtol=1e-9, atol=1e-10)


def test_targets_of_one_column_are_one_target():
    X, Y, _ = data()
    for values, shape in ((Y[:, :1], (120,)), (Y[:, :2], (120, 2)), (Y[:1, :2], (1, 2))):
        assert column_of(X, values).shape == shape


def test_what_all_rows_say_is_read_once_for_all_targets(monkeypatch):
    X, Y, weight = data()
    blocks = SerialEngine().place(ByRow(Linear("squared"), None, Y), array_sources(X, np.arange(120.0), weight))
    reads, ask = [], blocks.sum
    monkeypatch.setattr(blocks, "sum", lambda request: reads.append(request) or ask(request))
    sums = TargetSums(blocks, 4)
    for number in range(4):
        sums.one(number).sum(ValueGrad(np.zeros(6)))
        sums.one(number).sum(DrawnValueGrad(np.zeros((1, 6)), (Draw("all"),)))
    assert len(reads) == 1


def test_each_target_begins_where_it_ended():
    X, Y, _ = data()
    X = np.column_stack((X, X[:, 0]))
    model = fullbatch.Lasso(0.05, engine="serial", tol=1e-8, warm_start=True).fit(X, Y)
    first, coef = model.n_iter_, model.coef_
    model.fit(X, Y)
    assert model.n_iter_.sum() < first.sum()
    assert_allclose(model.coef_, coef, atol=1e-6)


def test_what_is_said_of_the_fits_is_said_once():
    X, Y, _ = data()
    with pytest.warns(ConvergenceWarning, match="max_iter") as told:
        fullbatch.Lasso(0.05, engine="serial", max_iter=0).fit(X, Y)
    words = [str(one.message) for one in told]
    assert len(words) == len(set(words))


def test_predictions_and_checks_of_one_and_of_several_targets(tmp_path):
    X, Y, _ = data()
    one, several = (fullbatch.Ridge(engine="serial").fit(X, y) for y in (Y[:, 0], Y))
    one.write_predictions(X, tmp_path / "p.csv")
    written = pd.read_csv(tmp_path / "p.csv")
    assert list(written) == ["prediction"]
    assert_allclose(written["prediction"], one.predict(X), rtol=1e-12)
    with pytest.raises(ValueError, match="there are no checks of models of several targets: fit a model to each"):
        several.checks(X, Y)
    with pytest.raises(ValueError, match="lazy=True is not for models of several targets"):
        several.predict(X, lazy=True)


def test_targets_are_parted_from_tables_of_every_kind():
    X, Y, _ = data()
    frame = pd.DataFrame(X, columns=list("abcde")).assign(p=Y[:, 0], q=Y[:, 1])
    for table in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame)):
        left, numbers, several = split_targets(table, ["p", "q"])
        assert list(left.column_names if hasattr(left, "column_names") else left.columns) == list("abcde")
        np.testing.assert_array_equal(numbers, np.arange(120))
        np.testing.assert_array_equal(several, Y[:, :2])
        left, y, several = split_targets(table, ["p"])
        assert "p" not in (left.column_names if hasattr(left, "column_names") else left.columns)
        np.testing.assert_array_equal(y, Y[:, 0])
        assert several is None


def test_sources_with_several_targets_are_copied_whole():
    X, Y, _ = data()
    sources = table_sources(pd.DataFrame(X).rename(columns=str).assign(row=np.arange(120.0)), target="row", blocks=2)
    for source in sources_with_targets(sources, Y):
        for again in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
            np.testing.assert_array_equal(again.read().y, source.read().y)
            assert str(again) == str(source)
    assert source.read().y.shape == (60, 4)
