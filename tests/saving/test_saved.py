import json
import os
import zipfile

import numpy as np
import pandas
import pytest
from wrong_contents import packed

from fullbatch import (
    ElasticNetCV,
    GeneralizedLinearRegressorCV,
    LinearSVC,
    LogisticRegression,
    LogisticRegressionCV,
    ModelFileError,
    PoissonRegressor,
    load_model,
    load_state,
    table_sources,
)
from fullbatch.saving.files import write


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    return LogisticRegression(C=2.0, class_weight={"b": 2.0}).fit(X, np.array(["a", "b", "c"] * 20)), X


def test_round_trip(tmp_path, model):
    model, X = model
    model.save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb")
    assert loaded.coef_.tobytes() == model.coef_.tobytes()
    assert loaded.intercept_.tobytes() == model.intercept_.tobytes()
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    assert loaded.get_params()["C"] == 2.0
    assert loaded.get_params()["class_weight"] == {"b": 2.0}
    assert loaded.n_iter_.tolist() == model.n_iter_.tolist()


def test_feature_names_are_kept(tmp_path):
    frame = pandas.DataFrame({"age": [1.0, 2, 3, 4], "size": [0.0, 1, 0, 1]})
    LogisticRegression().fit(frame, [0, 0, 1, 1]).save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb")
    assert loaded.feature_names_in_.tolist() == ["age", "size"]
    loaded.predict(frame)
    with pytest.raises(ValueError, match="there is no column 'age'"):
        loaded.predict(frame.rename(columns={"age": "years"}))


def test_labels_that_are_python_text_are_saved_without_pickle(tmp_path):
    labels = np.array(["no", "yes", "maybe"] * 5, dtype=object)
    LogisticRegression().fit(np.arange(30.0).reshape(15, 2), labels).save(tmp_path / "model.fb")
    assert load_model(tmp_path / "model.fb").classes_.tolist() == ["maybe", "no", "yes"]


def test_write_leaves_the_old_file_or_the_new_one(tmp_path, model):
    path = tmp_path / "model.fb"
    model[0].save(path)
    old = path.read_bytes()
    with pytest.raises(ValueError, match="pickle"):
        write(path, "LogisticRegression", {"coef": np.array([object()])}, {})
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.fb"]
    model[0].save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.fb"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_missing_foreign_and_damaged_files(tmp_path, model):
    path = tmp_path / "model.fb"
    with pytest.raises(ModelFileError, match="there is no file"):
        load_model(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(ModelFileError, match="damaged, or not a file of fullbatch"):
        load_model(path)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ModelFileError, match="not a file of fullbatch"):
        load_model(tmp_path / "other.npz")
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(tmp_path)
    for foreign in (path, tmp_path / "other.npz"):
        content = foreign.read_bytes()
        with pytest.raises(ModelFileError, match="a file that is not of fullbatch is there"):
            model[0].save(foreign)
        assert foreign.read_bytes() == content
    path.write_bytes(b"")  # as `tempfile` makes them
    model[0].save(path)
    with pytest.raises(ModelFileError, match="holds a LogisticRegression, not a LBFGSState"):
        load_state(path)
    content = path.read_bytes()
    for cut in range(0, len(content), 97):
        path.write_bytes(content[:cut])
        with pytest.raises(ModelFileError, match=r"model\.fb is damaged"):
            load_model(path)


def rewritten(path, change):
    """Change what is in a file, which stays well-formed."""
    with zipfile.ZipFile(path) as archive:
        arrays = {
            name: np.load(archive.open(f"{name}.npy")) for name in json.loads(archive.read("metadata.json"))["members"]
        }
        metadata = json.loads(archive.read("metadata.json"))
    change(metadata, arrays)
    beside = {name: value for name, value in metadata.items() if name not in ("format", "version", "members")}
    path.write_bytes(packed(beside.pop("kind"), arrays, beside))


NAMED_COLUMNS = pandas.DataFrame(
    {"age": np.arange(9.0), "zone": ["n", "s", "w"] * 3, "size": 1.0, "y": [0.0, 2, 1] * 3, "off": np.ones(9)}
)


