import errno
import io

import numpy as np
import pytest

from fullbatch import DataError, LogisticRegression, ThreadEngine, csv_sources
from fullbatch.data import _lines, unpacked
from fullbatch.models.linear import Linear


def write(path, text, encoding="utf8"):
    path.write_bytes(text.encode(encoding))
    return path


def read(path, **options):
    options = {"target": "y", **options}
    return [source.read() for source in csv_sources(path, **options)]


def test_types_quotes_line_ends_and_empty_lines(tmp_path):
    text = 'a,"b, ""quoted""",region,y\r\n1,2.5,"north\r\neast",0\r\n\r\n3,-4,"so""uth",1\r\n5,1e3,x,0'
    (rows,) = read(write(tmp_path / "t.csv", text))
    assert rows.names == ("a", 'b, "quoted"', "region")
    np.testing.assert_array_equal(rows.X, [[1, 2.5], [3, -4], [5, 1000]])
    assert rows.categories[0].levels.tolist() == ["north\r\neast", 'so"uth', "x"]
    assert rows.y.tolist() == [0, 1, 0]
    assert rows.y.dtype == np.int64


def test_blocks_begin_where_rows_begin(tmp_path, monkeypatch):
    monkeypatch.setattr(_lines, "_CHUNK", 64)  # several chunks for a small file
    rng = np.random.default_rng(0)
    lines = [f'{i},"t{"x" * rng.integers(0, 90)}{chr(10) * (i % 3)}",{i % 2}' for i in range(200)]
    path = write(tmp_path / "t.csv", "i,text,y\n" + "\n".join(lines) + "\n")
    for block_rows in (1, 7, 200):
        read_rows = read(path, block_rows=block_rows)
        assert np.concatenate([rows.X[:, 0] for rows in read_rows]).tolist() == list(range(200))


def test_a_disk_that_fails_is_told_with_the_file(tmp_path, monkeypatch):
    class Failing(io.BytesIO):
        def read(self, *args):
            raise OSError(errno.EIO, "Input/output error")

    (source,) = csv_sources(write(tmp_path / "t.csv", "a,y\n1,0\n"), target="y", blocks=1)
    monkeypatch.setattr(unpacked, "open_file", lambda path: Failing())
    with pytest.raises(DataError, match=r"cannot read .*t\.csv: Input/output error"):
        source.read()


def test_options(tmp_path):
    path = write(tmp_path / "t.txt", "1;é;0\n2;è;1\n", "latin1")
    (rows,) = read(path, delimiter=";", encoding="latin1", column_names=["a", "b", "y"])
    assert rows.names == ("a", "b")
    assert rows.categories[0].levels.tolist() == ["è", "é"]
    path = write(tmp_path / "q.csv", 'size,y\n5" pipe,0\n6" pipe,1\n7 cm,1\n')
    (rows,) = read(path, quoted=False)
    assert rows.categories[0].levels.tolist() == ['5" pipe', '6" pipe', "7 cm"]
    path = write(tmp_path / "z.csv", "zip,y\n01234,0\n99999,1\n")
    (rows,) = read(path, types={"zip": "string"})
    assert rows.categories[0].levels.tolist() == ["01234", "99999"]
    (rows,) = read(path, categorical=["zip"])
    assert rows.categories[0].levels.tolist() == [1234, 99999]


def test_missing_values(tmp_path):
    path = write(tmp_path / "t.csv", "a,b,y\n1,x,0\n,y,1\n3,NA,0\n")
    with pytest.raises(DataError, match=r"t\.csv: row 1, column 'a': the value is missing"):
        read(path)
    (rows,) = read(path, missing="drop")
    assert rows.X.tolist() == [[1]]
    (rows,) = read(path, missing={"a": 0, "b": "none"})
    assert rows.X.tolist() == [[1], [0], [3]]
    assert rows.categories[0].levels.tolist() == ["none", "x", "y"]


