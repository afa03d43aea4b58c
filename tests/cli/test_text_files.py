"""Text files on the command line: the options reach the reader, and packed or JSON files give what plain CSV gives."""

import gzip
import json

import pandas as pd
import pytest
from tables import table
from typer.testing import CliRunner

from fullbatch import load_model
from fullbatch.cli.app import app


def fullbatch(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_the_same_model_from_every_text(tmp_path):
    frame = table()
    frame["code"] = [f"0{k % 3}" for k in range(200)]
    text = frame.to_csv(index=False)
    lines = "".join(json.dumps(row) + "\n" for row in frame.to_dict("records"))
    marked = "made by hand\n" + text.replace("\n", "\n# no row\n", 5)
    files = {
        "plain.csv": (text.encode(), []),
        "packed.csv.gz": (gzip.compress(text.encode()), []),
        "wide.csv": (text.encode("utf-16"), []),
        "marked.csv": (marked.encode(), ["--skip-rows", 1, "--comment", "#"]),
        "lines.jsonl": (lines.encode(), []),
        "lines.dat": (gzip.compress(lines.encode()), []),
        "told.dat": (lines.encode(), ["--format", "jsonl"]),
    }
    models, predictions = {}, {}
    for name, (content, options) in files.items():
        (tmp_path / name).write_bytes(content)
        options = [*options, "--types", "code=string"]
        fit = ["fit", tmp_path / name, "--target", "y", "--engine", "serial", "--save", tmp_path / "m.fb", "-q"]
        fullbatch(*fit, *options)
        models[name] = load_model(tmp_path / "m.fb").coef_.tobytes()
        # Text of the fit is text here, without being told.
        fullbatch("predict", tmp_path / "m.fb", tmp_path / name, "--output", tmp_path / "p.csv", *options[:-2])
        predictions[name] = pd.read_csv(tmp_path / "p.csv")["prediction"].tolist()
    assert len(set(models.values())) == 1
    assert all(one == predictions["plain.csv"] for one in predictions.values())
    assert len(predictions["plain.csv"]) == 200


def test_escapes(tmp_path):
    (tmp_path / "t.csv").write_text("size,y\n" + '"5\\" pipe, long",0\n"6 cm",1\n"6 cm",0\n' * 5)
    fullbatch("fit", tmp_path / "t.csv", "--target", "y", "--escape", "\\", "--save", tmp_path / "m.fb", "-q")
    assert load_model(tmp_path / "m.fb").get_feature_names_out().tolist() == ['size=5" pipe, long', "size=6 cm"]
    with pytest.raises(ValueError, match="escape must be one character of ASCII"):
        fullbatch("fit", tmp_path / "t.csv", "--target", "y", "--escape", "no", "-q")
