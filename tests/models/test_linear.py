import inspect
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from formulas import weights_of_classes
from scipy.special import logsumexp

from fullbatch import (
    DataError,
    HuberRegressor,
    Linear,
    LinearSVC,
    LogisticRegression,
    OrdinalLogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    SerialEngine,
    array_sources,
)
from fullbatch.errors import BlockError
from fullbatch.kernels.losses import LOSSES
from fullbatch.protocols import Category, Curvature, HessVec, Rows, RowSample, SampleGrams, ValueGrad
from fullbatch.protocols.requests import DrawnCurvature, DrawnNull, DrawnValueGrad, Squares
from fullbatch.protocols.schema import Schema
from fullbatch.testing import check_block

CASES = [(loss, kind) for loss in ("squared", "logistic", "softmax") for kind in ("float64", "float32", "uint8", "csr")]


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def _by_both(request, monkeypatch):
    monkeypatch.setenv("FULLBATCH_PASSES", request.param)


def rows(loss, kind, n=97, p=7, weighted=True):
    rng = np.random.default_rng(3)
    X = rng.integers(0, 256, (n, p)) if kind == "uint8" else rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.6)
    X = sp.csr_array(X) if kind == "csr" else X.astype(kind)
    y = {"squared": rng.standard_normal(n), "logistic": rng.integers(0, 2, n), "softmax": rng.integers(0, 5, n)}[loss]
    return Rows(X, y, rng.random(n) if weighted else None, 1 / 255 if kind == "uint8" else 1.0)


@pytest.mark.parametrize(("loss", "kind"), CASES)
@pytest.mark.parametrize("weighted", [True, False])
def test_contract(loss, kind, weighted):
    check_block(Linear(loss), rows(loss, kind, weighted=weighted))


def test_contract_without_intercept():
    check_block(Linear("softmax", intercept=False), rows("softmax", "float64"))


def rows_of_all_kinds():
    """With an offset, and columns of text whose levels are not the same in every piece."""
    data, rng = rows("logistic", "float64"), np.random.default_rng(5)
    levels = [np.array(["a", "b", "c"]), np.array(["x", "y"])]
    codes = [np.sort(rng.integers(0, len(one), 97)).astype(np.int32) for one in levels]
    categories = tuple(Category(*pair) for pair in zip(codes, levels, strict=True))
    return replace(data, offset=rng.standard_normal(97), categories=categories)


def test_contract_with_offset_and_categories():
    check_block(Linear("logistic"), rows_of_all_kinds())
    check_block(Linear("logistic", class_weight="balanced"), replace(rows_of_all_kinds(), categories=()))


class Forgetful(Linear):
    """Drops something of its rows, or of what it tells of them, in all blocks but the first."""

    def __init__(self, forget_rows=lambda rows: rows, forget=lambda described: described):
        super().__init__("logistic")
        self.forget_rows, self.forget = forget_rows, forget

    def build(self, rows, schema, first_row):
        return super().build(self.forget_rows(rows) if first_row else rows, schema, first_row)

    def describe(self, rows, source):
        described = super().describe(rows, source)
        return self.forget(described) if source == "piece" else described


@pytest.mark.parametrize(
    ("forget", "message"),
    [
        ({"forget_rows": lambda rows: replace(rows, offset=None)}, "losses of pieces do not add up"),
        ({"forget_rows": lambda rows: replace(rows, weight=None)}, "losses of pieces do not add up"),
        (
            {"forget_rows": lambda rows: replace(rows, categories=(first_level(rows), rows.categories[1]))},
            "losses of pieces do not add up",
        ),
        ({"forget": lambda told: replace(told, offset=False)}, "do not add up: offsets"),
        ({"forget": lambda told: replace(told, levels=tuple(map(no_levels, told.levels)))}, "do not add up: levels"),
        (
            {"forget": lambda told: replace(told, labels=replace(told.labels, weight=1.0 + 0.0 * told.labels.weight))},
            "do not add up: weights of the classes",
        ),
    ],
)
def test_contract_notices_what_is_lost_of_later_blocks(forget, message):
    with pytest.raises(AssertionError, match=message):
        check_block(Forgetful(**forget), rows_of_all_kinds())