def test_levels_and_classes_missing_in_some_files_are_agreed(tmp_path):
    write(tmp_path / "1.csv", "x,region,y\n1,north,a\n2,north,a\n")
    write(tmp_path / "2.csv", "x,region,y\n3,south,b\n4,north,a\n")
    write(tmp_path / "3.csv", "x,region,y\n")  # no rows
    write(tmp_path / "4.csv", "y,x,region\nc,1,west\n")  # other order
    model = LogisticRegression().fit(csv_sources(tmp_path / "*.csv", target="y", block_rows=2))
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.get_feature_names_out().tolist() == ["x", "region=north", "region=south", "region=west"]
    assert model.n_samples_fit_ == 5


def test_whole_numbers_first_and_fractions_later_are_numbers(tmp_path):
    lines = ["1,0"] * 300_000 + ["1.5,2.5"]
    path = write(tmp_path / "t.csv", "x,y\n" + "\n".join(lines))
    rows = read(path, blocks=2)
    assert rows[1].X[-1, 0] == 1.5
    assert rows[1].y[-1] == 2.5


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b,y\n1,2,0\n3,1\n", {}, r"t\.csv: row 1 has 2 values, the file has 3 columns: '3,1'"),
        ("a,b,y\n1,2,0\n3,1,1,9\n", {}, "row 1 has 4 values, the file has 3 columns: '3,1,1,9'"),
        ("a,b,y\n1,2,0\n3," + "1" * 99 + "\n", {}, r"row 1 has 2 values, .*: '3,1{75}\.\.\.'\. Correct"),  # 80 of them
        ("a,y\n1,0\n", {"target": "z"}, "there is no column 'z': its columns are 'a', 'y'"),
        ("a,a,y\n1,2,0\n", {}, "two columns are named 'a'"),
        ("", {}, r"no rows: .*t\.csv is empty"),
        ("\na,y\n1,0\n", {}, r"t\.csv: the first line is empty: it must name the columns"),
        ("a,y\n", {}, "no rows"),
        ("a,y\n1,0\n", {"types": {"b": "string"}}, "there is no column 'b', for which a type is told"),
        ('a,y\n"1,0\n2,1\n', {}, "a quotation mark .* is not closed.*quoted=False"),
        ("a,y\n\xff,0\n", {}, "row 0 is not utf8 text .*latin1"),
        ("a,y\n1,0\n2,inf\n", {"target": "a"}, "row 1, column 'y': the value is infinite"),
        (",y\n0,1\n", {}, "column 0 has no name: name it, or leave it out with exclude"),
        ("a,y\r1,0\r", {}, "lines end in a carriage return alone"),
        ("\xff,y\n1,0\n", {}, "row 0 is not utf8 text"),
        (f"a,y\n{'x' * 300},0\n", {}, "row 0, column 'a': 'xxx.* has 300 characters: it is no category"),
        ("2020-01-01,0\n", {"column_names": ["day", "y"]}, "row 0, column 'day': '2020-01-01' looks like a date"),
        (
            "a,y\ntrue,0\nmaybe,1\n",
            {"types": {"a": "bool"}},
            "row 1, column 'a': 'maybe' is not of type bool, as the column is. Correct it; or tell the type, types=",
        ),
    ],
    ids=lambda value: None,
)
def test_files_that_cannot_be_used(tmp_path, text, options, message):
    path = write(tmp_path / "t.csv", text, "latin1")
    with pytest.raises(DataError, match=message):
        read(path, **options)


def test_a_wrong_type_is_told_with_file_row_and_column(tmp_path):
    lines = ["1,x,0"] * 300_000 + ["abc,x,1"]
    path = write(tmp_path / "t.csv", "a,b,y\n" + "\n".join(lines))
    with pytest.raises(DataError, match=r"row 300000, column 'a': 'abc' is no number.*types=\{'a': \"string\"\}"):
        read(path)
    lines[-1] = "1,x,1,7"
    write(path, "a,b,y\n" + "\n".join(lines))
    with pytest.raises(DataError, match="row 300000 has 4 values"):
        read(path, blocks=5)


