"""Files of networks and of ordered classes, with each part made wrong."""

import json
import re

import numpy as np
import pytest
import torch
from commands import fullbatch
from wrong_contents import packed, wrong_contents

from fullbatch import ModelFileError, OrdinalLogisticRegression, TorchClassifier, TorchRegressor, load_model
from fullbatch.saving import files

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
Y = np.digitize(X[:, 0] + 0.3 * RNG.standard_normal(60), [-0.5, 0.5])


def line(n_features, n_outputs):
    return torch.nn.Linear(n_features, n_outputs)


FITTED = [
    (OrdinalLogisticRegression(engine="serial", classes=[0, 1, 2], class_weight={1: 2.0}), Y, {}),
    (TorchClassifier(line, engine="serial", alpha=0.1, class_weight={1: 2.0}), Y, {"module": line}),
    (TorchRegressor(line, engine="serial", alpha=0.1), X[:, :2], {"module": line}),
]


@pytest.mark.parametrize(("model", "y", "code"), FITTED, ids=lambda one: type(one).__name__)
def test_wrong_contents_are_refused_and_named(model, y, code, tmp_path):
    path = tmp_path / "model.fb"
    model.fit(X, y).save(path)
    kind, arrays, values = files.read(path)
    path = tmp_path / "wrong.fb"
    path.write_bytes(packed(kind, arrays, values))
    load_model(path, **code)
    count = 0
    for member, what, wrong_values, wrong_arrays in wrong_contents(type(model)._contents(), values, arrays):
        path.write_bytes(packed(kind, wrong_arrays, wrong_values))
        with pytest.raises(ModelFileError, match=re.escape(str(path))):
            pytest.fail(f"{member} {what} was loaded: {load_model(path, **code)}")
        count += 1
    assert count > 100


@pytest.mark.parametrize(
    ("name", "wrong", "why"),
    [
        ("code", [], r"code is \[\], which is not that of a TorchClassifier"),
        ("code", ["module", "loss"], r"code is \['module', 'loss'\], which is not"),
        ("outputs", 2, "another network: where the fit had 'weight' of shape"),
        ("weights", [["weight", [3, 3]]], "another network: it has 2 trained arrays, the fit had 1"),
        ("weights", [["weight", [-1, 3]]], r"is damaged"),
        ("frozen", "abc", "not trained .* are others than in the fit"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(name, wrong, why, tmp_path):
    model, y, code = FITTED[1]
    path = tmp_path / "model.fb"
    model.fit(X, y).save(path)
    kind, arrays, values = files.read(path)
    path = tmp_path / "wrong.fb"
    path.write_bytes(packed(kind, arrays, {**values, name: wrong}))
    with pytest.raises(ModelFileError, match=why):
        load_model(path, **code)
    path.write_bytes(packed(kind, {**arrays, "theta": arrays["theta"][:-1]}, values))
    with pytest.raises(ModelFileError, match=r"theta has shape .*, not that of the weights"):
        load_model(path, **code)


def test_inspect_shows_what_a_file_holds(tmp_path):
    ordinal, network = (tmp_path / name for name in ("ordinal.fb", "network.fb"))
    for (model, y, _), path in zip(FITTED[:2], (ordinal, network), strict=True):
        model.fit(X, y).save(path)
    told = json.loads(fullbatch("inspect", network, "--json").stdout)
    assert told["weights"] == ["weight 3x3", "bias 3"]
    assert (told["kind"], told["parameters"], told["load_model takes"]) == ("TorchClassifier", 12, ["module="])
    assert (told["classes"], told["rows"], told["l2"]) == ([0, 1, 2], 60, 0.1)
    assert "no code: give module=" in fullbatch("predict", network, "new.csv", "--output", "p.csv", code=1).stderr
    lines = fullbatch("inspect", ordinal).stdout.splitlines()
    assert " kind          ordinal logistic regression" in lines
    assert " largest coefficients for 2" in lines
