"""Columns in the names of folders are columns like others."""

import gzip
import json
import pickle

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from fullbatch import DataError, LogisticRegression, csv_sources, file_sources, parquet_sources, table_sources
from fullbatch.cli.app import app

PLACES = ["n", "s/ü %=", "w", None]


def frame(rows=80):
    rng = np.random.default_rng(0)
    place = rng.permutation(np.resize(np.array(PLACES, object), rows))
    year = rng.permutation(np.resize([1999, 2020], rows))
    y = (rng.normal(size=rows) + (place == "n") > 0).astype(int)
    return pd.DataFrame({"a": rng.normal(size=rows), "y": y, "year": year, "place": place})


def write(table, folder, form="parquet", keys=("year", "place")):
    """As Arrow writes it; answers the rows in the order in which they are read."""
    table = pa.Table.from_pandas(table, preserve_index=False)
    schema = pa.schema([table.schema.field(key) for key in keys])
    ds.write_dataset(table, folder, format=form, partitioning=ds.partitioning(schema, flavor="hive"))
    read = [
        ds.dataset(path, format=form, partitioning=ds.HivePartitioning(schema), partition_base_dir=str(folder))
        for path in sorted(folder.rglob(f"*.{form}"))
    ]
    return pa.concat_tables(one.to_table() for one in read).to_pandas()


def theta(sources):
    model = LogisticRegression(engine="serial", tol=1e-6).fit(sources)
    return model.coef_.tobytes() + model.intercept_.tobytes(), model.classes_.tolist(), list(model.feature_names_in_)


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_features_categories_and_targets_are_those_of_the_table(tmp_path, form):
    table = write(frame(), tmp_path / "d", "csv" if form == "jsonl" else form)
    for path in (tmp_path / "d").rglob("*.csv") if form == "jsonl" else ():
        lines = map(json.dumps, pacsv.read_csv(path).to_pylist())
        path.with_suffix(".jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
        path.unlink()
    assert set(table["place"].dropna()) == {"n", "s/ü %=", "w"}
    for roles in (
        {"target": "y"},
        {"target": "y", "categorical": ["year"]},
        {"target": "year"},
        {"target": "place", "features": ["year", "a"]},
        {"target": "y", "weight": "year", "features": ["place"]},
        {"target": "y", "features": ["year", "place"]},  # nothing of the file but the target
        {"target": "year", "features": ["place"]},  # nothing of the file at all
    ):
        for missing in ({"place": "none"}, "drop"):
            used = [*roles.get("features", ["place"]), roles["target"]]
            missing = missing if "place" in used else "error"
            options = {**roles, "missing": missing, "blocks": 3}
            sources = pickle.loads(pickle.dumps(file_sources(tmp_path / "d", **options)))
            assert theta(sources) == theta(table_sources(table, **options)), options


def test_folders_that_count_are_those_below_what_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    above = tmp_path / "run=1"
    above.mkdir()
    write(frame(), above / "d")
    files = sorted(map(str, above.rglob("*.parquet")))
    columns = {
        ("a", "place", "y", "year"): [
            above / "d",
            f"{above}/d/*/*/*.parquet",
            "run=1/d/**/*.parquet",
            files,
            [above / "d" / "year=1999", above / "d" / "year=2020"],
        ],
        ("a", "place", "y"): [
            f"{above}/d/year=1999",
            f"{above}/d/year=1999/*/*.parquet",
            f"{above}/d/year=1999/place=[nw]/*.parquet",
            [file for file in files if "1999" in file],
        ],
        ("a", "y"): [files[0], [files[0]], f"{above}/d/year=1999/place=n/*.parquet"],
        ("a", "place", "run", "y", "year"): [tmp_path, "run=*/**/*.parquet"],
    }
    for names, given in columns.items():
        for paths in given:
            found = parquet_sources(paths)[0].columns.features
            assert tuple(sorted(found)) == names, paths
    with pytest.raises(
        DataError,
        match=r"there is no column 'year' below .*/d/year=1999: a folder such as year=1999 counts where it is below "
        r"what is given\. Give .*run=1/d, or the glob .*run=1/d/year=\[1\]999/\*\*/\*\.parquet",
    ):
        parquet_sources(above / "d" / "year=1999", target="y", features=["a", "year"])
    (source,) = parquet_sources(f"{above}/d/year=[1]999/**/*.parquet", target="y", features=["year"])
    assert set(source.read().X.ravel()) == {1999}


def test_values_are_whole_numbers_in_all_files_or_text(tmp_path):
    for values, expected in (
        (["1", "02", "-3"], [1, 2, -3]),
        (["1", "x"], ["1", "x"]),
        (["1", "1.5"], ["1", "1.5"]),
        (["1", str(2**63)], ["1", str(2**63)]),
        (["1", ""], ["1", ""]),
        ([str(2**63 - 1), str(2**53 + 1)], [2**63 - 1, 2**53 + 1]),
    ):
        folder = tmp_path / repr(values)
        for number, value in enumerate(values):
            (folder / f"{number}" / f"g={value}").mkdir(parents=True)
            pq.write_table(pa.table({"a": [1.0 * number]}), folder / f"{number}" / f"g={value}" / "0.parquet")
        read = [source.read() for source in parquet_sources(folder, target="g", block_rows=1)]
        assert np.concatenate([rows.y for rows in read]).tolist() == expected
    folder = tmp_path / repr(["1", "02", "-3"]) / "3" / "g=__HIVE_DEFAULT_PARTITION__"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"a": [9.0]}), folder / "0.parquet")
    read = parquet_sources(tmp_path / repr(["1", "02", "-3"]), missing={"g": 7}, blocks=1)[0].read()
    assert read.X.tolist() == [[0, 1], [1, 2], [2, -3], [9, 7]]
    (folder / "0.parquet").unlink()
    texts = parquet_sources(tmp_path / repr(["1", "02", "-3"]), features=["g"], types={"g": "string"}, blocks=1)
    category = texts[0].read().categories[0]
    assert category.levels[category.codes].tolist() == ["1", "02", "-3"]
    with pytest.raises(DataError, match=r"0\.parquet: the name of the folder g=x is not of type int64"):
        parquet_sources(tmp_path / repr(["1", "x"]), types={"g": "int64"})
    with pytest.raises(DataError, match=r"0\.parquet: types has 'a', which no folder is named by: such files know"):
        parquet_sources(tmp_path / repr(["1", "x"]), types={"a": "int64"})