def test_options_that_are_unknown(tmp_path):
    path = write(tmp_path / "t.csv", "a,y\n1,0\n")
    with pytest.raises(ValueError, match="'number' of column 'a' is no Arrow type"):
        read(path, types={"a": "number"})
    with pytest.raises(ValueError, match="unknown encoding 'klingon'"):
        read(path, encoding="klingon")
    with pytest.raises(ValueError, match="delimiter must be one character, got ', '"):
        read(path, delimiter=", ")
    for told, message in (
        ({"escape": "ab"}, "escape must be one character of ASCII"),
        ({"escape": '"'}, "escape must be one character of ASCII"),
        ({"comment": ""}, "comment must be the text in ASCII that such lines begin with"),
        ({"skip_rows": -1}, "skip_rows must be a number of lines, got -1"),
        *(({"encoding": name}, "cannot be read, since ASCII") for name in ("utf-7", "base64", "cp037", "iso2022_jp")),
    ):
        with pytest.raises(ValueError, match=message):
            read(path, **told)


PLAIN = "a,text,y\n" + "".join(f'{k},"t{k % 5}",{k % 2}\n' for k in range(60))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('made by hand\n\nsays "who\n' + PLAIN, {"skip_rows": 3}),
        ("# it's 5\" wide\n#\n" + PLAIN.replace("7,", '# a "comment", \\\n7,', 1) + '# "the end"', {"comment": "#"}),
        (
            "one\n// two\n" + PLAIN.replace("\n", "\r\n").replace("\r\n8,", '\r\n//"\r\n8,'),
            {"skip_rows": 1, "comment": "//"},
        ),
        ("# a\n" + PLAIN.replace('"', ""), {"comment": "#", "quoted": False}),
        ("# \\\n" + PLAIN, {"comment": "#", "escape": "\\"}),
        ("preamble\n" + PLAIN.partition("\n")[2], {"skip_rows": 1, "column_names": ["a", "text", "y"]}),
        ("# only\n" * 40 + PLAIN, {"comment": "#"}),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, dict) else "",
)
def test_lines_that_are_no_rows(tmp_path, monkeypatch, text, options):
    expected = read(write(tmp_path / "plain.csv", PLAIN), block_rows=7)
    for chunk in (_lines._CHUNK, 50):
        monkeypatch.setattr(_lines, "_CHUNK", chunk)
        monkeypatch.setattr(_lines, "_FIRST", min(chunk, 10))
        rows = read(write(tmp_path / "t.csv", text), block_rows=7, **options)
        assert [part.X.tobytes() for part in rows] == [part.X.tobytes() for part in expected]
        for mine, other in zip(rows, expected, strict=True):
            assert mine.categories[0].levels[mine.categories[0].codes].tolist() == (
                other.categories[0].levels[other.categories[0].codes].tolist()
            )
    bad = write(tmp_path / "bad.csv", text.rstrip("\r\n") + "\nx,t1,0\n")
    with pytest.raises(DataError, match=r"bad\.csv: row 60, column 'a': 'x' is no number"):
        read(bad, **options)


