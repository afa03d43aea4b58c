from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import table, write_parquet_directory

from fullbatch import DataError, Linear, LogisticRegression, SerialEngine, ThreadEngine, parquet_sources
from fullbatch.data import parquet, parts
from fullbatch.data.around import Around


def test_rows_come_in_order_whatever_the_row_groups(tmp_path):
    frame = table(300).assign(number=np.arange(300.0))
    path = write_parquet_directory(frame, tmp_path / "d", files=7, row_group_size=13)
    for block_rows in (1, 50, 300):
        sources = parquet_sources(path, target="y", features=["number"], block_rows=block_rows)
        assert np.concatenate([source.read().X[:, 0] for source in sources]).tolist() == list(range(300))


def test_only_the_columns_that_are_used_are_read(tmp_path, monkeypatch):
    asked = []
    original = parquet._read_group
    monkeypatch.setattr(
        parquet, "_read_group", lambda path, group, names: asked.append(names) or original(path, group, names)
    )
    table().to_parquet(tmp_path / "t.parquet")
    (rows,) = [source.read() for source in parquet_sources(tmp_path / "t.parquet", target="y", features=["c", "a"])]
    assert rows.names == ("c", "a")
    assert asked == [["c", "a", "y"]]


def test_a_row_group_is_decoded_once_for_all_of_its_blocks_and_then_dropped(tmp_path, monkeypatch):
    count = []
    original = parquet._read_group
    monkeypatch.setattr(parquet, "_read_group", lambda *which: count.append(which) or original(*which))
    table(1000).to_parquet(tmp_path / "t.parquet", row_group_size=500)
    sources = parquet_sources(tmp_path / "t.parquet", target="y", block_rows=10)
    ThreadEngine(2).place(Linear("logistic"), sources).close()
    assert len(count) == 2
    assert not sources[0].shared._kept
    model = LogisticRegression(engine=SerialEngine()).fit(sources)
    count.clear()
    assert len(model.predict(sources)) == 1000
    assert len(count) == 2
    assert not sources[0].shared._kept


def test_parts_are_dropped_once_their_rows_were_read(tmp_path, monkeypatch):
    table(100).to_parquet(tmp_path / "t.parquet", row_group_size=10)
    sources = parquet_sources(tmp_path / "t.parquet", target="y", block_rows=5)
    shared = sources[0].shared
    for number, source in enumerate(sources[:6]):
        source.read()
        assert len(shared._kept) == 1 - number % 2  # until the second half was read
    monkeypatch.setattr(parts, "_KEPT", 3)
    for source in sources[6::2]:  # never the second half
        source.read()
        assert len(shared._kept) <= 3
    assert list(shared._kept) == [7, 8, 9]
    shared.release()
    assert not shared._kept


def test_hidden_files_of_a_directory_are_left_out(tmp_path):
    path = write_parquet_directory(table(), tmp_path / "d", files=2)
    (path / "_SUCCESS").write_text("")
    (path / ".part-0.parquet.crc").write_text("")
    (path / "deeper").mkdir()
    table(10).to_parquet(path / "deeper" / "more.parquet")
    assert sum(len(source.read().y) for source in parquet_sources(path, target="y")) == 210


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_a_truncated_file_is_told(tmp_path, cut):
    table().to_parquet(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[:cut])
    with pytest.raises(DataError, match=r"cut\.parquet is not a whole Parquet file: .*write it again"):
        parquet_sources([tmp_path / "whole.parquet", tmp_path / "cut.parquet"], target="y")


def test_a_damaged_row_group_is_told(tmp_path):
    path = tmp_path / "t.parquet"
    table(5000).to_parquet(path, row_group_size=1000)
    content = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(2).column(0).dictionary_page_offset or 0
    start = start or pq.read_metadata(path).row_group(2).column(0).data_page_offset
    content[start : start + 400] = b"\xff" * 400
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet: row group 2 cannot be read: .*write it again"):
        ThreadEngine().place(Linear("logistic"), parquet_sources(path, target="y"))


def test_files_whose_columns_disagree(tmp_path):
    frame = pd.DataFrame({"a": [1.0], "b": [2.0], "y": [0]})
    frame.to_parquet(tmp_path / "1.parquet")
    frame.rename(columns={"b": "c"}).to_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet: there is no column 'b', which .*1\.parquet has"):
        parquet_sources(tmp_path, target="y")
    frame.astype({"b": str}).to_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet: column 'b' is (large_)?string, in .*1\.parquet it is double"):
        parquet_sources(tmp_path, target="y")
    frame.astype({"b": "int32"}).to_parquet(tmp_path / "2.parquet")  # numbers either way
    assert parquet_sources(tmp_path, target="y", blocks=1)[0].read().X.tolist() == [[1, 2], [1, 2]]


