"""Arrow files (Feather) and ORC files, beyond what `test_formats.py` and the fuzzer see."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import orc
from tables import table

from fullbatch import DataError, Linear, LogisticRegression, ThreadEngine, file_sources, table_sources
from fullbatch.cli.app import app
from fullbatch.data import ipc
from fullbatch.data.orc import Stripe, _fields


def write_arrow(data, path, rows=25, **options):
    with pa.ipc.new_file(path, data.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        file.write_table(data, rows)


def write_orc(data, path, rows=25):
    orc.write_table(data, path, stripe_size=64, batch_size=rows)


WRITERS = {"arrow": write_arrow, "orc": write_orc}


@pytest.fixture(params=WRITERS)
def form(request):
    return request.param


def test_parts_are_decoded_once_and_only_their_columns(tmp_path, form, monkeypatch):
    asked = []
    of = {"arrow": ipc.RecordBatch, "orc": Stripe}[form]
    decode = of.decode

    def spy(part, names):
        decoded = decode(part, names)
        asked.append((part.number, part.rows, decoded.num_rows, sorted(decoded.column_names)))
        return decoded

    monkeypatch.setattr(of, "decode", spy)
    frame = table(100)
    WRITERS[form](pa.Table.from_pandas(frame), tmp_path / f"t.{form}")
    sources = file_sources(tmp_path / f"t.{form}", target="y", features=["c", "a"], block_rows=10)
    ThreadEngine(2).place(Linear("logistic"), sources).close()
    assert sorted(asked) == [(number, 25, 25, ["a", "c", "y"]) for number in range(4)]
    assert not sources[0].shared._kept
    assert np.array_equal(np.concatenate([one.read().X for one in sources]), frame[["c", "a"]].to_numpy())
    assert sources[3].locate(4).endswith(f"t.{form}: row 34")


def test_what_is_kept_while_arrow_is_read_is_two_batches_in_whole_bytes(tmp_path):
    write_arrow(pa.table({"a": [True, False, True], "b": [1.0, 2.0, 3.0], "y": [0.0, 1.0, 0.0]}), tmp_path / "t.arrow")
    (source,) = file_sources(tmp_path / "t.arrow", target="y", blocks=1)
    assert source.size.shared == 2 * (3 * (1 + 64 + 64) // 8)


def test_columns_of_every_kind_are_those_of_the_table(tmp_path, form):
    data = pa.table(
        {
            "y": [1, 2, 3, 1] * 15,
            "i8": pa.array(np.arange(60), pa.int8()),
            "f4": pa.array(np.arange(60) / 3, pa.float32()),
            "flag": [True, None, False] * 20,
            "text": ["n", "", None, "süd"] * 15,
            "decimal": pa.array([None, *range(59)], pa.decimal128(12, 2)),
            "nothing": pa.array([None] * 59 + [1.0]),
        }
    )
    if form == "arrow":
        data = data.append_column("level", pa.array(["a", "b", None] * 20).dictionary_encode())
        data = data.append_column("view", pa.array(["a", "b", "c"] * 20, pa.string_view()))
    WRITERS[form](data, tmp_path / f"t.{form}")
    fill = {"flag": True, "text": "none", "decimal": 0.5, "nothing": -1, "level": "none"}
    for options in (
        {"missing": {name: value for name, value in fill.items() if name in data.column_names}},
        {"missing": "drop"},
        {"categorical": ["i8"], "exclude": ["text", "flag", "level", "decimal"], "missing": {"nothing": 0}},
    ):
        options["exclude"] = [name for name in options.get("exclude", []) if name in data.column_names]
        mine = file_sources(tmp_path / f"t.{form}", target="y", blocks=1, **options)[0].read()
        rows = table_sources(data, target="y", blocks=1, **options)[0].read()
        assert mine.names == rows.names
        assert mine.X.dtype == rows.X.dtype
        assert mine.X.tobytes() == rows.X.tobytes()
        assert mine.y.tobytes() == rows.y.tobytes()
        assert len(mine.categories) == len(rows.categories) > 0
        for one, other in zip(mine.categories, rows.categories, strict=True):
            assert one.levels[one.codes].tolist() == other.levels[other.codes].tolist()


def test_names_with_points(tmp_path, form):
    data = pa.table({"a": [1.0, 2.0], "a.b": [3.0, 4.0], "b": [5.0, 6.0]})
    WRITERS[form](data, tmp_path / f"t.{form}")
    for features in (["a"], ["a.b"], ["b", "a.b"]):
        rows = file_sources(tmp_path / f"t.{form}", features=features, blocks=1)[0].read()
        assert rows.X.tolist() == data.select(features).to_pandas().to_numpy().tolist()


def test_several_files(tmp_path, form):
    write = WRITERS[form]
    write(pa.table({"a": [1.0], "b": ["x"], "y": [0]}), tmp_path / f"0.{form}")
    write(pa.table({"y": pa.array([], pa.string())}), tmp_path / f"1.{form}")  # decides nothing
    write(pa.table({"y": [1], "a": [2]}), tmp_path / f"2.{form}")
    with pytest.raises(DataError, match=rf"2\.{form}: there is no column 'b', which .*0\.{form} has"):
        file_sources(tmp_path, target="y")
    rows = file_sources(tmp_path, target="y", features=["a"], blocks=1)[0].read()
    assert (rows.X.tolist(), rows.y.tolist()) == ([[1], [2]], [0, 1])
    with pytest.raises(DataError, match=rf"no rows: .*1\.{form} is empty"):
        file_sources(tmp_path / f"1.{form}", target="y")
    (tmp_path / f"2.{form}").write_bytes((tmp_path / f"2.{form}").read_bytes()[:-30])
    with pytest.raises(DataError, match=rf"2\.{form} is not a whole (Arrow|ORC) file: .*: write it again"):
        file_sources(tmp_path, target="y")


def test_a_file_that_changed_is_told(tmp_path, form):
    data = pa.Table.from_pandas(table(60))
    WRITERS[form](data, tmp_path / f"t.{form}")
    sources = file_sources(tmp_path / f"t.{form}", target="y", blocks=1)
    WRITERS[form](data.slice(0, 40), tmp_path / f"t.{form}")
    with pytest.raises(DataError, match=rf"t\.{form} has become shorter since its rows were counted|cannot be read"):
        sources[0].read()


def test_on_the_command_line(tmp_path, form, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = table(80)
    WRITERS[form](pa.Table.from_pandas(frame), f"t.{form}")
    WRITERS[form](pa.Table.from_pandas(frame[["d", "c", "b", "a"]]), "unnamed")
    for model, data in ((["m.fb"], [f"t.{form}"]), (["told.fb"], [f"t.{form}", "--format", form])):
        app(["fit", *data, "--target", "y", "--save", *model, "--quiet"], standalone_mode=False)
        app(["evaluate", *model, *data, "--target", "y"], standalone_mode=False)
        assert "accuracy" in capsys.readouterr().out
    app(["predict", "m.fb", "unnamed", "--output", "p.csv"], standalone_mode=False)
    model = LogisticRegression().fit(frame.drop(columns="y"), frame["y"])
    assert pd.read_csv("p.csv")["prediction"].tolist() == model.predict(frame.drop(columns="y")).tolist()
    np.savez("t.npz", X=frame.drop(columns="y").to_numpy(), label=frame["y"].to_numpy())
    app(["fit", "t.npz", "--target", "label", "--save", "n.fb", "--quiet"], standalone_mode=False)
    app(["predict", "n.fb", "t.npz", "--output", "n.csv"], standalone_mode=False)
    assert pd.read_csv("n.csv").equals(pd.read_csv("p.csv"))


def test_kinds_of_arrow_files_that_are_not_read_say_what_to_do(tmp_path):
    data = pa.table({"a": [1.0], "y": [0]})
    for name in ("t.arrow", "t", "t.parquet"):
        with pa.ipc.new_stream(tmp_path / name, data.schema) as stream:
            stream.write_table(data)
        with pytest.raises(DataError, match=r"t[^ ]* is an Arrow stream, .* write it as an Arrow file or as Parquet"):
            file_sources(tmp_path / name, target="y")
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(100) + b"FEA1")
    with pytest.raises(DataError, match=r"old\.feather is a file of Feather's first version: write it again with"):
        file_sources(tmp_path / "old.feather", target="y")


def test_more_rows_than_values_are_refused(tmp_path):
    file = io.BytesIO()
    write_arrow(pa.table({"a": np.arange(77_777.0)}), file, 77_777)
    content = file.getvalue()
    assert content.count((77_777).to_bytes(8, "little")) == 2  # of the batch and of its column
    (tmp_path / "t.arrow").write_bytes(content.replace((77_777).to_bytes(8, "little"), (2**40).to_bytes(8, "little")))
    with pytest.raises(DataError, match=r"t\.arrow is not a whole Arrow file: .*write it again"):
        file_sources(tmp_path / "t.arrow")
    write_arrow(pa.table({"a": [1.0]}), tmp_path / "u.arrow")
    with pytest.raises(DataError, match=r"types has 'a', which no folder is named by"):
        file_sources(tmp_path / "u.arrow", types={"a": "string"})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.StringArray.from_buffers(2, pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff")), "UTF8"),
        (pa.DictionaryArray.from_arrays(pa.array([0, 5]), pa.array(["a"]), safe=False), "out of bounds"),
    ],
    ids=["text that is none", "a code without a text"],
)
def test_values_that_cannot_be_are_told(tmp_path, column, message):
    write_arrow(pa.table({"a": column, "y": [0, 1]}), tmp_path / "t.arrow")
    (source,) = file_sources(tmp_path / "t.arrow", target="y", blocks=1)
    with pytest.raises(DataError, match=rf"t\.arrow: record batch 0 cannot be read: .*{message}.*: write it again"):
        source.read()


def test_a_damaged_stripe_is_told(tmp_path):
    path = tmp_path / "t.orc"
    orc.write_table(pa.Table.from_pandas(table(60)), path, compression="zlib")
    sources = file_sources(path, target="y", blocks=1)
    content = bytearray(path.read_bytes())
    content[3:700] = bytes(697)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.orc: stripe 0 cannot be read: .*: write it again"):
        sources[0].read()


def test_fields_that_an_orc_footer_does_not_need_are_passed_over():
    """As Protocol Buffers have them: 64 and 32 bits among whole numbers and bytes."""
    message = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1d" + bytes(4) + b"\x22\x02ab"
    assert list(_fields(message)) == [(1, 150), (4, b"ab")]