def first_level(rows):
    column = rows.categories[0]
    return replace(column, codes=np.zeros_like(column.codes))


def no_levels(counts):
    return replace(counts, values=counts.values[:0], weight=counts.weight[:0])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda answer: (answer.value, answer.grad * 1.001), "not that of the loss"),
        (lambda answer: (answer.value / max(answer.weight, 1), answer.grad / max(answer.weight, 1)), "do not add up"),
    ],
)
def test_contract_notices_wrong_blocks(break_it, message):
    class Wrong(Linear):
        def build(self, *args):
            block = super().build(*args)
            right = block.evaluate

            def wrong(request):
                answer = right(request)
                value, grad = break_it(answer)
                return type(answer)(value, grad, answer.weight)

            block.evaluate = wrong
            return block

    with pytest.raises(AssertionError, match=message):
        check_block(Wrong("logistic"), rows("logistic", "float64"))


def of(kind, form=None):
    """Whether a request is of that kind, and form."""
    return lambda request: isinstance(request, kind) and (form is None or request.form == form)


def doubled(name):
    return lambda answer: replace(answer, **{name: 2 * getattr(answer, name)})


class Wrong(Linear):
    """Blocks whose answers to some requests are changed."""

    def __init__(self, loss, asked, change):
        super().__init__(loss)
        self.asked, self.change = asked, change

    def build(self, *args):
        block = super().build(*args)
        right = block.evaluate
        block.evaluate = lambda request: self.change(right(request)) if self.asked(request) else right(request)
        return block


def with_other_point(answer):
    return replace(answer, point=replace(answer.point, grad=2 * answer.point.grad))


def with_moments(**times):
    """With a moment so many times as large."""

    def change(answer):
        moments = {name: factor * getattr(answer.moments, name) for name, factor in times.items()}
        return replace(answer, moments=replace(answer.moments, **moments))

    return change


@pytest.mark.parametrize(
    ("asked", "change", "message"),
    [
        (of(RowSample), lambda answer: replace(answer, weight=np.ones(len(answer.rows))), "other weights"),
        (of(RowSample), lambda answer: replace(answer, y=np.zeros(len(answer.rows))), "other targets"),
        (of(RowSample), lambda answer: replace(answer, offset=None), "other offsets"),
        (of(SampleGrams), doubled("matrices"), "the Gram matrix of the sample"),
        (of(SampleGrams), doubled("sums"), "the second derivatives of the sample"),
        (of(SampleGrams), with_moments(weight=2.0), "the weight of the sample"),
        (of(SampleGrams), with_moments(mean=2.0), "the means of the sample"),
        (of(SampleGrams), with_moments(squares=2.0), "the spread of the sample"),
        (of(HessVec), doubled("product"), "the product with the Hessian is not"),
        (of(Curvature, "gram"), doubled("matrix"), "the Hessian times a vector is not"),
        (of(Curvature, "gram"), with_other_point, "what comes with the Hessian: the gradient"),
        (of(Curvature, "gram"), doubled("weight"), "the weight of a share"),
        (of(Curvature, "diagonal"), doubled("matrix"), "the diagonal is not"),
        (of(Curvature, "rows"), doubled("diagonal"), "do not add up to the Hessian"),
        (of(DrawnValueGrad), doubled("grad"), "the draw 'all': the gradient"),
        (of(DrawnValueGrad), doubled("weight"), "the draw 'all': the weight"),
        (of(DrawnValueGrad), doubled("squares"), "the draw 'all': the squared slopes"),
        (of(DrawnCurvature), doubled("matrix"), "the draw 'all': the Hessian"),
    ],
)
def test_contract_notices_wrong_answers(asked, change, message):
    with pytest.raises(AssertionError, match=message):
        check_block(Wrong("logistic", asked, change), rows_of_all_kinds())


