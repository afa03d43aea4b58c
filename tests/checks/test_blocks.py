"""Where rows are: the same bytes on any engine, files, saved models, plots, text, and tables without pandas."""

import importlib.util
import json
import sys
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from tests.checks.rows import COLUMNS, checked, model_of, table

from fullbatch import DataError, LogisticRegression, SerialEngine, ThreadEngine, file_sources, load_model

TARGETS = ["label", "three", "tweedie"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows")
    table(900).to_parquet(path / "rows.parquet")
    return path


def sources(folder, target, **options):
    cut = options or {"block_rows": 130}
    return file_sources(folder / "rows.parquet", target=target, weight="weight", features=COLUMNS, **cut)


def told_on(folder, target, engine):
    model = model_of(target).set_params(engine="serial").fit(sources(folder, target))
    checks = model.set_params(engine=engine).checks(sources(folder, target))
    assert len(checks.compared.read) == 7
    told = json.dumps(checks.as_dict(COLUMNS)) + checks.summary()
    if target == "three":
        return told.encode()
    parts = [checks.quantile_residuals(), np.asarray(checks.residual_quantiles())]
    return told.encode() + b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


@pytest.fixture(scope="module", params=TARGETS)
def target_and_bytes(request, folder):
    return request.param, told_on(folder, request.param, SerialEngine())


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_same_bytes_on_threads(folder, target_and_bytes, threads):
    target, expected = target_and_bytes
    assert told_on(folder, target, ThreadEngine(threads)) == expected


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_same_bytes_on_clusters(folder, target_and_bytes, dask_client):
    from fullbatch import DaskEngine, RayEngine

    target, expected = target_and_bytes
    for make in (lambda: RayEngine(2), lambda: DaskEngine(dask_client)):
        engine = make()
        try:
            assert told_on(folder, target, engine) == expected
        finally:
            engine.close()


@pytest.mark.parametrize("target", TARGETS)
def test_rows_in_files_and_in_memory_agree(folder, target):
    model, here, *_ = checked(target, table(900))
    there = model.checks(sources(folder, target))
    one = model.checks(sources(folder, target, blocks=1))
    for mine, others, again in zip(here.measures.values(), there.measures.values(), one.measures.values(), strict=True):
        assert_allclose([others, again], mine, rtol=1e-12, atol=1e-14)
    label = "b" if target == "three" else None
    for column in COLUMNS:
        assert_allclose(there.by_column(column, label=label), here.by_column(column, label=label), rtol=1e-12)
    assert_allclose(there.vif(), here.vif(), rtol=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
def test_rows_that_are_alike_are_ties(sparse):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 37))[rng.integers(0, 60, 1003)]
    X = csr_array(X) if sparse else X
    y = rng.integers(0, 2, 1003)
    model = LogisticRegression().fit(X, y)
    assert len(model.checks(X, y).compared.scores[0].keys) == 60


def test_a_saved_model_is_checked_alike(tmp_path):
    frame = table()
    model, checks, *_ = checked("gamma", frame)
    model.save(tmp_path / "m.fb")
    again = load_model(tmp_path / "m.fb").checks(frame[COLUMNS], frame["gamma"], frame["weight"])
    assert again.summary(COLUMNS) == checks.summary(COLUMNS)


def test_blocks_in_which_nothing_counts(folder, tmp_path):
    frame = table(900)
    frame.loc[130:400, "weight"] = 0.0
    frame.to_parquet(tmp_path / "rows.parquet")
    model = model_of("tweedie").fit(frame[COLUMNS], frame["tweedie"], frame["weight"])
    here = model.checks(frame[COLUMNS], frame["tweedie"], frame["weight"])
    there = model.checks(sources(tmp_path, "tweedie"))
    assert_allclose(list(there.measures.values()), list(here.measures.values()), rtol=1e-12)
    assert_allclose(there.by_column("region"), here.by_column("region"), rtol=1e-12)
    assert_allclose(there.vif(), here.vif(), rtol=1e-12)
    assert_allclose(there.quantile_residuals(), here.quantile_residuals(), rtol=1e-9, atol=1e-12)


