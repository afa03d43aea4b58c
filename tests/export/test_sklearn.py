"""A plain pipeline takes the frames that the fit has taken, whatever pandas makes of truth values and holes."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io as skops
from numpy.testing import assert_allclose

from fullbatch import DataError, GeneralizedLinearRegressor, table_sources

HOLES = np.arange(60) % 4 == 0


def column(kind):
    rng = np.random.default_rng(0)
    truths, numbers = pd.Series(rng.random(60) < 0.5), pd.Series(rng.integers(0, 5, 60))
    texts = pd.Series(rng.choice(["p", "q"], 60), dtype=object)
    return {
        "truths": truths,
        "nullable truths": truths.astype("boolean").mask(HOLES),
        "truths among objects": truths.astype(object).where(~HOLES, None),
        "truths of Arrow": truths.astype("bool[pyarrow]").mask(HOLES),
        "nullable numbers": numbers.astype("Int64").mask(HOLES),
        "numbers among objects": numbers.astype(object).where(~HOLES, None),
        "None for text": texts.where(~HOLES, None),
        "NaN for text": texts.where(~HOLES, np.nan),
        "NA for text": texts.where(~HOLES, pd.NA),
        "nullable text": texts.where(~HOLES, None).astype("string"),
        "categories": texts.where(~HOLES, None).astype("category"),
    }[kind]


KINDS = ["truths", "nullable truths", "truths among objects", "truths of Arrow", "nullable numbers"]
KINDS += ["numbers among objects", "None for text", "NaN for text", "NA for text", "nullable text", "categories"]


def fitted(kind, **options):
    frame = pd.DataFrame({"a": np.where(HOLES, np.nan, np.sin(np.arange(60.0))), "f": column(kind)})
    target = np.arange(60) % 3 + (frame["f"].isna()) * 2
    model = GeneralizedLinearRegressor("poisson", missing="median", **options).fit(frame, target)
    return model, frame


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_the_fit(kind):
    model, frame = fitted(kind, alpha=0.01)
    plain = pickle.loads(pickle.dumps(model.to_sklearn()))
    assert_allclose(plain.predict(frame), model.predict(frame), rtol=1e-12)


@pytest.mark.parametrize("kind", ["nullable truths", "numbers among objects"])
def test_indicators_of_truths_and_objects(kind):
    model, frame = fitted(kind, alpha=0.01, missing_indicator=True)
    assert "f=missing" in model.get_feature_names_out()
    assert_allclose(model.to_sklearn().predict(frame), model.predict(frame), rtol=1e-12)


@pytest.mark.parametrize("kind", ["truths", "nullable truths", "None for text", "NaN for text", "categories"])
def test_files_of_skops_take_them_too(kind, tmp_path):
    model, frame = fitted(kind, alpha=0.01)
    model.export(tmp_path / "model.skops")
    plain = skops.load(tmp_path / "model.skops", trusted=["numpy.dtype"])
    assert_allclose(plain.predict(frame), model.predict(frame), rtol=1e-12)


def test_files_of_skops_are_given_none_for_na(tmp_path):
    model, frame = fitted("nullable text", alpha=0.01)
    model.export(tmp_path / "model.skops")
    plain = skops.load(tmp_path / "model.skops", trusted=["numpy.dtype"])
    assert_allclose(plain.predict(frame.astype(object).where(frame.notna(), None)), model.predict(frame), rtol=1e-12)


@pytest.mark.parametrize("hole", [None, np.nan, pd.NA])
def test_missing_text_is_no_unknown_level(hole):
    frame = pd.DataFrame({"z": np.resize(["u", "v"], 60), "a": np.sin(np.arange(60.0))})
    model = GeneralizedLinearRegressor("poisson", unknown="ignore").fit(frame, np.arange(60) % 3)
    plain = model.to_sklearn()
    new = pd.DataFrame({"z": np.array(["v", "w", ""], object), "a": 0.5})
    assert_allclose(plain.predict(new), model.predict(new), rtol=1e-12)
    new["z"] = np.array(["v", "w", hole], object)
    with pytest.raises(DataError, match="row 2, column 'z': the value is missing"):
        model.predict(new)
    with pytest.raises((ValueError, TypeError), match=r"Input contains NaN|boolean value of NA is ambiguous"):
        plain.predict(new)


def test_a_missing_number_is_no_unknown_level():
    frame = pd.DataFrame({"band": np.resize([1, 2], 60), "y": np.arange(60) % 3})
    sources = table_sources(frame, target="y", categorical=["band"])
    model = GeneralizedLinearRegressor("poisson", unknown="ignore").fit(sources)
    plain = model.to_sklearn()
    assert_allclose(plain.predict(frame[["band"]]), model.predict(frame[["band"]]), rtol=1e-12)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        plain.predict(pd.DataFrame({"band": [1.0, np.nan]}))
