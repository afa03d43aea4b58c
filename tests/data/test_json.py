"""JSON lines: the rows that CSV gives, and errors that name row and column."""

import gzip
import json

import numpy as np
import pytest
from tables import table

from fullbatch import DataError, LogisticRegression, csv_sources, file_sources, json_sources
from fullbatch.data import _lines, json_, json_format


def write(path, rows, encoding="utf8"):
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(text.encode(encoding))
    return path


def read(path, **options):
    return [source.read() for source in json_sources(path, **{"target": "y", **options})]


def fitted_bytes(sources):
    model = LogisticRegression(engine="serial", tol=1e-6).fit(sources)
    return model.coef_.tobytes() + model.intercept_.tobytes() + model.classes_.tobytes()


def test_the_same_bytes_as_from_csv(tmp_path, monkeypatch):
    frame = table()
    frame["word"] = [["north", "süd", 'a "b"\n', "x\\"][k % 4] for k in range(len(frame))]
    frame.to_csv(tmp_path / "t.csv", index=False)
    expected = fitted_bytes(csv_sources(tmp_path / "t.csv", target="y", block_rows=30))
    lines = frame.to_dict("records")
    texts = {
        "as it is": "".join(json.dumps(line) + "\n" for line in lines),
        "compact": "\r\n".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) for line in lines),
        "empty lines": "".join(json.dumps(line) + "\n\n" for line in lines),
        "other order": "".join(
            json.dumps(line if k % 3 == 0 else dict(reversed(line.items()))) + "\n" for k, line in enumerate(lines)
        ),
    }
    for chunk in (2**22, 300):
        monkeypatch.setattr(_lines, "_CHUNK", chunk)
        monkeypatch.setattr(json_, "_HEAD", chunk)
        monkeypatch.setattr(json_format, "_CHUNK", chunk)
        for name, text in texts.items():
            for encoding in ("utf8", "utf-8-sig", "utf-16"):
                path = write(tmp_path / "t.jsonl", text, encoding)
                sources = json_sources(path, target="y", block_rows=30)
                assert fitted_bytes(sources) == expected, (chunk, name, encoding)
    (tmp_path / "t.ndjson.gz").write_bytes(gzip.compress(texts["compact"].encode()))
    write(tmp_path / "unknown", texts["compact"])
    for path in ("t.ndjson.gz", "unknown"):
        assert fitted_bytes(file_sources(tmp_path / path, target="y", block_rows=30)) == expected
    halves = [write(tmp_path / f"{k}.json", lines[100 * k : 100 * k + 100]) for k in range(2)]
    assert fitted_bytes(json_sources(halves, target="y", block_rows=30)) == expected


def test_values_of_each_kind(tmp_path):
    rows = [
        {"i": k, "f": k / 4, "mixed": k if k % 2 else k / 2, "b": k % 2 == 0, "text": f"t{k % 3}", "quoted": f"{k}.5"}
        | {"id": 2**53 + k % 4, "y": 2**60 + k % 2, "nested": {"a": [k]}, "list": [k], "null": None}
        for k in range(40)
    ]
    path = write(tmp_path / "t.jsonl", rows)
    told = {"categorical": ["id"], "types": {"quoted": "double"}, "exclude": ["nested", "list", "null"]}
    parts = read(path, block_rows=7, **told)
    assert parts[0].names == ("i", "f", "mixed", "b", "quoted", "text", "id")
    X = np.concatenate([part.X for part in parts])
    expected = [[k, k / 4, k if k % 2 else k / 2, k % 2 == 0, k + 0.5] for k in range(40)]
    np.testing.assert_array_equal(X, expected)
    assert parts[0].categories[0].levels.tolist() == ["t0", "t1", "t2"]
    assert parts[0].categories[1].levels.tolist() == [2**53 + k for k in range(4)]
    assert np.concatenate([part.y for part in parts]).tolist() == [2**60 + k % 2 for k in range(40)]
    for name in ("nested", "list"):
        with pytest.raises(DataError, match=f"column '{name}' is (struct|list)<.*features are numbers or text"):
            read(path, **{**told, "exclude": [other for other in ("nested", "list") if other != name]})


def test_missing_values(tmp_path):
    path = write(tmp_path / "t.jsonl", '{"a":1,"b":"x","y":0}\n{"b":null,"y":1}\n{"a":NaN,"b":"y","y":1}\n')
    with pytest.raises(DataError, match=r"t\.jsonl: row 1, column 'a': the value is missing"):
        read(path)
    (rows,) = read(path, missing="drop")
    assert rows.X.tolist() == [[1]]
    (rows,) = read(path, missing={"a": 7, "b": "none"})
    assert rows.X.tolist() == [[1], [7], [7]]
    assert rows.categories[0].levels.tolist() == ["none", "x", "y"]


