"""Plain NumPy beside the compiled passes: every request, loss and storage; and which of the two answers."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from formulas import DEFAULTS, loss_of
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from fullbatch import Linear, LogisticRegression, ThreadEngine, array_sources
from fullbatch.kernels.losses import LOSSES, DispersionModel
from fullbatch.models import _compiled, _passes, _plain
from fullbatch.protocols import Category, Curvature, HessVec, Rows, RowSample, SampleGrams, ValueGrad
from fullbatch.protocols.requests import DrawnCurvature, DrawnValueGrad, Squares
from fullbatch.protocols.sampling import Draw
from fullbatch.protocols.schema import Schema

KNOWN = [name for name, loss in LOSSES.items() if type(loss.kind()) in _plain.FORMULAS]
STORAGES = ("float64", "float32", "uint8", "shifted", "csr", "csr uint8", "mixed")
ROWS = 533  # more than one sum of float32 rows, and no multiple of any tile

# Roundings of sums of some hundred terms, beside the largest number of an answer.
TOLERANCE = {"float64": 1e-13, "float32": 4e-6}


def rows(loss, storage, count=ROWS):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(count, 11))
    categories, scale = (), 1.0
    if storage.startswith("csr"):
        X = scipy.sparse.csr_array(rng.integers(0, 9, (count, 11)) * (rng.random((count, 11)) < 0.3) * 0.5)
        X = (2 * X).astype(np.uint8) if storage.endswith("uint8") else X
    elif storage == "uint8":
        X, scale = rng.integers(0, 256, X.shape).astype(np.uint8), 1 / 255
    elif storage == "mixed":
        codes = [rng.integers(0, count, count).astype(np.int32) % levels for levels in (3, 2)]
        categories = Category(codes[0], np.array(["a", "b", "c"])), Category(codes[1], np.array(["x", "y"]))
    elif storage != "float64":
        X = (X + 1000.0 * (storage == "shifted") * (np.arange(11) == 2)).astype(np.float32)
    classes = np.arange(count) % (4 if loss == "softmax" else 2)
    y = classes if LOSSES[loss].labels else rng.integers(1, 5, count) * 1.0
    y = y / 4.0 if LOSSES[loss].most == 1.0 else y  # shares
    weight = rng.random(count) * (rng.random(count) > 0.2)
    weight[:5] = 1.0
    return Rows(X, y, weight, scale, rng.normal(size=count), categories)


def built(loss, of, passes):
    model = Linear(loss, passes=passes)
    return model.build(of, Schema.of(model.describe(of, "test")), 17)


def numbers(answer):
    """All numbers of an answer, array by array."""
    if answer is None:
        return []
    if hasattr(answer, "__dataclass_fields__"):
        return [one for name in answer.__dataclass_fields__ for one in numbers(getattr(answer, name))]
    if isinstance(answer, tuple):
        return [one for part in answer for one in numbers(part)]
    return [answer.toarray() if scipy.sparse.issparse(answer) else np.atleast_1d(np.asarray(answer))]


def requests(loss, parameters, far):
    """Requests at coefficients that suit columns so `far` from zero: of others little but rounding is left."""
    rng = np.random.default_rng(8)
    thetas = rng.normal(size=(4, parameters.size)) / 10
    thetas[:, parameters.predictors[:, :11]] /= far
    draws = Draw("all"), Draw("without", 1, 3, 5), Draw("bootstrap", 2, 1, 5), Draw("only", 0, 3, 5)
    yield ValueGrad(thetas[0])
    yield ValueGrad(thetas[0], double=True)
    yield ValueGrad(thetas)
    yield DrawnValueGrad(thetas, draws)
    yield DrawnCurvature(thetas, draws, matrices=2)
    yield DrawnCurvature(thetas, draws, matrices=2, columns=np.array([1, 4, 6]))
    yield HessVec(thetas[0], thetas[1])
    yield RowSample(0.3, 1)
    yield SampleGrams(thetas[0], fraction=0.3, seed=1)
    outputs = len(parameters.predictors)
    yield SampleGrams(thetas[0], np.eye(outputs), np.linspace(0.0, 0.1, outputs))
    for form in ("diagonal", "gram", "rows", "meat"):
        if form != "meat" or loss != "softmax":
            yield Curvature(thetas[0], form)
            yield Curvature(thetas[0], form, fraction=0.5, seed=2)
    yield Curvature(thetas[0], "gram", double=True)
    yield Curvature(thetas[0], "gram", widened=2.0)
    yield Curvature(thetas[0], "gram", columns=np.array([1, 4, 6]))
    if loss == "squared":
        yield Squares(folds=3)
        yield Squares(exact=True)


# In a fresh cache each pair compiles for half a minute: the fast ones are those that other tests compile too.
FAST = {("logistic", "float64"), ("softmax", "float64"), ("logistic", "csr")}
PAIRS = [
    pytest.param(loss, storage, marks=() if (loss, storage) in FAST else pytest.mark.slow)
    for loss in KNOWN
    for storage in STORAGES
]


@pytest.mark.parametrize(("loss", "storage"), PAIRS)
def test_both_give_the_same_answers(loss, storage):
    data = rows(loss, storage)
    compiled, plain = (built(loss, data, passes) for passes in ("compiled", "plain"))
    assert (compiled._passes, plain._passes) == (_compiled, _plain)
    assert compiled.parameters.about == plain.parameters.about
    assert compiled.parameters.dtype == plain.parameters.dtype
    far = np.where((np.arange(11) == 2) & (storage == "shifted"), 1000.0, 1.0)
    for request in requests(loss, compiled.parameters, far):
        one, other = (numbers(block.evaluate(request)) for block in (compiled, plain))
        if getattr(request, "exact", False):  # of columns that depend on one another, triangles are no single ones
            one, other = (
                [part.swapaxes(-1, -2) @ part if part.ndim == 3 else part for part in each] for each in (one, other)
            )
        tolerance = TOLERANCE["float64" if getattr(request, "double", False) else compiled.parameters.dtype]
        assert len(one) == len(other)
        for mine, there in zip(one, other, strict=True):
            # Compiled products of float32 rows are zero below the smallest number of that type.
            least = tolerance * np.abs(mine).max(initial=0.0) + np.finfo(np.float32).tiny
            np.testing.assert_allclose(mine, there, rtol=tolerance, atol=least, err_msg=str(request))


# Others are in tests/kernels/test_dispersion_models.py.
USUAL = [loss for loss in KNOWN if not isinstance(LOSSES[loss].kind(), DispersionModel)]


@pytest.mark.parametrize("loss", USUAL)
def test_far_off_and_not_a_number(loss):
    """NaN and infinity are seen, without a warning; a row without weight counts nothing, whatever its predictor."""
    kind, outputs = LOSSES[loss].kind(**DEFAULTS.get(loss, {})), 3 if loss == "softmax" else 1
    eta = np.tile([0.0, 1e-9, 3.0, -30.0, 1e200, -1e200, np.nan], (outputs, 1)) * np.arange(1, outputs + 1)[:, None]
    y, weight = np.ones(eta.shape[1]), np.array([1.0, 2.0, 3.0, 4.0, 1.0, 0.0, 1.0])
    rows = _plain.rows_of(eta.T, None, outputs, np.zeros(0), y, weight, np.zeros(0), "float64", outputs)
    W = np.column_stack([np.eye(outputs), np.zeros(outputs)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _plain.curvatures(kind, rows, W, False)
        value, *_ = _plain.loss_grad(kind, rows, 1, W, (), 0)
    assert np.isnan(value[0])
    second = loss_of(loss, y[:4].astype(int), eta[:, :4].T, **DEFAULTS.get(loss, {}))[2]
    true = np.einsum("ikk->ki", second) if outputs == 1 else softmax(eta[:, :4], axis=0)
    np.testing.assert_allclose(found[:, :4], weight[:4] * true, rtol=1e-12)
    assert not found[:, 5].any()
    if loss not in ("squared", "normal", "huber", "quantile", "squared_hinge"):  # whose curvature is one of few numbers
        assert np.isnan(found[:, 6]).all()


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("storage", ["float64", "float32", "uint8", "F", "csr"])
def test_moments_are_those_of_compiled_loops(storage, weighted):
    X = rows("squared", "float32" if storage == "F" else storage, 40).X
    X = np.asfortranarray(X) if storage == "F" else X
    weight = np.arange(40.0) % 3 if weighted else np.zeros(0)
    arguments = (X.data, X.indices, X.indptr, weight, 11) if storage == "csr" else (X, weight)
    name = "csr_moments" if storage == "csr" else "dense_moments"
    for found, true in zip(getattr(_plain, name)(*arguments), getattr(_compiled, name)(*arguments), strict=True):
        np.testing.assert_allclose(found, true, rtol=1e-13)
    if X.dtype.kind == "f":
        values = X.data if storage == "csr" else X[3:]
        values[4:] = np.inf
        values[..., 5:] = np.nan
        assert getattr(_plain, name)(*arguments)[:2] == getattr(_compiled, name)(*arguments)[:2]


def schema(n_rows, columns, entries=None):
    X = scipy.sparse.csr_array((2, columns)) if entries else np.zeros((2, 1))
    described = Linear("squared").describe(Rows(X, np.ones(2)), "test")
    made = Schema.of(described)
    object.__setattr__(made, "block_rows", (n_rows // 2, n_rows - n_rows // 2))
    object.__setattr__(made, "sparse_entries", entries)
    if not entries:
        object.__setattr__(made.features, "numeric", columns)
    return made


@pytest.mark.parametrize(
    ("n_rows", "columns", "outputs", "entries", "small"),
    [
        (150, 4, 3, None, True),
        (8000, 784, 10, None, True),  # the demo
        (8192, 1024, 1, None, True),
        (8193, 4, 1, None, False),
        (8192, 1025, 1, None, False),
        (8000, 784, 11, None, False),
        (8000, 60_000, 1, 8_000_000, True),
        (8000, 60_000, 1, 9_000_000, False),
        (10, 70_000, 1, 40, False),  # columns that a block would number
    ],
)
def test_small_is_told_by_the_shape_of_all_the_data(n_rows, columns, outputs, entries, small):
    loss = LOSSES["softmax" if outputs > 1 else "squared"].kind()
    told = schema(n_rows, columns, entries)
    assert _passes.of_all("auto", loss, outputs, told) is (_plain if small else _compiled)
    assert _passes.of_all("compiled", loss, outputs, told) is _compiled
    assert _passes.of_all("plain", loss, outputs, told) is (_plain if columns <= 65_536 else _compiled)


def test_a_loss_without_formulas_is_compiled():
    assert _passes.of_all("auto", ("a loss of its own",), 1, schema(150, 4)) is _compiled


def test_the_choice_is_the_models_and_travels_with_it(monkeypatch):
    monkeypatch.setenv("FULLBATCH_PASSES", "plain")
    model = Linear("squared")
    monkeypatch.setenv("FULLBATCH_PASSES", "compiled")
    assert (model.passes, Linear("squared").passes, Linear("squared", passes="auto").passes) == (
        "plain",
        "compiled",
        "auto",
    )
    monkeypatch.setenv("FULLBATCH_PASSES", "numpy")
    with pytest.raises(ValueError, match="passes must be one of auto, plain, compiled, got 'numpy'"):
        Linear("squared")


def test_a_fit_of_few_rows_compiles_nothing(tmp_path):
    """In a fresh process: not a kernel, and not what Numba loads to run one."""
    program = """
