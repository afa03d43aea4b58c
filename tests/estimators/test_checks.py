"""Rows that a fitted model must refuse, rather than answer for as if nothing were wrong."""

import warnings
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
import polars
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import accuracy_score, d2_tweedie_score, log_loss, r2_score
from sklearn.model_selection import KFold, cross_val_score

from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    LogisticRegression,
    array_sources,
    libsvm_sources,
    load_model,
    npy_sources,
    table_sources,
)
from fullbatch.estimators._measures import Spread, half_deviance


def data(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    return X, rng.poisson(np.exp(0.5 * X[:, 0])).astype(float)


@pytest.fixture(scope="module")
def counts():
    return GeneralizedLinearRegressor("poisson").fit(*data())


@pytest.fixture(scope="module")
def classes():
    X, y = data()
    return LogisticRegression().fit(X, y > 0)


def spoiled(values, row, what):
    values = np.array(values, float)
    values[row] = what
    return values


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_of_sources_are_checked(counts, classes, tmp_path, bad):
    X, y = data()
    np.save(tmp_path / "X.npy", spoiled(X, (150, 2), bad))
    named = r"array rows 100..199: row 50, column 2: input X contains"
    for model in (counts, classes):
        with pytest.raises(DataError, match=named):
            model.predict(array_sources(spoiled(X, (150, 2), bad), blocks=2))
        with pytest.raises(DataError, match=r"X.npy rows .*column 2: input X contains"):
            model.write_predictions(npy_sources(tmp_path / "X.npy"), tmp_path / "p.csv")
        with pytest.raises(DataError, match=r"row 7: the offset is"):
            model.predict(array_sources(X, offset=spoiled(y, 7, bad)))
        for weight in (spoiled(y, 9, bad), spoiled(y, 9, -1.0)):
            with pytest.raises(DataError, match="row 9: the sample weight is"):
                model.evaluate(array_sources(X, y > 0, weight))
    with pytest.raises(DataError, match=r"array rows 0..199: row 3: target y contains"):
        counts.score(array_sources(X, spoiled(y, 3, bad)))
    with pytest.raises(DataError, match="row 3: the target y is -1, the poisson loss takes targets at least 0"):
        counts.score(X, spoiled(y, 3, -1))
    assert list(tmp_path.iterdir()) == [tmp_path / "X.npy"]


def test_shapes_of_what_evaluate_is_given(counts):
    X, y = data()
    with pytest.raises(DataError, match=r"200 rows of features but target y has shape \(199,\)"):
        counts.evaluate(X, y[:-1])
    with pytest.raises(DataError, match=r"sample weight has shape \(200, 1\)"):
        counts.evaluate(X, y, np.ones((200, 1)))
    with pytest.raises(DataError, match="sample weights sum to zero"):
        counts.evaluate(X, y, np.zeros(200))
    assert counts.evaluate(X, y, 2.0)["d2"] == counts.evaluate(X, y)["d2"]
    with pytest.raises(DataError, match="target y must be numbers"):
        counts.evaluate(array_sources(X, np.full(200, "many")))


class Located:
    """A source that knows its file's rows."""

    def __init__(self, source):
        self._source = source

    def read(self):
        return self._source.read()

    def locate(self, row):
        return f"part.csv: row {row + 1000}"


def test_rows_are_those_of_the_file_where_the_source_knows_them(counts):
    X, _ = data()
    with pytest.raises(DataError, match=r"^part.csv: row 1150, column 1: input X contains NaN"):
        counts.predict(Located(array_sources(spoiled(X, (150, 1), np.nan), blocks=1)[0]))


def test_predictions_leave_no_row_out(tmp_path):
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abc")).assign(y=y)
    model = GeneralizedLinearRegressor("poisson").fit(table_sources(frame, target="y"))
    frame.loc[5, "a"] = np.nan
    dropping = {"features": list("abc"), "missing": "drop"}
    for predict in (model.predict, lambda sources: model.write_predictions(sources, tmp_path / "p.csv")):
        with pytest.raises(DataError, match='missing="drop" would leave rows without a prediction'):
            predict(table_sources(frame, **dropping))
    assert model.evaluate(table_sources(frame, target="y", **dropping))["rows"] == 199


def test_a_model_with_an_offset_needs_one(tmp_path):
    X, y = data()
    offset = np.linspace(0, 3, 200)
    model = GeneralizedLinearRegressor("poisson").fit(array_sources(X, y, offset=offset))
    model.save(tmp_path / "m.fb")
    for fitted in (model, load_model(tmp_path / "m.fb")):
        fitted.predict(array_sources(X, offset=offset))
        for ask in (
            lambda m: m.predict(X),
            lambda m: m.predict(array_sources(X)),
            lambda m: m.score(X, y),
            lambda m: m.score(array_sources(X, y)),
        ):
            with pytest.raises(DataError, match="the model was fitted with an offset"):
                ask(fitted)


def test_labels_of_another_kind(classes):
    X, y = data()
    for strange in (np.where(y > 0, "yes", "no"), (y > 0).astype(int).astype(str), np.where(y > 0, b"1", b"0")):
        for given in ((X, strange), (array_sources(X, strange),)):
            with pytest.raises(DataError, match="use text or numbers in both"):
                classes.score(*given)
    text = LogisticRegression().fit(X, np.where(y > 0, "yes", "no"))
    for strange in (y > 0, np.where(y > 0, b"yes", b"no")):
        with pytest.raises(DataError, match="those of the fit like 'no': use text or numbers in both"):
            text.score(X, strange)


@pytest.mark.parametrize("labels", [np.array([3, 5, 9]), np.array(["c", "e", "ii"])], ids=["numbers", "text"])
@pytest.mark.parametrize("position", [-1, 0, 1], ids=["beyond", "before", "between"])
def test_a_label_that_the_fit_has_not_seen_is_a_miss(labels, position):
    X, y = data()
    y = labels[np.minimum(y, 2).astype(int)]
    unseen = {-1: 11, 0: 1, 1: 4}[position] if labels.dtype.kind == "i" else {-1: "zzzz", 0: "a", 1: "d"}[position]
    model, frame = LogisticRegression().fit(X, y), pd.DataFrame(X, columns=list("abc"))
    by_frame = LogisticRegression().fit(frame, y)
    there, weight = y.astype(object), np.linspace(0.5, 2.0, 200)
    hits = np.flatnonzero(model.predict(X) == y)[[0, -1]]
    there[hits] = unseen
    there = np.array(there.tolist())
    wanted = accuracy_score(there, model.predict(X), sample_weight=weight)
    assert wanted < accuracy_score(y, model.predict(X), sample_weight=weight)
    for measured in (
        model.evaluate(X, there, weight),
        model.evaluate(sp.csr_array(X), there, weight),
        model.evaluate(array_sources(X, there, weight, blocks=7)),
        by_frame.evaluate(frame, there, weight),
        by_frame.evaluate(table_sources(frame.assign(y=there, w=weight), target="y", weight="w", blocks=3)),
    ):
        assert measured["accuracy"] == pytest.approx(wanted, rel=1e-13)
        assert measured["cross_entropy"] == np.inf
        assert (measured["rows"], measured["weight"]) == (200, pytest.approx(weight.sum()))
    weight[hits] = 0.0
    known = [model.evaluate(*given) for given in ((X, there, weight), (array_sources(X, there, weight, blocks=7),))]
    for measured in known:
        assert measured["cross_entropy"] == pytest.approx(
            log_loss(y, model.predict_proba(X), sample_weight=weight), rel=1e-12
        )


def test_folds_without_a_class_are_scored_as_by_scikit_learn():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 3))
    y = np.where(X[:, 0] > 0, "b", "d")
    y[:10], y[10:20] = "a", "e"  # each in one fold only
    ours, reference = (
        cross_val_score(model, X, y, cv=KFold(6)) for model in (LogisticRegression(), Reference(max_iter=1000))
    )
    assert ours.tolist() == reference.tolist()
    assert ours[0] == ours[1] == 0.0
    all_unseen = LogisticRegression().fit(X[20:], y[20:]).evaluate(X[:20], y[:20])
    assert (all_unseen["accuracy"], all_unseen["cross_entropy"]) == (0.0, np.inf)