ROW = '{"a":1,"t":"u","y":0}\n'


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, r"no rows: .*t\.jsonl is empty"),
        ('[{"a":1,"y":0},\n{"a":2,"y":1}]\n', {}, "row 0 is no JSON object on a line of its own but begins an array"),
        ('{\n"a":1,\n"y":0\n}\n', {}, r"row 0 is no JSON object on a line of its own: \{: "),
        (ROW + "null\n", {}, "row 1 is no JSON object on a line of its own: null: it is no object"),
        (ROW + '\n{"a":1,"y":1} null\n', {}, "row 1 is no JSON object on a line of its own.*Extra data"),
        (ROW + "\ufeffnull\n", {}, "row 1 is no JSON object"),
        (ROW + '"text"\n', {}, "row 1 is no JSON object"),
        (ROW + '{"a":1,"y":\n', {}, "row 1 is no JSON object on a line of its own"),
        (ROW + '{"a":1,}\n', {}, "row 1 is no JSON object on a line of its own"),
        (ROW + '{"a":' + "[" * 600 + "]" * 600 + "}\n", {}, "row 1 is nested more than 500 deep"),
        (ROW + ('{"a":' * 400 + "\n") * 4000, {}, "row 1 is no JSON object"),
        (ROW + '{"a":1,"y":0}{"a":2,"y":1}\n', {}, "row 1 is no JSON object on a line of its own: Extra data"),
        (ROW + '{"a":2,"a":3,"y":0}\n', {}, "row 1 has the key 'a' twice"),
        (ROW + '{"a":"x","t":"u","y":0}\n', {}, "row 1, column 'a': the value is of the kind 'text', and in row 0 of"),
        (
            ROW + '{"t":"u","y":"x"}\n{"a":"x","t":"u","y":0}\n',
            {},
            r"row 1, column 'y': the value is of the kind 'text'.*\. Look at 'a' too",
        ),
        (ROW + '{"a":true,"t":"u","y":0}\n', {}, "row 1, column 'a': .* kind 'truth value', and in row 0"),
        (ROW + '{"a":1e400,"t":"u","y":0}\n', {}, r"row 1 does not read: Number too big.*1e400"),
        (ROW + '{"a":Infinity,"t":"u","y":0}\n', {}, "row 1, column 'a': the value is infinite"),
        (ROW + '{"a":1,"t":"\xff","y":0}\n', {}, "row 1 is not UTF-8 text|is no JSON object .*codec can't decode"),
        ('{"a":"1,5","y":0}\n' * 9, {}, "row 0, column 'a': '1,5' is a number, a date or a mark.*types=.*string"),
        ('{"a":"2020-01-01","y":0}\n' * 9, {}, "row 0, column 'a': '2020-01-01' is a number, a date"),
        ('{"a":"12.5","y":0}\n' * 9, {}, '\'12.5\' is a number in quotation marks.*"double"}; or .* types=.*"string"'),
        ('{"a":1,"y":"0"}\n' * 9, {}, "row 0, column 'y': '0' is a number in quotation marks"),
        (('{"a":"' + "1" * 99 + '","y":0}\n') * 9, {}, "row 0, column 'a': '1{80}' is a number in quotation marks"),
        (ROW, {"types": {"z": "double"}}, "there is no column 'z', for which a type is told"),
        (ROW, {"types": {"t": "double"}}, "row 0, column 't': \"u\" is not of type double"),
        (ROW, {"types": {"a": "string"}}, "row 0, column 'a': 1 is not of type string"),
    ],
    ids=lambda value: None,
)
def test_files_that_cannot_be_used(tmp_path, text, options, message):
    path = write(tmp_path / "t.jsonl", text, "latin1" if "\xff" in text else "utf8")
    with pytest.raises(DataError, match=message):
        read(path, **options)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a":"x","t":"u","y":0}', "row 50, column 'a': \"x\" is not of type double, as the column is"),
        ('{"a":true,"t":"u","y":0}', "row 50, column 'a': true is not of type double"),
        ('{"a":{"b":1},"t":"u","y":0}', r"row 50, column 'a': \{...\} is not of type double"),
        ('{"a":1,"t":5,"y":0}', "row 50, column 't': 5 is not of type string"),
        ('{"a":1,"t":"u","y":"x"}', "row 50, column 'y': \"x\" is not of type double"),
        ('{"a":1,"t":"u","y":0,"new":1}', "row 50 has a key 'new' that none of the first rows has"),
        ('{"a":1,"t":"u","y":0,"a":1}', "row 50 has the key 'a' twice"),
        ('{"a":1,"t":"\\ud800","y":0}', "row 50 does not read: The surrogate pair in string is invalid"),
        ("null", "row 50 is no JSON object"),
        ("5", "row 50 is no JSON object"),
        ('{"a":1,"t":"u","y":0}  null', "row 50 is no JSON object"),
        ('{"a":' + "[" * 70_000 + "]" * 70_000 + "}", "row 50 is nested more than 500 deep"),
        (
            '{"a":1,"t":"u","y":0}{"a":1,"t":"u","y":0}',
            r"rows 0\.\.100 were counted and 102 read.*two objects on a line",
        ),
    ],
    ids=lambda value: None,
)
def test_what_is_wrong_behind_the_first_rows(tmp_path, monkeypatch, line, message):
    monkeypatch.setattr(json_, "_HEAD", 100)
    path = write(tmp_path / "t.jsonl", ROW * 50 + line + "\n" + ROW * 50)
    with pytest.raises(DataError, match=rf"t\.jsonl.*{message}"):
        read(path, blocks=1)
    if "row 50" in message:
        with pytest.raises(DataError, match=message):
            read(path, block_rows=40)


