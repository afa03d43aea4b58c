"""What is wrong with a table is told at once, by its first bad row, with an option that the caller has."""

import datetime
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fullbatch import DataError, LogisticRegression, file_sources, table_sources
from fullbatch.cli._screen import in_options

N = 120
FRAME = pd.DataFrame(
    {"x": np.arange(N) * 1.0, "z": np.arange(N) * 2.0, "t": np.resize(["u", "v"], N), "y": np.resize([0, 1, 1], N)}
)


def learnt(*data):
    return LogisticRegression(engine="serial", max_iter=1, tol=1.0).fit(*data)


def told(frame, tmp_path, csv=True):
    """What is said of a frame from each door, and how the caller of it asks for an option."""
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    through = "table_sources(X, ..., {})"
    doors = [
        (lambda: learnt(frame, "y"), through),
        (lambda: learnt(frame.drop(columns="y"), frame["y"]), through),
        (lambda: learnt(pl.from_pandas(frame), "y"), through),
        (lambda: learnt(pa.Table.from_pandas(frame), "y"), through),
        (lambda: learnt(table_sources(frame, target="y")), "{}"),
        (lambda: learnt(file_sources(tmp_path / "t.parquet", target="y")), "{}"),
    ]
    if csv:
        doors.append((lambda: learnt(file_sources(tmp_path / "t.csv", target="y")), "{}"))
    for ask, option in doors:
        with pytest.raises(DataError, match="column '") as error:
            ask()
        yield str(error.value), option


def test_all_columns_that_cannot_be_features_are_told_at_once(tmp_path):
    dates = FRAME.assign(day=datetime.date(2024, 1, 31), when=pd.Timestamp("2024-01-31 12:00"))
    for message, option in told(dates, tmp_path, csv=False):
        assert "column 'day' is date32[day], column 'when' is timestamp[" in message
        assert "Leave them out with " + option.format("exclude=['day', 'when']") in message
        assert "--exclude day,when" in in_options(message)
    with pytest.raises(
        DataError, match=r"row 0, column 'day': '2024-01-31' looks like a date or time.*Look at 'when' too"
    ):
        file_sources(tmp_path / "t.csv", target="y")
    assert len(file_sources(tmp_path / "t.csv", target="y", exclude=["day", "when"])) == 1
    with pytest.raises(DataError, match="there are no columns 'q', 'r', 's': its columns are 'x', 'z', 't', 'y'"):
        table_sources(FRAME, target="q", features=["x", "r"], exclude=["s"])
    with pytest.raises(DataError, match=r"column 'y' is date32\[day\]: targets are numbers or text"):
        table_sources(FRAME.assign(y=datetime.date(2024, 1, 31)), target="y")


def test_the_first_bad_row_is_that_of_all_columns(tmp_path):
    gaps = FRAME.assign(
        x=FRAME["x"].where(FRAME.index != 10),
        z=FRAME["z"].where(FRAME.index != 5),
        t=FRAME["t"].where(FRAME.index != 7),
    )
    for message, option in told(gaps, tmp_path):
        assert "row 5, column 'z': the value is missing (as are some of 'x', 't')" in message
        assert "leave such rows out with " + option.format('missing="drop"') in message
        assert "say what stands for it: missing={'z': ..., 'x': ..., 't': ...}" in message
        assert "--missing drop" in in_options(message)
        assert "--missing z=... --missing x=... --missing t=..." in in_options(message)
    for gap, infinite, first in ((10, 5, 5), (5, 10, 5)):
        wild = FRAME.assign(x=FRAME["x"].where(FRAME.index != gap), z=FRAME["z"].where(FRAME.index != infinite, np.inf))
        what = "column 'z': the value is infinite" if first == infinite else "column 'x': the value is missing"
        for message, _ in told(wild, tmp_path):
            assert f"row {first}, {what}" in message
    same = FRAME.assign(x=FRAME["x"].where(FRAME.index != 9).where(FRAME.index != 4, np.inf))
    for message, _ in told(same, tmp_path):
        assert "row 4, column 'x': the value is infinite" in message
    head = [f"{k},{k},{k % 2}\n" for k in range(200)]
    for rows in (head, head * 1000):  # behind the rows that types are guessed from, too
        lines = ["x,z,y\n", *rows, "1,oops,1\n", "bad,3,0\n", *head]
        (tmp_path / "two.csv").write_text("".join(lines))
        with pytest.raises(DataError, match=rf"row {len(rows)}, column 'z': 'oops' is no number"):
            learnt(file_sources(tmp_path / "two.csv", target="y"))