import sys
import numpy as np
from fullbatch import LogisticRegression, PoissonRegressor
X = np.random.default_rng(0).normal(size=(150, 4))
for estimator, y in ((LogisticRegression(), np.arange(150) % 3), (PoissonRegressor(), np.arange(150) % 5)):
    estimator.fit(X, y).predict(X)
print([name for name in sys.modules if name in ("fullbatch.kernels.passes", "numba.np.npyfuncs")])
"""
    environment = os.environ | {"FULLBATCH_CACHE_DIR": str(tmp_path), "FULLBATCH_PASSES": "auto"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]"], done.stderr
    assert not [*tmp_path.rglob("*.nbc")]


def test_both_find_the_same_minimum(monkeypatch):
    data = rows("softmax", "float64")
    found = {}
    for passes in ("plain", "compiled"):
        monkeypatch.setenv("FULLBATCH_PASSES", passes)
        found[passes] = LogisticRegression(tol=1e-7).fit(data.X, data.y, data.weight).coef_
    np.testing.assert_allclose(found["plain"], found["compiled"], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("storage", ["uint8", "csr uint8"])
def test_the_diagonal_of_scaled_rows_is_that_of_the_formula(storage):
    of = rows("logistic", storage)
    of = replace(of, scale=0.25)
    X = 0.25 * (of.X.toarray() if scipy.sparse.issparse(of.X) else of.X).astype(float)
    theta = np.linspace(-1, 1, 12) / np.abs(X).max()
    eta = X @ theta[:-1] + theta[-1] + of.offset
    second = of.weight * loss_of("logistic", of.y, eta[:, None])[2][:, 0, 0]
    found = built("logistic", of, "plain").evaluate(Curvature(theta, "diagonal")).matrix
    np.testing.assert_allclose(found, second @ np.column_stack((X, np.ones(ROWS))) ** 2, rtol=2e-6)


def test_sums_do_not_depend_on_threads_of_blas():
    """Of rows that BLAS would share out."""
    rng = np.random.default_rng(0)
    of = Rows(rng.normal(size=(2000, 150)), np.arange(2000) % 3)
    block, theta, told = built("softmax", of, "plain"), rng.normal(size=3 * 151) / 10, set()
    for threads in (1, 2, 4):
        with threadpool_limits(threads, "blas"):
            grad = block.evaluate(ValueGrad(theta)).grad
            told.add((grad.tobytes(), block.evaluate(Curvature(theta, "gram")).matrix.tobytes()))
    assert len(told) == 1


def test_several_models_get_the_bits_that_each_gets_alone():
    data = rows("softmax", "float32")
    blocks = ThreadEngine(2).place(
        Linear("softmax", passes="plain"), array_sources(data.X, data.y, data.weight, blocks=3)
    )
    thetas = np.random.default_rng(1).normal(size=(5, blocks.parameters.size))
    together = blocks.sum(ValueGrad(thetas))
    for model, theta in enumerate(thetas):
        alone = blocks.sum(ValueGrad(theta))
        assert together.value[model] == alone.value
        assert together.grad[model].tobytes() == alone.grad.tobytes()
    blocks.close()


def at_an_odd_address(array):
    """As arrays may come from another process."""
    found = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    found[...] = array
    assert not found.flags.aligned
    return found


@pytest.mark.parametrize("storage", ["float64", "float32"])
def test_bits_do_not_depend_on_where_rows_lie_in_memory(storage):
    here = rows("logistic", storage, 9000)
    parts = here.X, here.y, here.weight + 1.0, here.offset
    one, other = (
        built("logistic", Rows(X, y, weight, offset=offset), "plain")
        for X, y, weight, offset in (parts, map(at_an_odd_address, parts))
    )
    for request in requests("logistic", one.parameters, 1.0):
        for mine, others in zip(numbers(one.evaluate(request)), numbers(other.evaluate(request)), strict=True):
            assert mine.tobytes() == others.tobytes(), request
