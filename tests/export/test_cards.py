"""Model cards: of models that were fitted, and that were loaded."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tests.export.handed import fitted, rows

import fullbatch
from fullbatch import GeneralizedLinearRegressor, LogisticRegression, load_model
from fullbatch.saving import files


def test_cards_say_what_the_model_is(tmp_path):
    model = fitted(LogisticRegression(), "label", 300)
    model.export(tmp_path / "m.json", measures={"accuracy": 0.9})
    told = json.loads((tmp_path / "m.json").read_text())
    assert [column["name"] for column in told["columns"]] == ["age", "in come", "region", "band", "exposure"]
    assert told["columns"][0]["missing"] == 40.5
    assert told["target"]["classes"] == ["a", "b"]
    assert told["fit"]["rows"] == 300
    assert told["fit"]["status"] == "converged"
    model.save(tmp_path / "m.fb")
    assert load_model(tmp_path / "m.fb").model_card()["fingerprint"] == told["fingerprint"]
    model.coef_ = model.coef_ + 1e-16
    model.coef_[0, 0] = np.nextafter(model.coef_[0, 0], 9)
    assert model.model_card()["fingerprint"] != told["fingerprint"]
    model.export(tmp_path / "m.md")
    assert "| age | number |  | counts as 40.5 |" in (tmp_path / "m.md").read_text()


def test_cards_of_saved_models_say_how_the_fit_ended(tmp_path):
    frame = rows(300, missing=False)[["age", "in come", "three"]].assign(twice=lambda one: 2 * one["age"])
    models = [
        LogisticRegression(C=0.5).fit(frame, "three"),
        GeneralizedLinearRegressor("poisson", max_iter=1, tol=0).fit(frame, "three"),
    ]
    for model in models:
        model.save(tmp_path / "m.fb")
        loaded = load_model(tmp_path / "m.fb")
        loaded.save(tmp_path / "again.fb")
        assert (tmp_path / "again.fb").read_bytes() == (tmp_path / "m.fb").read_bytes()
        fit, result = loaded.model_card()["fit"], model.result_
        assert fit["value"] == result.value
        assert fit["message"] == result.message
        assert fit["notices"] == [str(notice) for notice in result.notices]
        bound = result.certificate.bound
        assert fit["certificate"]["bound"] == (bound if np.isfinite(bound) else None)
        assert fit["certificate"]["words"] == result.certificate.words
        assert loaded.model_card()["target"]["name"] == "three"
        told = model.model_card()["fit"]
        assert {name: told[name] for name in fit} == fit
        assert told.keys() - fit.keys() == {"solver", "passes", "setup_passes", "seconds"}
    loaded.export(tmp_path / "m.md")
    text = (tmp_path / "m.md").read_text()
    assert "Target: three; link: log" in text
    assert f"| message | {models[1].result_.message} |" in text
    # F by its definition: logistic loss per row, and the penalty of C on the sum.
    X, y = frame[["age", "in come", "twice"]].to_numpy(), np.searchsorted(models[0].classes_, frame["three"])
    eta = X @ models[0].coef_.T + models[0].intercept_
    loss = np.log(np.exp(eta).sum(axis=1)) - eta[np.arange(300), y]
    value = loss.mean() + (models[0].coef_ ** 2).sum() / (2 * 0.5 * 300)
    assert_allclose(models[0].model_card()["fit"]["value"], value, rtol=1e-12)


def test_cards_of_files_of_before(tmp_path):
    model = fitted(LogisticRegression(), "label", 300)
    model.save(tmp_path / "m.fb")
    kind, arrays, metadata = files.read(tmp_path / "m.fb")
    files.write(tmp_path / "m.fb", kind, arrays, {name: metadata[name] for name in metadata if name != "runs"})
    fit = load_model(tmp_path / "m.fb").model_card()["fit"]
    assert fit == {"iterations": int(model.n_iter_[0]), "rows": 300, "status": "converged"}
    for wrong in ([1], [{**metadata["runs"][0], "value": "much"}], [{**metadata["runs"][0], "more": 1}], {}):
        files.write(tmp_path / "m.fb", kind, arrays, {**metadata, "runs": wrong})
        with pytest.raises(fullbatch.ModelFileError, match="is damaged: runs"):
            load_model(tmp_path / "m.fb")


def test_cards_of_several_targets(tmp_path):
    frame = rows(300, missing=False)[["age", "in come", "y", "three"]]
    model = fullbatch.Ridge(alpha=2.0).fit(frame, ["y", "three"])
    model.save(tmp_path / "m.fb")
    loaded = load_model(tmp_path / "m.fb")
    for card in (model.model_card(), loaded.model_card()):
        assert card["target"] == {"name": ["y", "three"], "link": "identity", "classes": None}
        assert [column["name"] for column in card["columns"]] == ["age", "in come"]
        assert [one["value"] for one in card["fit"]["targets"]] == [one.value for one in model.results_]
    assert loaded.model_card()["fingerprint"] == model.model_card()["fingerprint"]
    loaded.coef_[1, 0] += 1e-9
    assert loaded.model_card()["fingerprint"] != model.model_card()["fingerprint"]
    model.export(tmp_path / "m.md")
    assert "| target 1: message | " in (tmp_path / "m.md").read_text()
    with pytest.raises(ValueError, match="no model can be handed over that is of several targets"):
        model.to_sql("t")


def test_cards_of_formulas(tmp_path):
    frame = rows(300, missing=False)[["age", "in come", "region", "y", "exposure"]]
    frame.loc[::7, "age"] = np.nan
    told = fullbatch.GammaRegressor(formula="y ~ C(region) + bs(age, df=4)", missing={"age": "mean"})
    model = told.fit(frame, offset="exposure")
    model.save(tmp_path / "m.fb")
    for card in (model.model_card(), load_model(tmp_path / "m.fb").model_card()):
        assert card["columns"] == [
            {"name": "age", "type": "number", "missing": model.missing_["age"]},
            {"name": "region", "type": "category", "levels": sorted(set(frame["region"])), "missing": None},
            {"name": "exposure", "type": "offset", "missing": None},
        ]
        assert card["target"]["name"] == "y"
        assert card["objective"]["formula"] == "y ~ C(region) + bs(age, df=4)"
        assert card["fingerprint"] == model.model_card()["fingerprint"]
    other = told.fit(frame[frame["age"].isna() | (frame["age"] > 22)], offset="exposure")
    fingerprint = other.model_card()["fingerprint"]
    other.missing_ = {"age": 50.0}  # which no coefficient tells
    assert other.model_card()["fingerprint"] != fingerprint
    with pytest.raises(
        ValueError, match=r"cannot be handed over: .*, or save the model; model_card\(\) tells what it is"
    ):
        model.to_onnx()


def test_cards_say_parameters_of_columns_and_of_levels():
    frame = rows(300, missing=False)[["age", "in come"]]
    target = rows(300, missing=False)["y"]
    model = GeneralizedLinearRegressor(
        alpha=0.1, P2={"age": 2.0}, lower_bounds=[-np.inf, -1.0], group_ratio=None, engine="serial"
    ).fit(frame, target)
    said = json.loads(json.dumps(model.model_card()))["objective"]
    assert said["P2"] == {"age": 2.0}
    assert said["lower_bounds"] == ["-inf", -1.0]