def test_a_column_that_stands_in_the_files_too_must_be_the_same(tmp_path):
    (tmp_path / "g=01").mkdir()
    (tmp_path / "g=2").mkdir()
    for form, write_table in (("parquet", pq.write_table), ("csv", lambda t, p: t.to_pandas().to_csv(p, index=False))):
        for column, is_same in (
            ([1, 1, 1], True),
            ([1.0, 1.0, 1.0], True),
            (["01", "01", "01"], form == "parquet"),  # numbers in one file and text in the other
            ([1, 1, 3], False),
            ([1, None, 1], False),
            ([3, 1, 1], False),
        ):
            other = ["2"] if isinstance(column[0], str) else [2]
            write_table(pa.table({"g": column, "y": [0, 1, 0]}), tmp_path / "g=01" / f"0.{form}")
            write_table(pa.table({"g": other, "y": [1]}), tmp_path / "g=2" / f"0.{form}")
            if is_same:
                rows = file_sources(f"{tmp_path}/*/*.{form}", target="g", blocks=1)[0].read()
                assert rows.names == ("y",)
                assert rows.y.tolist() == column + other
            elif not isinstance(column[0], str):
                with pytest.raises(
                    DataError,
                    match=rf"g=01/0\.{form}: row [012], column 'g' is .*, but the name of the folder says g=01",
                ):
                    file_sources(f"{tmp_path}/*/*.{form}", target="g", blocks=1)[0].read()
                assert file_sources(f"{tmp_path}/*/*.{form}", exclude=["g"])[0].columns.features == ("y",)