def test_dates_are_no_numbers(counts):
    X, y = data()
    dates = np.datetime64("2020-01-01") + y.astype("timedelta64[D]")
    for values in (dates, y.astype("timedelta64[s]")):
        for fit in (
            lambda values: GeneralizedLinearRegressor().fit(X, values),
            lambda values: GeneralizedLinearRegressor().fit(array_sources(X, y, offset=values)),
            lambda values: GeneralizedLinearRegressor().fit(array_sources(np.column_stack([values, values]), y)),
        ):
            with pytest.raises(DataError, match=r"must be numbers, not (datetime|timedelta)64"):
                fit(values)
    with pytest.raises(DataError, match="labels must be integers, booleans or text"):
        LogisticRegression().fit(array_sources(X, dates))


def test_labels_in_another_byte_order_are_predicted_and_saved(tmp_path):
    X, y = data()
    model = LogisticRegression().fit(array_sources(X, (y > 0).astype(">i8")))
    model.save(tmp_path / "m.fb")
    loaded = load_model(tmp_path / "m.fb")
    assert loaded.write_predictions(array_sources(X), tmp_path / "p.parquet") == 200
    assert pd.read_parquet(tmp_path / "p.parquet")["prediction"].tolist() == model.predict(X).tolist()


def test_columns_of_libsvm_files_are_counted_as_in_the_fit(tmp_path):
    X, y = data()
    lines = [f"{int(y > 0)} " + " ".join(f"{j}:{x}" for j, x in enumerate(row)) for row, y in zip(X, y, strict=True)]
    (tmp_path / "train.svm").write_text("\n".join(lines))
    (tmp_path / "new.svm").write_text("1 1:0.5 2:1\n0 1:3\n")  # no value in the column 0
    model = LogisticRegression().fit(libsvm_sources(tmp_path / "train.svm"))
    model.save(tmp_path / "m.fb")
    for fitted in (model, load_model(tmp_path / "m.fb")):
        with pytest.raises(DataError, match=r"columns are counted from 1, those of the fit from 0.*zero_based=True"):
            fitted.predict(libsvm_sources(tmp_path / "new.svm", n_features=3))
        right = libsvm_sources(tmp_path / "new.svm", n_features=3, zero_based=True)
        assert fitted.predict(right).tolist() == fitted.predict(np.array([[0, 0.5, 1], [0, 3, 0]])).tolist()
    with pytest.raises(DataError, match="input X contains NaN"):
        model.fit(array_sources(spoiled(X, (0, 0), np.nan), y))
    assert model.zero_based_  # what a failed fit leaves is the model as it was
    with pytest.raises(DataError, match="counted from 0 in some sources and from 1 in others"):
        model.fit([*libsvm_sources(tmp_path / "train.svm"), *libsvm_sources(tmp_path / "new.svm", n_features=3)])