@pytest.mark.parametrize(
    ("asked", "change", "message"),
    [
        (of(Squares), doubled("matrices"), "the sums of squares are not"),
        (of(Squares), doubled("weight"), "a fold has another weight"),
        (of(DrawnNull), lambda answer: replace(answer, sums=answer.sums[::-1]), "the draw 'all': the null model's"),
    ],
)
def test_contract_notices_wrong_sums_of_numbers(asked, change, message):
    data = rows_of_all_kinds()
    with pytest.raises(AssertionError, match=message):
        check_block(Wrong("squared", asked, change), replace(data, y=np.random.default_rng(0).standard_normal(97)))


def reference(loss, X, y, weight, coef, intercept):
    """The formulas in plain NumPy."""
    eta = X @ coef.T + intercept
    if loss == "squared":
        value, slope = 0.5 * (eta[:, 0] - y) ** 2, eta - y[:, None]
    elif loss == "logistic":
        value, slope = np.logaddexp(0, eta[:, 0]) - y * eta[:, 0], 1 / (1 + np.exp(-eta)) - y[:, None]
    else:
        total = logsumexp(eta, axis=1)
        value = total - eta[np.arange(len(y)), y]
        slope = np.exp(eta - total[:, None]) - np.eye(coef.shape[0])[y]
    slope = slope * weight[:, None]
    return weight @ value, np.concatenate(((slope.T @ X).ravel(), slope.sum(axis=0)))


@pytest.mark.parametrize(("loss", "kind"), CASES)
def test_against_numpy(loss, kind):
    data = rows(loss, kind, n=131)
    model = Linear(loss)
    source = array_sources(data.X, data.y, data.weight, scale=data.scale, blocks=1)
    blocks = SerialEngine().place(model, source)
    theta = np.random.default_rng(0).standard_normal(blocks.parameters.size)
    outputs = model.outputs(blocks.schema)
    coef, intercept = theta[:-outputs].reshape(outputs, -1), theta[-outputs:]
    X = (data.X.toarray() if kind == "csr" else data.X) * np.float64(data.scale)
    value, grad = reference(loss, X, data.y, data.weight, coef, intercept)
    answer = blocks.sum(ValueGrad(theta))
    tolerance = 1e-6 if blocks.parameters.dtype == "float32" else 1e-13
    assert answer.value == pytest.approx(value, rel=tolerance)
    np.testing.assert_allclose(answer.grad, grad, rtol=0, atol=tolerance * 10 * np.abs(grad).max())


@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_float32_rows_have_float64_products_where_that_is_asked_for(mean):
    data = rows("logistic", "float32", n=131)
    X = (data.X + mean).astype(np.float32)
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, data.y, data.weight, blocks=2))
    theta = np.append(np.random.default_rng(0).standard_normal(7), 0.0)
    theta[-1] = -theta[:-1] @ X.mean(axis=0, dtype=np.float64)
    value, grad = reference("logistic", X.astype(np.float64), data.y, data.weight, theta[None, :-1], theta[-1:])
    single, double = blocks.sum(ValueGrad(theta)), blocks.sum(ValueGrad(theta, double=True))
    assert double.value == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(double.grad, grad, rtol=0, atol=1e-11 * np.abs(grad).max())
    assert abs(single.value - value) > 10 * abs(double.value - value)


@pytest.mark.parametrize("kind", ["float64", "csr"])
@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_extreme_linear_predictors_do_not_overflow(loss, kind):
    X = np.array([[1e4], [-1e4], [1e4], [-1e4]])
    X = sp.csr_array(X) if kind == "csr" else X
    blocks = SerialEngine().place(Linear(loss), array_sources(X, [0, 1, 1, 0]))
    answer = blocks.sum(ValueGrad(np.full(blocks.parameters.size, 10.0) * (-1) ** np.arange(blocks.parameters.size)))
    assert np.isfinite(answer.value)
    assert np.isfinite(answer.grad).all()