def test_free_text_and_ids_are_left_out_with_an_option_that_is_there(tmp_path):
    for message, option in told(FRAME.assign(t="long " * 60), tmp_path):
        assert "row 0, column 't': 'long long" in message
        assert f"Leave free text out with {option}".format("exclude=['t']") in message
    for message, _ in told(FRAME.assign(t=[f"id {k}" for k in range(N)]), tmp_path):
        assert "leave it out, exclude=['t']. Where each is a category" in message
        assert "categorical=['t'] of table_sources and of the functions for files" in message
        assert in_options(message).endswith(
            "leave it out, --exclude t. Where each is a category, ask for it: --categorical t"
        )


def test_who_predicts_is_not_told_to_leave_rows_or_columns_out():
    model = learnt(FRAME, "y")
    for given, message in (
        (FRAME.assign(x=np.nan), "Fill it in, or say what stands for it: table_sources(X, ..., missing={'x': ...})"),
        (FRAME.assign(x=pd.Timestamp("2024-01-31")), "features are numbers or text. Derive numbers or text from it"),
        (FRAME.assign(t="long " * 60), "has 300 characters: it is no category"),
    ):
        with pytest.raises(DataError, match=re.escape(message) + "$"):
            model.predict(given)
    with pytest.raises(DataError, match=re.escape("Fill it in, or say what stands for it: missing={'x': ...}") + "$"):
        model.predict(table_sources(FRAME.assign(x=np.nan)))
    with pytest.raises(DataError, match=re.escape('leave such rows out with table_sources(X, ..., missing="drop")')):
        model.evaluate(FRAME.assign(x=np.nan), "y")  # rows may be left out of measures


def test_a_level_has_no_more_than_256_characters():
    longest = "x" * 256
    (rows,) = [one.read() for one in table_sources(FRAME.assign(t=longest), blocks=1)]
    assert rows.categories[0].levels.tolist() == [longest]
    with pytest.raises(DataError, match="has 257 characters: it is no category"):
        learnt(FRAME.assign(t="x" * 257), "y")


def test_nothing_stands_for_a_missing_target_weight_or_offset(tmp_path):
    frame = FRAME.assign(y=FRAME["y"].where(FRAME["x"] != 3))
    for message, option in told(frame, tmp_path):
        drop = option.format('missing="drop"')
        assert message.endswith(
            f"row 3, column {'target' if 'target' in message else 'y'!r}: the value is missing. Fill it in, or leave "
            f'such rows out with {drop}. A linear model leaves them out itself: missing="drop"'
        )
    assert len(LogisticRegression(missing="drop").fit(frame, "y").predict(frame)) == N
    absent = np.where(FRAME["x"] == 3, np.nan, 1.0)
    for beside in ({"sample_weight": absent}, {"offset": absent}):
        with pytest.raises(DataError, match=r"row 3, column '(weight|offset)': the value is missing\. Fill it in, or "):
            LogisticRegression().fit(FRAME[["t"]], FRAME["y"], **beside)
    model = LogisticRegression().fit(FRAME[["t"]], FRAME["y"], offset=FRAME["x"])
    with pytest.raises(DataError, match=r"column 'offset': the value is missing\. Fill it in$"):
        model.predict(FRAME[["t"]], offset=absent)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("t.csv: name its column with target=...", "t.csv: name its column with --target COLUMN"),
        ("or give values, with offset=...", "or give values, with --offset COLUMN"),
        ("leave it out with exclude=['a b', 'c']", "leave it out with --exclude 'a b,c'"),
        ("leave it out with exclude=['']", "leave it out with --exclude ''"),
        ("leave the column out with exclude; or", "leave the column out with --exclude; or"),
        ("tell it with format, one of", "tell it with --format, one of"),
        ("missing={'a': ..., 'b': ...}", "--missing a=... --missing b=..."),
    ],
)
def test_options_are_spelt_as_on_the_command_line(message, shown):
    assert in_options(message) == shown