@pytest.mark.parametrize("shift", [0.0, 1e8, 1e9])
def test_measures_do_not_cancel(shift):
    X, _ = data()
    y = shift + X[:, 0] + np.random.default_rng(1).normal(0, 0.5, 200)
    model = GeneralizedLinearRegressor(tol=1e-8).fit(X, y)
    for measured in (model.evaluate(X, y), model.evaluate(array_sources(X, y, blocks=7))):
        assert measured["r2"] == pytest.approx(r2_score(y, model.predict(X)), rel=1e-9)
    positive = GeneralizedLinearRegressor("gamma", tol=1e-7, solver="lbfgs").fit(X, y + 10)
    for measured in (positive.evaluate(X, y + 10), positive.evaluate(array_sources(X, y + 10, blocks=7))):
        if shift == 0.0:  # scikit-learn's own cancels otherwise
            wanted = d2_tweedie_score(y + 10, positive.predict(X), power=2)
        else:  # where the residuals are small beside the mean, deviances are squares
            wanted = r2_score(y + 10, positive.predict(X))
        assert measured["d2"] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("constant", [3.0, 0.1, 1e6, 1e-7])
@pytest.mark.parametrize("loss", ["squared", "poisson", "gamma", "tweedie"])
def test_equal_targets_have_nothing_to_explain(loss, constant):
    X, _ = data()
    y, weight = np.full(200, constant), np.linspace(0, 1, 200)
    perfect = GeneralizedLinearRegressor(loss).fit(X, y)
    assert r2_score(y, np.full(200, constant)) == 1.0
    wrong = GeneralizedLinearRegressor(loss).fit(X, y * np.exp(0.01 * X[:, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model, wanted in ((perfect, 1.0), (wrong, 0.0)):
            for given in ((X, y), (X, y, weight), (X[:1], y[:1]), (array_sources(X, y, weight, blocks=3),)):
                measured = model.evaluate(*given)
                assert measured["r2"] == measured.get("d2", wanted) == model.score(*given) == wanted
    if constant == 3.0:  # scikit-learn's mean of equal targets is another number, for some of them
        assert r2_score(y, wrong.predict(X)) == 0.0 or r2_score(y, wrong.predict(X)) < -1e6


def test_targets_that_are_all_zero():
    X, _ = data()
    zeros = np.zeros(200)
    assert GeneralizedLinearRegressor(alpha=1.0).fit(X, zeros).score(X, zeros) == 1.0 == r2_score(zeros, zeros)
    assert GeneralizedLinearRegressor().fit(X, X[:, 0]).score(X, zeros) == 0.0


def test_shares_of_a_spread():
    """The rounding that is forgiven is that of predictions, whatever the unit of the targets."""
    for power, mean in ((0.0, -4.0), (1.0, 1e-9), (1.5, 2.0), (2.0, 1e9)):
        spread = Spread.of(np.full(5, mean), np.arange(5.0), (power,))
        for shift, wanted in ((0.0, 1.0), (1e-15, 1.0), (1e-9, 0.0), (0.5, 0.0)):
            deviance = 10.0 * half_deviance(mean, mean * (1.0 + shift), power)
            assert spread.explained([deviance]) == [wanted]
    varied = Spread.of(np.array([1.0, 2.0, 4.0]), np.array([1.0, 0.0, 2.0]), (0.0,))
    assert varied.explained([1.5]) == [pytest.approx(1.0 - 1.5 / 3.0)]  # squares from the mean 3: (4 + 2 * 1) / 2


@pytest.mark.parametrize("wild", [1e200, 1e308])
@pytest.mark.parametrize("loss", ["squared", "poisson", "gamma", "tweedie", "huber"])
def test_a_row_of_weight_zero_counts_nothing(loss, wild):
    X, y = data()
    y += 1.0
    model, weight = GeneralizedLinearRegressor(loss).fit(X, y), np.linspace(0.5, 1.5, 200)
    weight[[0, 120, 199]] = 0.0
    seen = weight > 0
    wanted = model.evaluate(X[seen], y[seen], weight[seen])
    targets, features = (spoiled(values, [0, 120, 199], wild) for values in (y, X))
    sparse = sp.csr_array(features)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (
            (X, targets, weight),
            (features, y, weight),
            (sparse, targets, weight),
            (array_sources(features, targets, weight, offset=np.zeros(200), blocks=200),),  # blocks without weight
            (array_sources(sparse, targets, weight, blocks=3),),
        ):
            assert model.evaluate(*given) == pytest.approx({**wanted, "rows": 200}, rel=1e-11)


def test_a_row_of_weight_zero_counts_nothing_for_classes():
    X, y = data()
    model, weight = LogisticRegression().fit(X, np.minimum(y, 2)), np.ones(200)
    weight[[3, 4]] = 0.0
    wanted = model.evaluate(X[weight > 0], np.minimum(y, 2)[weight > 0])
    features = spoiled(spoiled(X, 3, 1e308), 4, [1e308, -1e308, 1e308])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (
            (features, np.minimum(y, 2), weight),
            (array_sources(features, np.minimum(y, 2), weight, blocks=50),),
        ):
            assert model.evaluate(*given) == pytest.approx({**wanted, "rows": 200}, rel=1e-12)


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5, 2.0])
def test_the_spread_of_rows_of_weight_zero(power):
    y, weight = np.array([2.0, 1e300, 3.0, 7.0, 1e300]), np.array([1.0, 0.0, 2.0, 0.5, 0.0])
    wanted = Spread.of(y[weight > 0], weight[weight > 0], (power,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = Spread.of(y, weight, (power,))
        parts = reduce(add, (Spread.of(y[i : i + 1], weight[i : i + 1], (power,)) for i in range(5)))
    for got in (whole, parts):
        assert (got.weight, got.mean) == (wanted.weight, pytest.approx(wanted.mean))
        assert got.deviances == pytest.approx(wanted.deviances)


def test_what_is_no_table_of_values(classes):
    X, y = data()
    frame = pd.DataFrame({"text": np.where(y > 0, "a", "b"), "x": X[:, 0]})
    lazy = polars.from_pandas(frame).lazy()
    with pytest.raises(ValueError, match=r"LazyFrame is not computed yet: give what its collect\(\) returns"):
        LogisticRegression().fit(lazy, y > 0)
    mixed = np.array([1, "yes"] * 100, object)
    with pytest.raises(DataError, match="the target mixes types"):
        LogisticRegression().fit(frame, mixed)
    with pytest.raises(ValueError, match=r"the weight has shape \(200, 2\)"):
        LogisticRegression().fit(frame, y > 0, np.ones((200, 2)))
    model = LogisticRegression().fit(frame, y > 0)
    with pytest.raises(DataError, match="column 'x' is text or categories, the fit had numbers"):
        model.predict(frame.assign(x="1.5"))
    with pytest.raises(DataError, match="column 'text' has levels like 7, those of the fit are like 'a'"):
        model.set_params(unknown="ignore").predict(frame.assign(text=7))