def test_a_missing_value_is_told_with_its_row_in_its_file(tmp_path):
    frame = table(100)
    write_parquet_directory(frame, tmp_path / "d", files=4, row_group_size=10)
    frame.iloc[50:75].assign(c=[np.nan if row == 17 else 0.0 for row in range(25)]).to_parquet(
        tmp_path / "d" / "part-2.parquet"
    )
    with pytest.raises(DataError, match=r"part-2\.parquet: row 17, column 'c': the value is missing"):
        LogisticRegression().fit(parquet_sources(tmp_path / "d", target="y", block_rows=30))


def test_dictionaries_and_nulls(tmp_path):
    region = pa.array(["n", None, "s", "n"]).dictionary_encode()
    pq.write_table(pa.table({"region": region, "y": [0, 1, 1, 0]}), tmp_path / "t.parquet")
    (source,) = parquet_sources(tmp_path / "t.parquet", target="y", missing={"region": "?"})
    rows = source.read()
    assert rows.categories[0].levels[rows.categories[0].codes].tolist() == ["n", "?", "s", "n"]


def test_the_precision_is_that_of_all_files(tmp_path):
    small = pa.table({"a": pa.array([1, 2], pa.uint8()), "b": [True, False], "y": [0, 1]})
    large = pa.table({"a": [300, -1], "b": [0.5, 1.5], "y": [0, 1]})
    for order in ((small, large), (large, small)):
        for number, part in enumerate(order):
            pq.write_table(part, tmp_path / f"{number}.parquet")
        rows = parquet_sources(tmp_path, target="y", blocks=1)[0].read()
        assert rows.X.dtype == np.float64
        assert sorted(rows.X[:, 0]) == [-1, 1, 2, 300]
        assert sorted(rows.X[:, 1]) == [0, 0.5, 1, 1.5]


def test_a_file_without_any_value_in_a_text_column(tmp_path):
    empty = pa.table({"r": pa.nulls(2), "y": [0, 1]})
    full = pa.table({"r": ["n", "s"], "y": [0, 1]})
    for order in ((empty, full), (full, empty)):
        for number, part in enumerate(order):
            pq.write_table(part, tmp_path / f"{number}.parquet")
        rows = parquet_sources(tmp_path, target="y", missing={"r": "none"}, blocks=1)[0].read()
        assert rows.categories[0].levels.tolist() == ["n", "none", "s"]


def test_the_index_that_pandas_kept_is_no_feature(tmp_path):
    table(50).sample(frac=1, random_state=0).to_parquet(tmp_path / "t.parquet")
    assert parquet_sources(tmp_path, target="y")[0].columns.features == ("a", "b", "c", "d")
    named = parquet_sources(tmp_path, target="y", features=["a", "__index_level_0__"])[0]
    assert named.columns.features == ("a", "__index_level_0__")


def test_more_blocks_than_rows(tmp_path):
    table(5).to_parquet(tmp_path / "t.parquet")
    assert [len(source.read().y) for source in parquet_sources(tmp_path, target="y", blocks=9)] == [1] * 5


def test_a_row_is_located_in_its_file(tmp_path):
    write_parquet_directory(table(20), tmp_path / "d", files=4, row_group_size=3)
    source = parquet_sources(tmp_path / "d", target="y", blocks=1)[0]
    assert source.locate(12).endswith("part-2.parquet: row 2")
    assert source.locate(0).endswith("part-0.parquet: row 0")
    assert source.locate(19).endswith("part-3.parquet: row 4")
    around = Around(source)
    assert around.locate(19) == source.locate(19)
    assert str(around) == str(source)
    assert not hasattr(Around(SimpleNamespace()), "stored")  # which only some have
    assert Around(SimpleNamespace(stored=["ref"])).stored == ["ref"]


def test_a_file_of_which_nothing_is_read_has_a_size():
    nothing = parquet._Nothing(100)
    assert nothing.seekable()
    assert nothing.readable()
    assert [nothing.seek(0, 2), nothing.seek(7), nothing.seek(3, 1), nothing.tell()] == [100, 7, 10, 10]
    with pytest.raises(OSError, match="nothing is read here"):
        nothing.read()