def test_zero_weight_rows_do_not_count_even_where_their_loss_overflows():
    X = np.array([[1.0], [2.0], [1e200]])
    y = np.array([0.0, 1.0, 2.0])
    with_row = SerialEngine().place(Linear("squared"), array_sources(X, y, [1.0, 1.0, 0.0]))
    without = SerialEngine().place(Linear("squared"), array_sources(X[:2], y[:2]))
    theta = np.array([1e200, 1.0])
    assert with_row.sum(ValueGrad(theta / 1e200)).grad.tobytes() == without.sum(ValueGrad(theta / 1e200)).grad.tobytes()


@pytest.mark.parametrize("kind", ["C", "F", "float32", "csr", "mixed"])
def test_zero_weight_rows_do_not_count_even_where_their_squares_overflow(kind):
    X = np.arange(27.0).reshape(9, 3)
    huge = X.copy()
    huge[8, 1] = 1e25 if kind == "float32" else 1e200
    place = {"C": np.ascontiguousarray, "F": np.asfortranarray, "float32": np.float32, "csr": sp.csr_array}

    def diagonal(X, weight):
        if kind == "mixed":
            codes = Category(np.arange(len(X), dtype=np.int32) % 2, np.array(["a", "b"]))
            rows = Rows(X, np.arange(len(X)) / 9, weight, categories=(codes,))
            model = Linear("squared")
            block = model.build(rows, Schema.of(model.describe(rows, "test")), 0)
            return block.evaluate(Curvature(np.zeros(block.parameters.size), "diagonal")).matrix
        blocks = SerialEngine().place(Linear("squared"), array_sources(place[kind](X), np.arange(len(X)) / 9, weight))
        return blocks.sum(Curvature(np.zeros(4), "diagonal")).matrix

    np.testing.assert_allclose(diagonal(huge, np.r_[np.ones(8), 0.0]), diagonal(X[:8], None), rtol=1e-12)


