import json

import pandas as pd
from commands import fullbatch
from tables import table


def test_fit_and_predict_on_ray(tmp_path, ray_session):
    table().to_csv(tmp_path / "t.csv", index=False)
    fit = ["fit", tmp_path / "t.csv", "--target", "y", "--json", "-q", "--save"]
    on_ray = ["--engine", "ray", "--workers", 2]
    told = [json.loads(fullbatch(*fit, tmp_path / name, *more).stdout) for name, more in (("1", []), ("2", on_ray))]
    assert [one["engine"] for one in told] == ["threads", "ray"]
    assert told[0]["F"] == told[1]["F"]
    predict = ["predict", tmp_path / "2", tmp_path / "t.csv", "--output", tmp_path / "parts", *on_ray, "--json"]
    assert json.loads(fullbatch(*predict).stdout)["rows"] == 200
    assert pd.read_parquet(tmp_path / "parts")["prediction"].size == 200