@pytest.mark.parametrize("chunk", [2**22, 16])
def test_escapes(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(_lines, "_CHUNK", chunk)
    texts = ['5" pipe', "a\nb", "back\\slash", '"', "x,y", "# none", "\\", 'end\\"', "\\\\\n", "plain"]
    escaped = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    content = "text,n,y\n" + "".join(f'"{text}",{k},{k % 2}\n' for k, text in enumerate(escaped))
    path = write(tmp_path / "t.csv", content)
    bare = [text.replace("\n", "\\\n").replace(",", "\\,").replace("#", "\\#") for text in escaped]
    unquoted = write(tmp_path / "u.csv", "text,n,y\n" + "".join(f"{text},{k},{k % 2}\n" for k, text in enumerate(bare)))
    for file, told in (
        (path, {}),
        (path, {"comment": "#"}),
        (unquoted, {"quoted": False}),
        (unquoted, {"comment": "#"}),
    ):
        rows = read(file, escape="\\", block_rows=3, **told)
        column = [part.categories[0].levels[part.categories[0].codes].tolist() for part in rows]
        assert [text for block in column for text in block] == texts
        assert np.concatenate([part.X[:, 0] for part in rows]).tolist() == list(range(10))


@pytest.mark.parametrize("seed", range(6))
def test_any_text_comes_back_whatever_stands_around_it(tmp_path, monkeypatch, seed):
    rng = np.random.default_rng(seed)
    junk = list('ab,"\n\r#\\ ')
    for chunk in (2**22, 40, 7):
        monkeypatch.setattr(_lines, "_CHUNK", chunk)
        monkeypatch.setattr(_lines, "_FIRST", chunk)
        texts = ["x" + "".join(rng.choice(junk, rng.integers(0, 9))) for _ in range(40)]
        escape = [None, "\\"][int(rng.integers(2))]
        told = {"escape": escape} if escape else {}
        lines = ["t,k,y\n"]
        for number, text in enumerate(texts):
            quoted = text.replace('"', '""') if escape is None else text.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'"{quoted}",{number},{number % 2}\n')
        if rng.integers(2):
            told["comment"] = "#"
            for place in sorted(rng.integers(0, 41, 12).tolist(), reverse=True):
                words = "".join(rng.choice([one for one in junk if one != "\n"], rng.integers(0, 9)))
                lines.insert(place, f"#{words}\n")
        path = write(tmp_path / "t.csv", "".join(lines))
        rows = read(path, block_rows=7, types={"t": "string"}, **told)
        column = [part.categories[0].levels[part.categories[0].codes].tolist() for part in rows]
        assert [text for block in column for text in block] == texts, (chunk, told)
        assert np.concatenate([part.X[:, 0] for part in rows]).tolist() == list(range(40))