def test_categories_stay_codes_in_every_linear_model(monkeypatch):
    """As columns of their own they would take as much room as there are levels."""

    def encoded(*_):
        raise AssertionError("categories became columns")

    monkeypatch.setattr("fullbatch.engines._worker.encode", encoded)
    frame = pd.DataFrame({"a": np.linspace(0.0, 1.0, 40), "b": np.resize(["x", "y", "z"], 40)})
    y = np.resize([0, 1, 1, 2, 0], 40)
    for estimator in (
        Ridge(),
        LogisticRegression(),
        PoissonRegressor(),
        HuberRegressor(),
        QuantileRegressor(),
        LinearSVC(),
        OrdinalLogisticRegression(),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert estimator.set_params(engine="serial").fit(frame, y).coef_.shape[-1] == 4


@pytest.mark.parametrize(("loss", "kind"), CASES)
def test_all_columns_chosen_are_the_whole_hessian(loss, kind):
    data = rows(loss, kind)
    blocks = SerialEngine().place(Linear(loss), array_sources(data.X, data.y, data.weight))
    theta = 0.1 * np.random.default_rng(4).standard_normal(blocks.parameters.size)
    whole = blocks.sum(Curvature(theta, "gram"))
    chosen = blocks.sum(Curvature(theta, "gram", columns=np.arange(7)))
    np.testing.assert_array_equal(chosen.matrix, whole.matrix)
    np.testing.assert_array_equal(chosen.point.grad, whole.point.grad)
    some = blocks.sum(Curvature(theta, "gram", columns=np.arange(6)))  # which are gathered by themselves
    outputs = len(theta) // 8
    own = np.concatenate([k * 7 + np.arange(6) for k in range(outputs)] + [7 * outputs + np.arange(outputs)])
    atol = 1e-6 * np.abs(whole.matrix).max()
    np.testing.assert_allclose(some.matrix, whole.matrix[np.ix_(own, own)], rtol=1e-5, atol=atol)


@pytest.mark.parametrize("kind", ["float64", "csr"])
@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_theta_of_another_length_is_refused(loss, kind):
    blocks = SerialEngine().place(Linear(loss), array_sources(rows(loss, kind).X, rows(loss, kind).y))
    for size in (blocks.parameters.size - 2, blocks.parameters.size + 2):
        theta = np.zeros(size)
        for request in (
            ValueGrad(theta),
            HessVec(theta, theta),
            Curvature(theta, "diagonal"),
            Curvature(theta, "gram"),
        ):
            with pytest.raises(BlockError, match=rf"theta has (length {size}|shape \({size},\)), it must be"):
                blocks.sum(request)


def test_overflowing_trial_point_is_not_finite_and_no_exception():
    blocks = SerialEngine().place(Linear("softmax"), array_sources(np.ones((4, 1)), [0, 1, 2, 0]))
    answer = blocks.sum(ValueGrad(np.array([1e308, -1e308, 0.0, 1e308, 0.0, 0.0])))
    assert not np.isfinite(answer.value)


def test_class_weights():
    data = rows("softmax", "float64")
    sources = array_sources(data.X, data.y, data.weight)
    mapping = {0: 2.0, 3: 0.5}
    weighted = SerialEngine().place(Linear("softmax", class_weight=mapping), sources)
    by_hand = data.weight * np.array([mapping.get(label, 1.0) for label in data.y])
    expected = SerialEngine().place(Linear("softmax"), array_sources(data.X, data.y, by_hand))
    theta = np.linspace(-1, 1, weighted.parameters.size)
    assert weighted.sum(ValueGrad(theta)).value == pytest.approx(expected.sum(ValueGrad(theta)).value, rel=1e-13)
    balanced = SerialEngine().place(Linear("softmax", class_weight="balanced"), sources)
    by_hand = data.weight * weights_of_classes("balanced", data.y, data.weight)
    wanted = SerialEngine().place(Linear("softmax"), array_sources(data.X, data.y, by_hand)).sum(ValueGrad(theta))
    answer = balanced.sum(ValueGrad(theta))
    assert answer.weight == pytest.approx(data.weight.sum(), rel=1e-13)
    assert answer.value == pytest.approx(wanted.value, rel=1e-13)
    np.testing.assert_allclose(answer.grad, wanted.grad, rtol=1e-11, atol=1e-13)
    with pytest.raises(DataError, match="names 9, which is not a class"):
        SerialEngine().place(Linear("softmax", class_weight={9: 1.0}), sources)


@pytest.mark.parametrize("absent", [[2], [0, 2]], ids=str)
def test_classes_without_weight_cannot_be_balanced(absent):
    y = np.resize([0, 1, 2], 12)
    sources = array_sources(np.arange(12.0)[:, None], y, 1.0 * ~np.isin(y, absent), blocks=2)
    names = ", ".join(map(str, absent))
    with pytest.raises(DataError, match=rf"class_weight='balanced': all rows of class(es)? {names} have weight 0"):
        SerialEngine().place(Linear("softmax", class_weight="balanced"), sources)


@pytest.mark.parametrize("texts", [["3", "4"] * 6, [" 1e3 "] * 12, [3.0, "4"] * 6, [b"3"] * 12], ids=str)
@pytest.mark.parametrize("role", ["y", "sample_weight", "offset"])
def test_texts_of_numbers_are_no_numbers(texts, role):
    told = {"y": np.arange(12.0), role: np.array(texts, object)}
    text = next(one for one in texts if not isinstance(one, float))
    for make in (np.asarray, lambda values: np.array([str(value) for value in values])):
        given = {**told, role: make(told[role])}
        with pytest.raises(DataError, match=f"must be numbers, not the text ({text!r}|'3.0'|\"b'3'\")|not \"b'3'\""):
            SerialEngine().place(Linear("squared"), array_sources(np.arange(12.0)[:, None], **given))


def test_row_sample_does_not_depend_on_the_cut():
    data = rows("softmax", "csr")
    samples = [
        SerialEngine()
        .place(Linear("softmax"), array_sources(data.X, data.y, data.weight, blocks=blocks))
        .sum(RowSample(0.4, seed=1))
        for blocks in (1, 9)
    ]
    for sample in samples:
        np.testing.assert_array_equal(sample.X.toarray(), data.X.toarray()[sample.rows])
        np.testing.assert_array_equal(sample.y, data.y[sample.rows])
        np.testing.assert_array_equal(sample.weight, data.weight[sample.rows])
    assert samples[0].rows.tobytes() == samples[1].rows.tobytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X, y, w: (_with(X, (17, 2), np.nan), y, w), "row 17, column 2: input X contains NaN"),
        (lambda X, y, w: (_with(X, (17, 2), -np.inf), y, w), "row 17, column 2: input X contains infinity"),
        (lambda X, y, w: (X, _with(y.astype(float), 23, np.nan), w), "row 23: target y contains NaN"),
        (lambda X, y, w: (X, _with(y.astype(float), 23, 0.5), w), r"row 23: the label 0\.5 is not a class"),
        (lambda X, y, w: (X, _with(y.astype(object), 23, None), w), "row 23: target y contains NaN or None"),
        (lambda X, y, w: (X, y, _with(w, 29, -1.0)), r"row 29: the sample weight is -1\.0"),
        (lambda X, y, w: (X, y, _with(w, 29, np.nan)), "row 29: the sample weight is nan"),
        (lambda X, y, w: (X, y, 0 * w), "sample weights sum to zero"),
        (lambda X, y, w: (X, y, 0 * w + 1e308), "sample weights sum to infinity"),
        (lambda X, y, w: (X, 0 * y, w), "one class only"),
        (lambda X, y, w: (X, y[:-1], w), r"X has 40 rows and y has shape \(39,\)"),
        (lambda X, y, w: (X, y, w[:-1]), r"X has 40 rows and sample_weight has shape \(39,\)"),
        (lambda X, y, w: (X[:0], y[:0], w[:0]), "no rows"),
        (lambda X, y, w: (X[:, :0], y, w), "no columns"),
        (lambda X, y, w: (X[0], y, w), "1 dimension"),
        (lambda X, y, w: (X.astype(complex), y, w), "Complex data not supported"),
        (lambda X, y, w: (np.full(X.shape, "a"), y, w), "X must be numbers"),
        (lambda X, y, w: (X, y.astype(complex), w), "complex128: labels must be"),
    ],
)
def test_bad_data_is_named_before_the_first_pass(spoil, message):
    rng = np.random.default_rng(0)
    X, y, weight = spoil(rng.random((40, 3)) + 1, np.arange(40) % 3, rng.random(40))
    with pytest.raises(DataError, match=message):
        SerialEngine().place(Linear("softmax"), array_sources(X, y, weight, blocks=4 if len(y) else None))


