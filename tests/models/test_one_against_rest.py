"""Models of one class against the rest answer, by shared reads, what the model of each alone answers: to the bit."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from fullbatch import Linear, SerialEngine, array_sources, table_sources
from fullbatch.errors import BlockError, DataError
from fullbatch.models.one_against_rest import OfClass, OneAgainstRest
from fullbatch.protocols import Curvature, HessVec, RowSample, SampleGrams, ValueGrad
from fullbatch.protocols.requests import OfClasses

ROWS, CLASSES = 700, 4


def data(storage):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(ROWS, 17)) + 1000.0 * (storage == "shifted") * (np.arange(17) == 2)
    y = rng.choice(list("abcd"), ROWS, p=[0.1, 0.2, 0.3, 0.4])
    weight = rng.uniform(0.1, 2.0, ROWS) * (rng.random(ROWS) > 0.1)
    if storage == "frame":
        frame = pd.DataFrame({"x": X[:, 0], "level": rng.choice(["u", "v", "w"], ROWS), "y": y, "w": weight})
        return (lambda labels: table_sources(frame.assign(y=labels), target="y", weight="w", blocks=3)), y, weight
    if storage == "uint8":
        X = rng.integers(0, 256, X.shape).astype(np.uint8)
    elif storage == "csr":
        X = sp.csr_array(X * (rng.random(X.shape) < 0.3))
    elif storage != "float64":
        X = X.astype(np.float32)
    offset = rng.normal(size=ROWS) if storage == "float64" else None
    return (lambda labels: array_sources(X, labels, weight, offset=offset, blocks=3)), y, weight


def requests(size, number):
    rng = np.random.default_rng(number)
    theta, v = rng.normal(size=(2, size)) / 50
    columns = np.arange(0, min(size - 1, 9), 2)
    return [
        ValueGrad(theta),
        ValueGrad(theta, double=True),
        HessVec(theta, v),
        Curvature(theta, "gram"),
        Curvature(theta, "gram", double=True),
        Curvature(theta, "gram", columns=columns),
        Curvature(theta, "gram", columns=columns[:2], double=True),
        Curvature(theta, "diagonal"),
        Curvature(theta, "rows", fraction=0.5, seed=1),
        Curvature(theta, "gram", fraction=0.5, seed=1),
        RowSample(0.3, 1),
        SampleGrams(theta, fraction=0.3, seed=1),
        ValueGrad(np.array([theta, v])),
    ]


def numbers(answer):
    """All numbers of an answer, as bytes."""
    if hasattr(answer, "__dataclass_fields__"):
        return [one for name in answer.__dataclass_fields__ for one in numbers(getattr(answer, name))]
    if isinstance(answer, tuple):
        return [one for part in answer for one in numbers(part)]
    return [] if answer is None else [(answer.toarray() if sp.issparse(answer) else np.asarray(answer)).tobytes()]


# In a fresh cache each storage compiles for half a minute.
STORAGES = [
    ("plain", "float64"),
    ("plain", "shifted"),
    ("plain", "csr"),
    ("plain", "frame"),
    ("compiled", "float64"),
    *(pytest.param("compiled", one, marks=pytest.mark.slow) for one in ("float32", "shifted", "uint8", "csr", "frame")),
]


@pytest.mark.parametrize("class_weight", [None, {"b": 3.0, "d": 0.25}, "balanced"], ids=str)
@pytest.mark.parametrize(("passes", "storage"), STORAGES)
def test_answers_are_those_of_each_class_alone(passes, storage, class_weight):
    sources, y, _ = data(storage)
    blocks = SerialEngine().place(OneAgainstRest(True, class_weight, passes=passes), sources(y))
    schema, size = blocks.schema, blocks.parameters.size
    factors = schema.weight / (CLASSES * schema.class_weight)
    if class_weight != "balanced":
        factors = [(class_weight or {}).get(label, 1.0) for label in "abcd"]
    views = [OfClass(blocks, OneAgainstRest(True, class_weight, k, passes=passes), [0]) for k in range(CLASSES)]
    alone = [
        SerialEngine().place(
            Linear("squared_hinge", class_weight={1: factors[k]}, passes=passes), sources(1 * (y == label))
        )
        for k, label in enumerate("abcd")
    ]
    for kind, asked in enumerate(zip(*(requests(size, k) for k in range(CLASSES)), strict=True)):
        some = [0, 1, 3] if kind % 2 else list(range(CLASSES))
        for k, found in zip(some, views[0].sum_each(some, [asked[k] for k in some]), strict=True):
            wanted = alone[k].sum(asked[k])
            if passes == "compiled" and storage in ("csr", "frame") and kind < 2:  # added in another order
                np.testing.assert_allclose(found.grad, wanted.grad, rtol=1e-12, atol=1e-11)
                assert found.value == pytest.approx(wanted.value, rel=1e-13)
            else:
                assert numbers(found) == numbers(wanted), asked[k]
            assert numbers(views[k].sum(asked[k])) == numbers(found), asked[k]


def test_requests_of_several_kinds_are_one_read():
    sources, y, _ = data("float64")
    reads = [0]
    blocks = SerialEngine().place(OneAgainstRest(), sources(y))
    view = OfClass(blocks, OneAgainstRest(number=1), reads)
    asked = [one[place] for place, one in zip((0, 3, 1, 10), (requests(18, k) for k in range(4)), strict=True)]
    together = view.sum_each(range(CLASSES), asked)
    assert reads == [1]
    for number, (request, found) in enumerate(zip(asked, together, strict=True)):
        alone = OfClass(blocks, OneAgainstRest(number=number), reads).sum(request)
        assert numbers(alone) == numbers(found)
    assert reads == [5]
    first = OfClass(blocks, OneAgainstRest(), [0]).sum(asked[0])  # unless told otherwise
    assert numbers(first) == numbers(together[0])
    with pytest.raises(TypeError, match="cannot answer ValueGrad; they answer OfClasses"):
        blocks.sum(asked[0])


def test_samples_of_the_same_rows_share_their_features():
    X, y = np.random.default_rng(0).normal(size=(90, 3)), np.resize(list("abcb"), 90)
    blocks = SerialEngine().place(OneAgainstRest(), array_sources(X, y, blocks=1))
    one, other = blocks.sum(OfClasses((0, 2), (RowSample(0.5, 3), RowSample(0.5, 3)))).answers
    assert all(mine is others for mine, others in zip(one.parts, other.parts, strict=True))
    np.testing.assert_array_equal(one.y, y[one.rows] == "a")
    np.testing.assert_array_equal(other.y, y[one.rows] == "c")
    another = blocks.sum(OfClasses((0, 2), (RowSample(0.5, 3), RowSample(0.5, 4)))).answers[1]
    assert not np.array_equal(another.rows, one.rows)
    np.testing.assert_array_equal(another.X, X[another.rows])


def test_the_null_model_is_that_of_the_class_and_the_rest():
    sources, y, weight = data("csr")
    model = OneAgainstRest(True, {"b": 3.0}, 1)
    blocks = SerialEngine().place(model, sources(y))
    counts = weight * np.where(y == "b", 3.0, 1.0)
    share = counts[y == "b"].sum() / counts.sum()
    parameters = OfClass(blocks, model, [0]).parameters
    assert parameters.null == pytest.approx(4 * share * (1 - share), rel=1e-12)
    assert parameters.least == 0.0


def test_blocks_of_two_classes_are_those_of_the_linear_model():
    X, y = np.random.default_rng(0).normal(size=(50, 3)), np.resize([0, 1, 1], 50)
    one, other = (
        SerialEngine().place(model, array_sources(X, y)) for model in (OneAgainstRest(), Linear("squared_hinge"))
    )
    theta = np.linspace(-1, 1, 4)
    assert numbers(one.sum(ValueGrad(theta))) == numbers(other.sum(ValueGrad(theta)))
    assert one.parameters.null == other.parameters.null


def test_one_class_and_wrong_weights_are_refused():
    X = np.ones((6, 2))
    with pytest.raises(DataError, match="one class only, 1"):
        SerialEngine().place(OneAgainstRest(), array_sources(X, np.ones(6)))
    with pytest.raises(DataError, match="names 'z', which is not a class"):
        SerialEngine().place(OneAgainstRest(True, {"z": 2.0}), array_sources(X, list("abcabc")))


def test_theta_of_another_length_is_refused():
    sources, y, _ = data("float64")
    blocks = SerialEngine().place(OneAgainstRest(), sources(y))
    with pytest.raises(BlockError, match="theta has length 17, it must be 18"):
        blocks.sum(OfClasses((0,), (ValueGrad(np.zeros(17)),)))