def test_names_of_targets_and_offsets_are_kept_where_they_were_told(tmp_path):
    frame = NAMED_COLUMNS
    sources = table_sources(frame, target="y", offset="off")
    told = [((frame, "y"), {"offset": "off"}), ((sources,), {})]
    told += [((frame.drop(columns="zone"), "y"), {"offset": "off"})]  # which is a matrix
    for given, beside in told:
        model = PoissonRegressor().fit(*given, **beside)
        assert (model.target_name_, model.offset_name_) == ("y", "off")
        model.save(tmp_path / "model.fb")
        loaded = load_model(tmp_path / "model.fb")
        assert (loaded.target_name_, loaded.offset_name_) == ("y", "off")
    values = frame["y"].to_numpy(), frame["off"].to_numpy()
    model.fit(frame[["age", "zone"]], values[0], offset=values[1])
    assert (model.target_name_, model.offset_name_) == (None, None)
    model = PoissonRegressor(formula="y ~ age").fit(frame)
    assert (model.target_name_, model.offset_name_) == ("y", None)
    part = frame.rename(columns={"y": "z"})
    mixed = [sources[0], *table_sources(part, target="z", offset="off", features=["age", "zone", "size"])]
    model = PoissonRegressor().fit(mixed)
    assert (model.target_name_, model.offset_name_) == (None, "off")


def test_the_scaling_of_an_intercept_is_kept_and_is_infinite_where_files_had_none(tmp_path):
    X, y = np.random.default_rng(0).standard_normal((60, 3)), np.array(["a", "b", "c"] * 20)
    for scaling in (3, np.inf):
        LinearSVC(intercept_scaling=scaling).fit(X, y).save(tmp_path / "model.fb")
        assert load_model(tmp_path / "model.fb").intercept_scaling == scaling
    model = LinearSVC().fit(X, y)
    model.save(tmp_path / "model.fb")
    rewritten(tmp_path / "model.fb", lambda metadata, arrays: metadata["parameters"].pop("intercept_scaling"))
    loaded = load_model(tmp_path / "model.fb")
    assert np.isinf(loaded.intercept_scaling)
    assert loaded.predict(X).tolist() == model.predict(X).tolist()


def test_a_sum_of_weights_may_be_any(tmp_path):
    weight = np.full(9, 1e-3)
    model = PoissonRegressor().fit(NAMED_COLUMNS[["age"]], NAMED_COLUMNS["y"], weight)
    model.save(tmp_path / "model.fb")
    assert load_model(tmp_path / "model.fb").weight_sum_ == pytest.approx(9e-3, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "name", "wrong"),
    [
        (
            LogisticRegressionCV(Cs=[1.0, 2.0], cv=3, l1_ratios=(0.0,), use_legacy_attributes=False),
            "Cs",
            ["0.0", "1.0"],
        ),
        (GeneralizedLinearRegressorCV(n_alphas=3, cv=3), "n_alphas", 2.5),
        (ElasticNetCV(l1_ratio=[0.5, 1.0], alphas=3, cv=3), "l1_ratio", [0.5, 1.5]),
    ],
    ids=lambda value: None,
)
def test_grids_that_no_fit_could_have_had_are_refused(tmp_path, model, name, wrong):
    X = np.random.default_rng(0).standard_normal((60, 2))
    model.fit(X, (X[:, 0] > 0.1 * X[:, 1]).astype(int)).save(tmp_path / "model.fb")
    load_model(tmp_path / "model.fb")
    rewritten(tmp_path / "model.fb", lambda metadata, files: metadata["parameters"].update({name: wrong}))
    with pytest.raises(ModelFileError, match=rf"parameters {name}"):
        load_model(tmp_path / "model.fb")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metadata, files: metadata.update(kind="Tree"), "holds a Tree"),
        (lambda metadata, files: metadata.pop("parameters"), "parameters is missing"),
        (lambda metadata, files: metadata["parameters"].update(depth=3), "parameters depth is unknown"),
        (lambda metadata, files: metadata.pop("offset"), "offset is missing"),
        (lambda metadata, files: files.pop("coef"), "coef is missing"),
        (lambda metadata, files: files.update(coef=files["intercept"]), r"coef has shape \(3,\)"),
    ],
)
def test_changed_contents(tmp_path, model, change, message):
    path = tmp_path / "model.fb"
    model[0].save(path)
    rewritten(path, change)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, r"version 99, this fullbatch reads up to 2: upgrade fullbatch"),
        ({"version": "x"}, "version x, this fullbatch reads up to 2"),
        ({"version": 1}, "version 1 has no SHA-256"),
        ({"format": "other"}, "not a file of fullbatch"),
        ({"members": {}}, "the member coef is unknown"),
    ],
)
def test_changed_headers(tmp_path, model, change, message, monkeypatch):
    path = tmp_path / "model.fb"
    dumps = json.dumps
    with monkeypatch.context() as context:
        context.setattr(
            "fullbatch.saving.archive.json.dumps", lambda header, **options: dumps({**header, **change}, **options)
        )
        path.write_bytes(packed("LogisticRegression", {"coef": np.zeros((1, 3))}, {}))
    with pytest.raises(ModelFileError, match=message):
        load_model(path)