def test_bad_sparse_value_is_named():
    X = sp.random_array((40, 30), density=0.2, format="csr", rng=np.random.default_rng(0))
    X.data[50] = np.nan
    row = int(np.searchsorted(X.indptr, 50, side="right")) - 1
    with pytest.raises(DataError, match=f"row {row}, column {X.indices[50]}: input X contains NaN"):
        SerialEngine().place(Linear("squared"), array_sources(X, np.zeros(40), blocks=4))


def _with(array, where, value):
    array = array.copy()
    array[where] = value
    return array


def test_first_bad_row_of_all_blocks_is_named_with_its_source():
    X = np.ones((40, 3))
    X[31, 1] = X[22, 0] = np.nan
    with pytest.raises(DataError, match=r"row 22, column 0: .* \(row 2 of array rows 20\.\.29\)"):
        SerialEngine().place(Linear("squared"), array_sources(X, np.arange(40.0), blocks=4))


def test_labels_of_mixed_types():
    text = array_sources(np.ones((2, 1)), ["a", "b"])
    numbers = array_sources(np.ones((2, 1)), [0, 1])
    with pytest.raises(DataError, match="use text or numbers"):
        SerialEngine().place(Linear("softmax"), text + numbers)


def test_three_classes_are_too_many_for_logistic():
    with pytest.raises(DataError, match="use softmax"):
        SerialEngine().place(Linear("logistic"), array_sources(np.ones((3, 1)), [0, 1, 2]))


