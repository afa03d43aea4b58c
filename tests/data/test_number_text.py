"""Numbers, dates and missing values that are written in other ways than Arrow reads."""

import itertools
import re

import numpy as np
import pytest

from fullbatch import DataError, csv_sources
from fullbatch.data.number_text import NumberText

VALUES = np.random.default_rng(0).normal(0, 40_000, 200).round(2)
MARKS = ["?", "None", "<NA>", " ", ".", "-", "\t", "none", "unknown"]


def written(value, decimal, thousands, sign):
    """A number in some country's way."""
    text = f"{value:,.2f}".translate({ord(","): thousands or "", ord("."): decimal})
    return f"{sign}{text}" if sign == "$" else f"{text}{sign}"


WAYS = [
    (decimal, thousands, sign)
    for decimal, thousands, sign in itertools.product(
        ".,", [None, ",", ".", "'", "\u2019", " ", "\u00a0", "\u202f", "_"], ["", "%", "$", " EUR", "\u20ac"]
    )
    if decimal != thousands and (decimal, thousands, sign) != (".", None, "")
]


def options(decimal, thousands, sign):
    told = {"decimal": decimal, "thousands": thousands, "units": [sign.strip()] if sign else []}
    return {name: value for name, value in told.items() if value and (name, value) != ("decimal", ".")}


def write(path, texts, column="x"):
    rows = [f'"{text}",{k % 2}' if column == "x" else f'{k % 7},"{text}"' for k, text in enumerate(texts)]
    path.write_text("x,y\n" + "\n".join(rows) + "\n", encoding="utf8")
    return path


def read(path, **told):
    (rows,) = (source.read() for source in csv_sources(path, target="y", blocks=1, **told))
    return rows


@pytest.mark.parametrize("way", WAYS, ids=repr)
@pytest.mark.parametrize("column", ["x", "y"])
def test_another_way_of_writing_numbers_is_told_and_read(tmp_path, way, column):
    texts = [written(value, *way) for value in VALUES]
    path = write(tmp_path / "t.csv", texts, column)
    with pytest.raises(
        DataError, match=f"row 0, column '{column}': {re.escape(repr(texts[0]))} is no number"
    ) as raised:
        read(path)
    told = options(*way)
    for option, value in told.items():
        assert f"{option}={value!r}" in str(raised.value)
    rows = read(path, **told)
    values = rows.X[:, 0] if column == "x" else rows.y
    assert values.tobytes() == VALUES.tobytes()


@pytest.mark.parametrize("mark", MARKS, ids=repr)
@pytest.mark.parametrize("column", ["x", "y"])
@pytest.mark.parametrize("share", [0.005, 0.2, 0.9, 1.0])
def test_marks_of_missing_values_are_asked_about_whatever_their_share(tmp_path, mark, column, share):
    marked = np.arange(200) >= 200 * (1 - share)
    path = write(
        tmp_path / "t.csv", [mark if is_mark else value for value, is_mark in zip(VALUES, marked, strict=True)], column
    )
    first = int(np.flatnonzero(marked)[0])
    message = f"row {first}, column '{column}': {mark!r} stands for a missing value.*missing_values=[{mark!r}]"
    with pytest.raises(DataError, match=re.escape(message).replace(r"\.\*", ".*")):
        read(path)
    if share < 1:
        rows = read(path, missing_values=[mark], missing="drop")
        assert (rows.X[:, 0] if column == "x" else rows.y).tobytes() == VALUES[~marked].tobytes()


@pytest.mark.parametrize(
    "day", ["12/31/{}", "31.12.{}", "31-12-{}", "3 Mar {}", "Mar 3, {}", "{}/12/31", "12/31/{} 10:30", "03MAR{}"]
)
def test_dates_as_text_are_no_levels(tmp_path, day):
    path = write(tmp_path / "t.csv", [day.format(2000 + k % 30) for k in range(100)])
    with pytest.raises(DataError, match=r"row 0, column 'x': '.*' looks like a date or time.*exclude"):
        read(path)
    assert len(read(path, categorical=["x"]).categories[0].levels) == 30
    assert len(read(path, types={"x": "string"}).categories[0].levels) == 30


@pytest.mark.parametrize("text", ["?", "None", " ", "0 # note", "1,5", "12%", "\u00a03", "12/31/2024"])
@pytest.mark.parametrize("column", ["x", "y"])
def test_a_stray_text_is_the_same_error_wherever_it_stands(tmp_path, text, column):
    words = set()
    for rows in (1000, 400_000):  # within the first megabyte, from which types are guessed, and behind it
        path = write(tmp_path / "t.csv", [*(str(k % 2) for k in range(rows)), text], column)
        with pytest.raises(DataError, match=f"row {rows}, column '{column}': ") as raised:
            [source.read() for source in csv_sources(path, target="y")]
        words.add(str(raised.value).replace(str(rows), "N"))
    assert len(words) == 1


def test_columns_that_are_not_used_are_not_looked_at(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,other,y\n" + "".join(f'{k},"{k},5",{k % 2}\n' for k in range(40)))
    assert read(path, features=["x"]).X.shape == (40, 1)
    assert read(path, exclude=["other"]).X.shape == (40, 1)


@pytest.mark.parametrize("text", ["1,23", "12,34,5", "1,,234", ",123", "1.5.5", "1 2", "", "x"])
def test_groups_of_digits_must_be_groups(text):
    assert not NumberText(thousands=",").reads(text)


@pytest.mark.parametrize("text", ["1,234", "12,34,567", "-1,234.5e3", "+7", " 7 ", "1234567", ".5", "5.", "inf"])
def test_groups_of_digits(text):
    assert NumberText(thousands=",").reads(text)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"decimal": ""}, "decimal must be one character"),
        ({"decimal": "1"}, "decimal must be one character that is no letter, digit or sign, got '1'"),
        ({"thousands": "--"}, "thousands must be one character"),
        ({"decimal": ",", "thousands": ","}, "decimal and thousands are both ','"),
        ({"units": "%"}, r"units must be a list of texts, got the text '%': write \['%'\]"),
        ({"units": ["5"]}, "units must be texts without digits"),
        ({"units": ["%", ""]}, r"units must be texts without digits and signs, such as '%', got \['%', ''\]"),
        ({"missing_values": "?"}, "missing_values must be a list of texts"),
    ],
)
def test_options_that_cannot_be(tmp_path, told, message):
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path / "t.csv", ["1"]), **told)


@pytest.mark.parametrize("mark", MARKS, ids=repr)
@pytest.mark.parametrize(
    "rows", [60, 300_000]
)  # within the first megabyte, from which types are guessed, and behind it
def test_marks_among_truth_values(tmp_path, mark, rows):
    texts = ["true", "False"] * (rows // 2)
    path = write(tmp_path / "t.csv", [*texts, mark])
    message = f"row {rows}, column 'x': {mark!r} stands for a missing value"
    with pytest.raises(DataError, match=re.escape(message)):
        [source.read() for source in csv_sources(path, target="y")]
    assert read(path, missing_values=[mark], missing={"x": False}).X.sum() == rows // 2
    assert len(read(path, types={"x": "string"}).categories[0].levels) == 3