def test_names_that_cannot_be(tmp_path):
    for number, (folder, message) in enumerate(
        [
            ("g=1/g=2", r"0\.parquet: two of its folders are named g=\.\.\.: rename one of them"),
            ("g=%ff", r"0\.parquet: the name of the folder 'g=%ff' is no UTF-8 text: rename it"),
            ("h", r"h/0\.parquet: there is no column 'g', which .*g=1/0\.parquet has"),
        ]
    ):
        for inside in (folder, "g=1"):
            path = tmp_path / f"{number}" / inside
            path.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"a": [1.0]}), path / "0.parquet")
        with pytest.raises(DataError, match=message):
            parquet_sources(tmp_path / f"{number}")
    (tmp_path / "2" / "h" / "0.parquet").unlink()
    (tmp_path / "2" / "_g=1" / "=2" / "x=").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "2" / "_g=1" / "=2" / "x=" / "f=1.parquet")
    assert parquet_sources(tmp_path / "2" / "_g*" / "**")[0].columns.features == ("a", "_g", "x")
    with pytest.raises(DataError, match=r"(_g|x|g)=1?.*: there is no column '(_g|x|g)'"):
        parquet_sources(tmp_path / "2")


def test_tables_of_which_not_every_file_counts_are_refused(tmp_path):
    for number, (inside, kind) in enumerate(
        [
            ("_delta_log/0.json", "Delta"),
            ("data/metadata/v1.metadata.json", "Iceberg"),
            (".hoodie/hoodie.properties", "Hudi"),
        ]
    ):
        (tmp_path / f"{number}" / inside).parent.mkdir(parents=True)
        (tmp_path / f"{number}" / inside).write_text("{}")
        pq.write_table(pa.table({"a": [1.0]}), tmp_path / f"{number}" / "0.parquet")
        with pytest.raises(DataError, match=rf"{number} is a table of {kind}, where not every file counts: give the"):
            file_sources(tmp_path / f"{number}")
        assert len(file_sources(tmp_path / f"{number}" / "*.parquet")) == 1


def test_urls(tmp_path):
    table = write(frame(), tmp_path / "d")
    system = fsspec.filesystem("memory")
    system.put(str(tmp_path / "d"), "/hive=1/d", recursive=True)
    try:
        for given in ("memory://hive=1/d", "memory://hive=1/d/**/*.parquet"):
            options = {"target": "y", "missing": {"place": "none"}, "blocks": 3}
            assert theta(parquet_sources(given, **options)) == theta(table_sources(table, **options))
        assert parquet_sources("memory://hive=1/d/year=1999/place=n/part-0.parquet")[0].columns.features == ("a", "y")
    finally:
        system.rm("/hive=1", recursive=True)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_on_the_command_line(tmp_path, form, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = frame().assign(place=lambda t: t["place"].fillna("7"))  # text that looks like a number
    write(table, tmp_path / "d", form)
    app(["fit", "d", "--target", "y", "--save", "m.fb", "--quiet", "--engine", "serial"], standalone_mode=False)
    for given in ("d", "d/year=*/place=[7]/*"):
        app(["predict", "m.fb", given, "--output", "p.csv", "--engine", "serial"], standalone_mode=False)
        rows = len(table) if given == "d" else (table["place"] == "7").sum()
        assert len(pd.read_csv("p.csv")) == rows
    with pytest.raises(DataError, match=r"no column 'year' below .*place=7: .* glob .*year=\[1\]999/place=7/\*\*/\*\."):
        app(["predict", "m.fb", "d/year=1999/place=7", "--output", "p.csv"], standalone_mode=False)
    app(["fit", "d", "--target", "place", "--exclude", "y", "--quiet", "--engine", "serial"], standalone_mode=False)
    assert "converged" in capsys.readouterr().out


def test_partitions_are_named_in_messages_of_csv_types(tmp_path):
    (tmp_path / "g=1").mkdir()
    (tmp_path / "g=1" / "a.csv").write_text("a\n1\n")
    rows = csv_sources(tmp_path, types={"g": "string"}, blocks=1)[0].read()
    assert rows.categories[0].levels.tolist() == ["1"]
    with pytest.raises(DataError, match=r"a\.csv: there is no column 'b', for which a type is told: it has 'a', 'g'"):
        csv_sources(tmp_path, types={"b": "string"})
