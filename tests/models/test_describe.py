"""What no block can be made of is refused with its source when rows are described; and which labels there are."""

from decimal import Decimal

import numpy as np
import pytest
import scipy.sparse as sp

from fullbatch import BlockError, DataError, Linear, SerialEngine, array_sources
from fullbatch.kernels.losses import LOSSES
from fullbatch.models import warm_up
from fullbatch.models.describe import as_labels
from fullbatch.protocols.requests import DrawnCurvature
from fullbatch.protocols.rows import Category, Rows
from fullbatch.protocols.sampling import Draw

X, Y = np.zeros((3, 2)), np.array([0, 1, 1])
LEVELS = Category(np.zeros(3, np.int32), np.array(["a"]))
OUTSIDE = sp.csr_array(X + 1.0)
OUTSIDE.indices[:] = 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows(sp.coo_array(X), Y), "here: features are coo, they must be a NumPy array or scipy.sparse CSR"),
        (Rows([[0.0]], Y), "here: features are list, they must be a NumPy array"),
        (Rows(X[0], Y), r"here: features have 1 dimension\(s\), they must be rows by columns"),
        (Rows(X.astype(np.int64), Y), "here: features are int64, they must be one of .*float32"),
        (Rows(X, Y[:, None]), "here: target y has 2 dimensions, it must have one value a row"),
        (Rows(OUTSIDE, Y), "here: column indices run from 2 to 2 in 2 columns"),
        (
            Rows(X, Y, scale=0.5, categories=(LEVELS,)),
            "here: categorical columns stand beside dense columns of scale 1",
        ),
        (Rows(sp.csr_array(X), Y, categories=(LEVELS,)), "here: categorical columns stand beside dense columns"),
        (Rows(X, Y, names=("a", "b", "c")), "here: 3 names for 2 columns"),
        (
            Rows(X, Y, categories=(Category(np.zeros(2, np.int32), np.array(["a"])),)),
            r"here: 3 rows but column 2 has \(2,\)",
        ),
        (Rows(X, Y[:2]), r"here: 3 rows of features but target y has shape \(2,\)"),
        (Rows(X, Y, np.ones(2)), r"here: 3 rows of features but sample weight has shape \(2,\)"),
    ],
    ids=lambda one: "" if isinstance(one, Rows) else None,
)
def test_shapes_and_types_that_do_not_fit(rows, message):
    with pytest.raises(DataError, match=message):
        Linear("logistic").describe(rows, "here")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([True, False], object), np.array([True, False])),
        (np.array([Decimal(3), 2], object), np.array([3, 2])),
        (np.array([2**63, 1], object), np.array([2**63, 1], np.uint64)),
        *(
            [(np.array(["b", "a"], np.dtypes.StringDType()), np.array(["b", "a"]))]
            if hasattr(np.dtypes, "StringDType")
            else []
        ),
    ],
    ids=["truth", "whole", "large", "text"],
)
def test_labels_are_kept_in_the_type_that_holds_them(labels, expected):
    found, missing, _ = as_labels(labels, "here")
    assert missing is None
    assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(found, expected)


def test_draws_need_a_theta_each():
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, Y))
    with pytest.raises(BlockError, match=r"2 draws need as many thetas of 3 parameters, got \(1, 3\)"):
        blocks.sum(DrawnCurvature(np.zeros((1, 3)), (Draw("all"), Draw("only", 0, 2)), 1))


@pytest.mark.parametrize("storage", warm_up.STORAGES)
def test_rows_that_are_compiled_for_have_targets_that_every_loss_takes(storage):
    for name, loss in LOSSES.items():
        if loss.per_class or not storage.startswith("classes"):
            assert Linear(name).describe(warm_up._rows(storage, loss.labels), "here").problem is None, name


def test_one_loss_of_each_kind_is_compiled_and_classes_for_those_that_have_some(monkeypatch):
    ran = []
    monkeypatch.setattr(warm_up, "_run", lambda *pair: ran.append(pair))
    told = [(loss, storage) for loss, storage, _ in warm_up.warm_up()]
    assert told == ran
    kinds = [type(warm_up.LOSSES[loss].kind()) for loss in dict(told)]
    assert len(set(kinds)) == len(kinds) == len({type(one.kind()) for one in warm_up.LOSSES.values()})
    of_classes = {loss for loss, storage in told if storage.startswith("classes")}
    assert of_classes == {loss for loss, _ in told if warm_up.LOSSES[loss].per_class} != set()
