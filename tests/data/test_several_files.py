"""Files that together are one table: the outcome does not depend on which of them comes first."""

import decimal
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullbatch import DataError, LogisticRegression, csv_sources, parquet_sources, table_sources

FULL = pd.DataFrame({"a": np.arange(40) % 5, "b": np.arange(40) % 3 / 2, "y": np.arange(40) % 2})


def write_csv(columns, path):
    names = [name for name, _ in columns]
    rows = zip(*(values for _, values in columns), strict=True)
    text = ",".join(names) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    path.with_suffix(".csv").write_text(text if names else "")
    return path.with_suffix(".csv")


def write_parquet(columns, path):
    table = pa.table([pa.array(list(values)) for _, values in columns], names=[name for name, _ in columns])
    pq.write_table(table, path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


FORMATS = {"csv": (write_csv, csv_sources), "parquet": (write_parquet, parquet_sources)}


def columns_of(frame, names=None):
    return [(name, frame[name].tolist()) for name in (names or frame.columns)]


@pytest.fixture(params=FORMATS)
def files(request, tmp_path):
    """A function that writes tables as files, and one that makes sources of them."""
    write, sources = FORMATS[request.param]
    return (lambda tables: [write(table, tmp_path / str(n)) for n, table in enumerate(tables)]), sources


EMPTY = {
    "no columns": [],
    "fewer columns": [("a", []), ("y", [])],
    "others": [("c", [])],
    "the same": [("a", []), ("b", []), ("y", [])],
    "another order": [("y", []), ("b", []), ("a", [])],
    "twice": [("a", []), ("a", []), ("y", [])],
}


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_files_without_rows_add_nothing_and_decide_nothing(files, empty, place):
    write, sources = files
    halves = [columns_of(FULL[:20]), columns_of(FULL[20:], ["y", "b", "a"])]
    halves.insert(place, EMPTY[empty])
    rows = [source.read() for source in sources(write(halves), target="y", blocks=3)]
    assert rows[0].names == ("a", "b")
    assert np.concatenate([part.X for part in rows]).tobytes() == FULL[["a", "b"]].to_numpy().tobytes()
    with pytest.raises(DataError, match="no rows: "):
        sources(write([EMPTY[empty], EMPTY[empty]]), target="y")


def test_texts_of_a_parquet_file_without_rows_do_not_count(tmp_path):
    FULL.iloc[:0].astype("string").to_parquet(tmp_path / "0.parquet")
    FULL.to_parquet(tmp_path / "1.parquet")
    (source,) = parquet_sources(tmp_path, target="y")
    assert source.read().X.tobytes() == FULL[["a", "b"]].to_numpy().tobytes()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_column_that_some_files_lack_is_told_with_both_files(files, order):
    write, sources = files
    tables = [columns_of(FULL), columns_of(FULL), columns_of(FULL, ["a", "y"])]
    written = write([tables[n] for n in order])
    lacks, has = written[order.index(2)], written[min(order.index(0), order.index(1))]
    with pytest.raises(DataError, match=f"{lacks}: there is no column 'b', which {has} has"):
        sources(written, target="y")
    for told in ({"features": ["a"]}, {"exclude": ["b"]}):  # what is not used may be lacking
        assert sum(source.read().X.size for source in sources(written, target="y", **told)) == 120


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("twice", ["a", "y"])
def test_a_name_that_stands_twice_is_told_wherever_the_file_stands(files, order, twice):
    write, sources = files
    repeated = [*columns_of(FULL), (twice, [9] * 40)]
    written = write([[columns_of(FULL), columns_of(FULL), repeated][n] for n in order])
    with pytest.raises(DataError, match=f"{written[order.index(2)]}: two columns are named '{twice}'"):
        sources(written, target="y")
    if twice == "a":
        read = [source.read() for source in sources(written, target="y", features=["b"])]
        assert sum(rows.X.size for rows in read) == 120


@pytest.mark.parametrize("index", [range(40), np.arange(40) * 0.5, [f"row {k}" for k in range(40)]], ids=["", "f", "s"])
def test_an_index_that_pandas_wrote_without_a_name_is_no_feature(tmp_path, index):
    FULL.set_index(pd.Index(index)).to_csv(tmp_path / "t.csv")
    for told in ({}, {"exclude": [""]}, {"features": ["a", "b"]}):
        (source,) = csv_sources(tmp_path / "t.csv", target="y", **told)
        assert source.read().X.tobytes() == FULL[["a", "b"]].to_numpy().tobytes()
    (tmp_path / "t.csv").write_text("a,,y\n" + "".join(f"{k},{k},{k % 2}\n" for k in range(9)))
    with pytest.raises(DataError, match=r"t\.csv: column 1 has no name: name it, or leave it out with exclude"):
        csv_sources(tmp_path / "t.csv", target="y")
    (source,) = csv_sources(tmp_path / "t.csv", target="y", exclude=[""])
    assert source.read().names == ("a",)


FILLS = [
    ([True, False], value, float(truth))
    for truth, values in ((True, [True, 1, 1.0, "true", "True"]), (False, [False, 0, "false"]))
    for value in values
]
FILLS += [([decimal.Decimal("1.25"), decimal.Decimal("2.5")], value, float(value)) for value in (0, 0.5, 3, 1e6)]
FILLS += [([1, 2], value, float(value)) for value in (0, 0.5, True)]
FILLS += [([1.5, 2.5], value, float(value)) for value in (0, 0.25)]


@pytest.mark.parametrize(("values", "fill", "stored"), FILLS, ids=str)
def test_what_stands_for_a_missing_value_is_read_as_the_column_is(values, fill, stored):
    table = pa.table({"x": pa.array([*values, None] * 10), "y": [0, 1, 1] * 10})
    (source,) = table_sources(table, target="y", missing={"x": fill}, blocks=1)
    assert source.read().X[:, 0].tolist() == [*map(float, values), stored] * 10


@pytest.mark.parametrize("fill", [2, "yes"])
def test_a_boolean_is_not_filled_with_another_value(fill):
    table = pa.table({"x": [True, None], "y": [0, 1]})
    with pytest.raises(DataError, match=r"column 'x' is bool, which .* is not"):
        table_sources(table, target="y", missing={"x": fill})[0].read()


@pytest.mark.parametrize("levels", [[0, 1, 2, 3], [2**53, 2**53 + 1, 2**53 + 2, 0]])
@pytest.mark.parametrize("first", [True, False])
def test_levels_that_one_file_lacks_are_filled_with_a_number(tmp_path, levels, first):
    tables = [pa.table({"k": pa.nulls(20), "y": [0, 1] * 10}), pa.table({"k": levels * 5, "y": [0, 1] * 10})]
    for number, table in enumerate(tables if first else tables[::-1]):
        pq.write_table(table, tmp_path / f"{number}.parquet")
    told = {"target": "y", "categorical": ["k"], "missing": {"k": levels[1]}}
    model = LogisticRegression(engine="serial").fit(parquet_sources(tmp_path, **told))
    assert model.features_.levels[0].tolist() == sorted(levels)