def test_unknown_options():
    with pytest.raises(ValueError, match="choose from squared"):
        Linear("hinge")
    with pytest.raises(ValueError, match="class_weight needs classes"):
        Linear("squared", class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight must be 'balanced'"):
        Linear("softmax", class_weight="other")


def test_labels_that_were_not_described_are_refused():
    model = Linear("softmax")
    X, y = np.ones((6, 2)), np.array([0, 1, 2] * 2)
    schema = SerialEngine().place(model, array_sources(X, y)).schema
    for unknown in (7, -1):
        with pytest.raises(DataError, match=f"row 3 has the label {unknown}; the classes are"):
            model.build(Rows(X, np.where(np.arange(6) == 3, unknown, y)), schema, 0)


def test_large_integer_labels_stay_apart():
    labels = np.array([2**60 + digit for digit in (0, 1, 2) * 4], object)
    schema = SerialEngine().place(Linear("softmax"), array_sources(np.ones((12, 1)), labels)).schema
    assert schema.classes.tolist() == [2**60, 2**60 + 1, 2**60 + 2]


def test_sparse_rows_with_duplicate_and_unsorted_entries_are_read_right_and_left_alone():
    data, indices, indptr = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 0, 1]), np.array([0, 3, 4])
    X = sp.csr_array((data, indices, indptr), shape=(2, 3))
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    sparse = SerialEngine().place(Linear("logistic"), array_sources(X, [0, 1]))
    dense = SerialEngine().place(Linear("logistic"), array_sources(X.toarray(), [0, 1]))
    np.testing.assert_allclose(sparse.schema.variance, dense.schema.variance, rtol=1e-14)
    theta = np.array([0.1, -0.2, 0.3, 0.4])
    np.testing.assert_allclose(sparse.sum(ValueGrad(theta)).grad, dense.sum(ValueGrad(theta)).grad, rtol=1e-13)
    assert X.indices.tolist() == [2, 0, 0, 1]


def test_sparse_indices_out_of_range_are_refused():
    X = sp.csr_array(np.eye(3))
    X.indices[1] = 7
    with pytest.raises(DataError, match="column indices run from 0 to 7 in 3 columns"):
        SerialEngine().place(Linear("squared"), [Given(Rows(X, np.zeros(3)))])


class Given:
    def __init__(self, rows):
        self.rows = rows

    def read(self):
        return self.rows


@pytest.mark.parametrize("weight", [{0: -0.1}, {0: np.nan}, {0: np.inf}])
def test_bad_class_weights(weight):
    with pytest.raises(ValueError, match="class_weight of 0 is"):
        Linear("softmax", class_weight=weight)


def test_class_weights_that_leave_nothing():
    with pytest.raises(DataError, match="leaves no row any weight"):
        SerialEngine().place(Linear("softmax", class_weight={0: 0, 1: 0}), array_sources(np.ones((2, 1)), [0, 1]))


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("huber", {"delta": 0.0}),
        ("huber", {"delta": -1.0}),
        ("tweedie", {"power": 0.01}),
        ("tweedie", {"power": 0.5}),
        ("tweedie", {"power": 0.99}),
        ("negative.binomial", {"theta": 0.0}),
        ("quantile", {"quantile": 90.0}),
        ("quantile", {"quantile": 0.0}),
        ("quantile", {"smoothing": 0.0}),
    ],
    ids=str,
)
def test_options_out_of_range(loss, options):
    (name,) = options
    with pytest.raises(
        ValueError, match=f"the {loss} loss: its option '{name}' must (be above|be between|not be between)"
    ):
        Linear(loss, options=options)


def test_every_option_has_a_range_that_holds_its_default():
    for loss in LOSSES.values():
        options = dict(inspect.signature(loss.kind).parameters)
        assert ("link" in options) == bool(loss.links)
        if loss.links:
            assert loss.kind() == loss.kind(link=loss.links[0])
            del options["link"]
        assert set(loss.ranges) == set(options)
        for name, option in options.items():
            low, high = loss.ranges[name]
            assert low < option.default < high