@pytest.mark.parametrize(
    ("type_", "value", "column"),
    [
        ("int8", -128, "t"),
        ("int8", 127, "t"),
        ("int8", -129, "a"),
        ("int8", 128, "a"),
        ("uint8", 0, "t"),
        ("uint8", 255, "t"),
        ("uint8", -1, "a"),
        ("uint8", 256, "a"),
    ],
)
def test_whole_numbers_are_of_a_type_that_holds_them(tmp_path, type_, value, column):
    """Of a row in which the second column is wrong for sure."""
    path = write(tmp_path / "t.jsonl", ROW + f'{{"a":{value},"t":5,"y":0}}\n')
    with pytest.raises(DataError, match=rf"row 1, column '{column}': .* is not of type"):
        read(path, types={"a": type_, "t": "string"})


def test_brackets_in_texts_are_text(tmp_path):
    texts = ["[{", "}", 'a "]" b', "\\", "{}" * 600]
    path = write(tmp_path / "t.jsonl", [{"t": text, "y": k} for k, text in enumerate(texts)])
    with pytest.raises(DataError, match=r"row 4, column 't': .* has 1200 characters: it is no category"):
        read(path)
    path = write(tmp_path / "t.jsonl", [{"t": text, "y": k} for k, text in enumerate(texts[:4])])
    (rows,) = read(path, blocks=1)
    assert rows.categories[0].levels[rows.categories[0].codes].tolist() == texts[:4]


def test_whole_numbers_below_zero_keep_their_digits(tmp_path):
    path = write(tmp_path / "t.jsonl", [{"id": -(2**63) + k % 2, "y": 0} for k in range(4)])
    (rows,) = read(path, blocks=1, categorical=["id"])
    assert rows.categories[0].levels.tolist() == [-(2**63), -(2**63) + 1]
    assert rows.categories[0].codes.tolist() == [0, 1, 0, 1]


def test_columns_that_are_not_used_are_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(json_, "_HEAD", 100)
    lines = [ROW, '{"a":2,"t":1,"y":1,"new":[{"a":"x"}]}\n', '{"a":3,"y":0,"t":{}}\n'] * 30
    path = write(tmp_path / "t.jsonl", ROW * 20 + "".join(lines))
    (rows,) = read(path, features=["a"], blocks=1)
    assert rows.X.ravel().tolist() == [1] * 20 + [1, 2, 3] * 30
    path = write(tmp_path / "t.jsonl", ROW * 20 + "".join(lines).replace(',"new":[{"a":"x"}]', ""))
    (rows,) = read(path, exclude=["t"], blocks=1)
    assert rows.X.ravel().tolist() == [1] * 20 + [1, 2, 3] * 30


def test_whole_numbers_first_and_fractions_later_are_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(json_, "_HEAD", 100)
    path = write(tmp_path / "t.jsonl", '{"x":1,"y":0}\n' * 99 + '{"x":1.5,"y":2.5}\n')
    rows = read(path, blocks=2)
    assert rows[1].X[-1, 0] == 1.5
    assert rows[1].y[-1] == 2.5
    assert rows[0].y.dtype == np.int64


def test_files_whose_columns_disagree(tmp_path):
    write(tmp_path / "1.jsonl", [{"a": 1, "b": 2, "y": 0}])
    write(tmp_path / "2.jsonl", [{"a": 1, "c": 2, "y": 0}])
    with pytest.raises(DataError, match=r"2\.jsonl: there is no column 'b', which .*1\.jsonl has"):
        read(tmp_path)
    write(tmp_path / "2.jsonl", [{"a": 1, "b": "x", "y": 0}])
    with pytest.raises(DataError, match=r"2\.jsonl: column 'b' is string, in .*1\.jsonl it is int64"):
        read(tmp_path)