@pytest.mark.parametrize("chunk", range(1, 12))
def test_a_line_end_within_a_name_does_not_end_the_header(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(_lines, "_FIRST", chunk)
    path = write(tmp_path / "t.csv", '"a\nb",y\n1,0\n2,1\n')
    (rows,) = read(path, blocks=1)
    assert rows.names == ("a\nb",)
    assert rows.X.tolist() == [[1], [2]]


def test_what_is_said_of_lines_before_the_header(tmp_path):
    path = write(tmp_path / "t.csv", "Sales of the year\n" + PLAIN)
    with pytest.raises(DataError, match=r"row 0 has 3 values, the file has 1 columns.*skip_rows or comment"):
        read(path)
    path = write(tmp_path / "t.csv", '{"a": 1, "y": 0}\n')
    with pytest.raises(DataError, match="its first line is a JSON object"):
        read(path)
    path = write(tmp_path / "t.csv", "a\0,\0y\0\n\0")
    with pytest.raises(DataError, match=r"NUL bytes in its first line.*utf-16-le"):
        read(path)


def test_a_row_without_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(_lines, "LONGEST_ROW", 1000)
    monkeypatch.setattr(_lines, "_CHUNK", 100)
    monkeypatch.setattr(_lines, "_FIRST", 100)
    for content, message in (
        ("a,y\n1,0\n" + "x" * 5000, r"t\.csv: row 1 does not end within 1000 bytes"),
        ('a,y\n1,0\n"' + "x\n" * 5000, r"t\.csv: a quotation mark .* is not closed"),
        ("x" * 5000, "the first row does not end within 1000 bytes"),
    ):
        with pytest.raises(DataError, match=message):
            read(write(tmp_path / "t.csv", content))


def test_files_whose_columns_disagree(tmp_path):
    write(tmp_path / "1.csv", "a,b,y\n1,2,0\n")
    other = write(tmp_path / "2.csv", "a,c,y\n1,2,0\n")
    with pytest.raises(DataError, match=r"2\.csv: there is no column 'b', which .*1\.csv has"):
        read(tmp_path / "*.csv")
    write(other, "a,b,y\n1,true,0\n")
    with pytest.raises(DataError, match=r"2\.csv: row 0, column 'b': 'true' is no number"):
        read(tmp_path / "*.csv")


def test_codes_that_are_text_in_one_file_only_are_text_in_all(tmp_path):
    write(tmp_path / "1.csv", "code,y\n,0\n")
    write(tmp_path / "2.csv", "code,y\n1,0\n02,1\n")
    write(tmp_path / "3.csv", "code,y\nA,0\n1,1\n")
    for files in (["1.csv", "2.csv", "3.csv"], ["3.csv", "2.csv", "1.csv"]):
        sources = csv_sources([tmp_path / file for file in files], target="y", missing={"code": "none"}, blocks=2)
        model = LogisticRegression().fit(sources)
        assert model.get_feature_names_out().tolist() == ["code=02", "code=1", "code=A", "code=none"]


def test_a_stray_text_among_numbers_makes_no_levels_of_them(tmp_path):
    values = [str(i) for i in range(200)]
    path = write(tmp_path / "t.csv", "a,y\n" + "".join(f"{value},{i % 2}\n" for i, value in enumerate(["?", *values])))
    with pytest.raises(
        DataError, match=r"t\.csv: row 0, column 'a': '\?' stands for a missing value.*missing_values=\['\?'\]"
    ):
        read(path)
    assert len(read(path, types={"a": "string"})[0].categories[0].levels) == 201


def test_the_type_of_the_target_does_not_depend_on_the_blocks(tmp_path):
    mixed = write(tmp_path / "t.csv", "x,y\n" + "".join(f"{i % 7},{1 if i < 50 else 'x'}\n" for i in range(100)))
    classes = {tuple(LogisticRegression().fit(csv_sources(mixed, target="y", blocks=b)).classes_) for b in (1, 2, 7)}
    assert classes == {("1", "x")}
    fractions = write(tmp_path / "f.csv", "x,y\n" + "".join(f"{i},{i if i < 50 else i / 2}\n" for i in range(100)))
    for blocks in (1, 2, 7):
        y = np.concatenate([rows.y for rows in read(fractions, blocks=blocks)])
        assert y.tolist() == [i if i < 50 else i / 2 for i in range(100)]


def test_one_column_whose_empty_lines_are_missing_values(tmp_path):
    path = write(tmp_path / "t.csv", "a\n1\n\n2\r\n\r\n3")
    (source,) = csv_sources(path, missing={"a": 0}, blocks=1)
    assert source.read().X.ravel().tolist() == [1, 0, 2, 0, 3]
    with pytest.raises(DataError, match="row 1, column 'a': the value is missing"):
        csv_sources(path)[0].read()


def test_a_file_that_changed_after_it_was_counted(tmp_path):
    path = write(tmp_path / "t.csv", "a,y\n" + "1,0\n2,1\n" * 50)
    sources = csv_sources(path, target="y", blocks=2)
    write(path, "a,y\n1,0\n")
    with pytest.raises(DataError, match="has become shorter since its rows were counted"):
        ThreadEngine().place(Linear("logistic"), sources)
    write(path, "a,y\n" + "12,0\n21,1\n" * 50)
    with pytest.raises(DataError, match=r"rows 0\.\.49 were counted and 4[01] read: has the file changed"):
        sources[0].read()


@pytest.mark.parametrize(("told", "dtype"), [(None, "int64"), ("double", "float64"), ("int16", "int16")])
def test_the_type_that_is_told_of_a_target_is_kept(tmp_path, told, dtype):
    path = write(tmp_path / "t.csv", "a,y\n1,0\n2,1\n3,300\n")
    (rows,) = read(path, types=None if told is None else {"y": told})
    assert (rows.y.dtype, rows.y.tolist()) == (dtype, [0, 1, 300])


def test_an_open_quotation_mark_is_told_without_reading_to_the_end(tmp_path, monkeypatch):
    path = write(tmp_path / "t.csv", 'a,y\n"open,0\n' + "1,1\n" * 10_000)
    monkeypatch.setattr(_lines, "_CHUNK", 64)
    monkeypatch.setattr(_lines, "LONGEST_ROW", 1000)
    stops = []

    class Followed(io.FileIO):
        def __exit__(self, *error):
            stops.append(self.tell())
            super().__exit__(*error)

    monkeypatch.setattr(unpacked, "open_file", Followed)
    with pytest.raises(DataError, match="in rows too long to be one value is not closed"):
        _lines.TextRows(unpacked.TextFile(str(path)), 4, _lines.Layout(quoted=True))
    assert 1000 < stops[0] < 1200