def test_offsets_count():
    frame = table()
    offset = np.linspace(-1, 1, len(frame))
    model = model_of("poisson").fit(frame[COLUMNS], frame["poisson"], offset=offset)
    checks = model.checks(frame[COLUMNS], frame["poisson"], offset=offset)
    assert_allclose(checks.measures["ratio"], 1.0, rtol=1e-6)
    mean = model.predict(frame[COLUMNS], offset=offset)
    assert_allclose(checks.calibration(1)["expected"], mean.mean(), rtol=1e-12)
    with pytest.raises(DataError, match="the model was fitted with an offset and there is none here"):
        model.checks(frame[COLUMNS], frame["poisson"])


# --- text, tables and plots -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["label", "three", "poisson", "squared"])
def test_a_summary_has_80_columns_and_json_all(target):
    _, checks, *_ = checked(target, table())
    lines = checks.summary(["age", "region"], bins=4).splitlines()
    assert max(map(len, lines)) == 80
    told = json.loads(json.dumps(checks.as_dict(["region"], bins=4), allow_nan=False))
    assert list(told) == ["measures", "weights", "notices", "by_class", "calibration", "lift", "by_column", "vif"]
    assert told["measures"] == checks.measures
    of_north = told["by_column"]["region"] if target != "three" else told["by_column"]["region"]["a"]
    assert of_north["name"] == ["east", "north", "south"]
    assert (told["by_class"] is None) == (target != "three")
    assert (told["lift"] is None) == (target == "squared")
    assert any(line.startswith(("north", "By region, class a")) for line in lines)


def test_tables_without_pandas_are_arrows(monkeypatch):
    _, checks, *_ = checked("label", table())
    expected = checks.summary(["region"])
    find = importlib.util.find_spec
    monkeypatch.setattr("fullbatch.inference.pandas_.find_spec", lambda name: None if name == "pandas" else find(name))
    assert isinstance(checks.by_column("region"), pa.Table)
    assert checks.by_column("region")["name"].to_pylist() == ["east", "north", "south"]
    assert checks.summary(["region"]) == expected


class Axes:
    """What is drawn."""

    def __init__(self):
        self.lines, self.said = [], {}

    def plot(self, x, y, **style):
        self.lines.append((np.asarray(x), np.asarray(y)))

    def set(self, **said):
        self.said |= said

    def legend(self):
        self.said["legend"] = True


@pytest.fixture
def pyplot(monkeypatch):
    """Subplots of a matplotlib that draws nothing."""
    package, module = ModuleType("matplotlib"), ModuleType("matplotlib.pyplot")

    def subplots(rows, columns, **options):
        axes = [Axes() for _ in range(columns)]
        return None, np.array(axes, object) if columns > 1 else axes[0]

    module.subplots = subplots
    monkeypatch.setitem(sys.modules, "matplotlib", package)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", module)


@pytest.mark.usefixtures("pyplot")
@pytest.mark.parametrize(
    ("target", "titles"),
    [
        ("label", ["calibration", "ROC", "precision and recall", "gain", "residuals"]),
        ("three", ["calibration", "ROC", "precision and recall", "gain"]),
        ("gamma", ["calibration", "gain", "Lorenz curve", "residuals"]),
        ("squared", ["calibration", "residuals"]),
    ],
)
def test_plots_draw_the_tables(target, titles):
    _, checks, *_ = checked(target, table())
    label = "a" if target == "three" else None
    drawn = checks.plot(label=label)
    assert [ax.said["title"] for ax in drawn] == titles
    calibration = checks.calibration(label=label)
    assert_allclose(drawn[0].lines[1], np.array(calibration[["expected", "actual"]]).T)
    for column, first in (("region", "east"), ("children", 0.0)):
        ax, table_ = checks.plot(column, label=label), checks.by_column(column, label=label)
        assert [len(x) for x, _ in ax.lines] == [len(table_)] * 2
        assert ax.lines[0][0][0] == first
        assert_allclose(ax.lines[1][1], table_["actual"])
    mine = Axes()
    assert checks.plot("gain" if target != "squared" else "residuals", mine, label=label) is mine
    assert len(mine.lines) == 2


def test_plots_that_cannot_be(monkeypatch):
    _, checks, *_ = checked("gamma", table())
    with pytest.raises(
        ValueError, match=r"which: 'weight' is none of calibration, roc, .*, and no column that was looked"
    ):
        checks.plot("weight")
    with pytest.raises(ValueError, match="ax is for one plot, there are 4: leave it out"):
        checks.plot(ax=Axes())
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ModuleNotFoundError, match="plots need matplotlib, which is not installed"):
        checks.plot("gain")
