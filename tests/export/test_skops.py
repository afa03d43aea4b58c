"""Models in files of skops."""

import numpy as np
import pytest
import skops.io as skops
from tests.export.handed import MODELS, fitted, own, rows, same, same_in_sklearn

from fullbatch import LogisticRegression


@pytest.mark.parametrize(("kind", "target"), [model for model in MODELS if "Ordinal" not in model.id])
def test_skops_has_no_type_of_ours(kind, target, tmp_path):
    model, frame = fitted(kind, target, 300), rows(300)
    model.export(tmp_path / "model.skops", offset="exposure")
    theirs = {"numpy.dtype"}  # of scikit-learn's SimpleImputer, which skops does not trust by itself, nor
    if model._loss()[0] == "tweedie":
        theirs |= {"sklearn._loss.loss.HalfTweedieLoss"}
    assert set(skops.get_untrusted_types(file=tmp_path / "model.skops")) == theirs
    same_in_sklearn(skops.load(tmp_path / "model.skops", trusted=list(theirs)), frame, *own(model, frame))


@pytest.mark.parametrize(("kind", "target"), MODELS)
def test_skops_reads_our_own_if_we_are_trusted(kind, target):
    """It trusts none but scikit-learn's types by itself; of ours it names those of fullbatch alone."""
    model, frame = fitted(kind, target, 300), rows(300)
    data = skops.dumps(model)
    ours = skops.get_untrusted_types(data=data)
    assert all(one.startswith("fullbatch.") for one in ours)
    back = skops.loads(data, trusted=ours)
    assert back.result_.status is model.result_.status
    assert np.array_equal(own(back, frame)[0], own(model, frame)[0])


@pytest.mark.parametrize("text", [False, True])
def test_skops_has_nothing_to_trust(text, tmp_path):
    frame = rows(300, missing=False)[["age", "region"] if text else ["age", "in come"]]
    model = LogisticRegression().fit(frame, np.arange(300) % 2)
    model.export(tmp_path / "model.skops")
    assert skops.get_untrusted_types(file=tmp_path / "model.skops") == []
    same(model.predict_proba(frame), skops.load(tmp_path / "model.skops").predict_proba(frame))
