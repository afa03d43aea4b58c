"""Sources from files of the libsvm (svmlight) format: each block is read by its own bytes, on its worker."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_svmlight_file

from ..errors import DataError
from ..protocols.rows import Rows, Size, index_type
from ._lines import Layout, TextRows, first_failure, read_bytes
from .contents import check_content
from .cut import cut, cut_parts
from .paths import check_rows, expand
from .unpacked import TextFile, text_file

Array = npt.NDArray[Any]

# Dense from so many stored values on: it takes at most twice the memory of CSR, and passes are several times faster.
_DENSE_SHARE = 1 / 3
_LAYOUT = Layout(comment=b"#")
# Indices up to here need not be told by n_features, nor up to so many for each value.
_LARGEST_INDEX, _LARGEST_PER_VALUE = 2**20, 16
_COLON, _HASH, _ZERO = (ord(character) for character in ":#0")


@dataclass(frozen=True)
class LibsvmPiece:
    """Some rows of a file."""

    file: TextFile
    first_row: int
    stop: int
    first_byte: int
    last_byte: int

    @property
    def where(self) -> str:
        """The file's name."""
        return self.file.path


@dataclass(frozen=True)
class LibsvmSource:
    """The rows of one block.

    Parameters
    ----------
    pieces : tuple of LibsvmPiece
        In the order of the rows.
    n_features : int
        Columns.
    zero_based : bool
        Whether the first column has the index 0 rather than 1.
    dense : bool
        Whether the features become a dense array.
    dtype : str
        Of the features.
    row_bytes : float
        What a row takes in memory, on average over all rows.
    """

    pieces: tuple[LibsvmPiece, ...]
    n_features: int
    zero_based: bool
    dense: bool
    dtype: str
    row_bytes: float

    @property
    def size(self) -> Size:
        """By the average of all rows; the text and its values are in memory while it is read."""
        rows = sum(piece.stop - piece.first_row for piece in self.pieces)
        text = sum(piece.last_byte - piece.first_byte for piece in self.pieces)
        return Size(rows, round(rows * self.row_bytes), reading=3 * text)

    def read(self) -> Rows:
        """The rows; whole-numbered targets as int64."""
        from scipy.sparse import vstack

        read = [self._read(piece) for piece in self.pieces]
        X = read[0][0] if len(read) == 1 else vstack([X for X, _ in read], format="csr")
        y = np.concatenate([y for _, y in read])
        if (y == np.floor(y)).all() and (np.abs(y) < 2**53).all():
            y = y.astype(np.int64)
        if self.dense:
            return Rows(X.toarray(), y)
        index = index_type(max(X.nnz, self.n_features))  # scikit-learn's are int64, twice what memory is planned for
        X.indices, X.indptr = X.indices.astype(index, copy=False), X.indptr.astype(index, copy=False)
        return Rows(X, y)

    def _read(self, piece: LibsvmPiece) -> tuple[Any, Array]:
        content = read_bytes(piece.file, piece.first_byte, piece.last_byte)
        try:
            X, y = self._parse(content)
        except (ValueError, OverflowError):
            self._explain(content, piece)
            raise
        if len(y) != piece.stop - piece.first_row:
            raise DataError(
                f"{piece.where}: rows {piece.first_row}..{piece.stop - 1} were counted and {len(y)} read: has the file "
                "changed? Are there lines of nothing but spaces?"
            )
        return X, y

    def _parse(self, content: bytes) -> tuple[Any, Array]:
        X, y = load_svmlight_file(
            io.BytesIO(content), n_features=self.n_features, zero_based=self.zero_based, dtype=self.dtype
        )
        return X, y

    def _explain(self, content: bytes, piece: LibsvmPiece) -> None:
        """Find the first line that does not parse, and say so."""
        lines = [line for line in content.split(b"\n") if line.strip() and not line.startswith(b"#")]
        row = first_failure(len(lines), lambda start, stop: self._parses(b"\n".join(lines[start:stop])))
        try:
            self._parse(lines[row])
        except (ValueError, OverflowError) as error:
            text = lines[row].decode("utf8", "replace")
            text = text if len(text) <= 80 else text[:77] + "..."
            raise DataError(
                f"{piece.where}: row {piece.first_row + row} does not parse: {text!r}: {_reason(error)}. A row is a "
                "number and then index:value pairs in the order of their indices"
            ) from None

    def _parses(self, content: bytes) -> bool:
        try:
            self._parse(content)
        except (ValueError, OverflowError):
            return False
        return True

    def __str__(self) -> str:
        return " and ".join(f"{piece.where} rows {piece.first_row}..{piece.stop - 1}" for piece in self.pieces)


def libsvm_sources(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    n_features: int | None = None,
    zero_based: bool | Literal["auto"] = "auto",
    dense: bool | None = None,
    dtype: str = "float64",
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[LibsvmSource]:
    """Cut libsvm (svmlight) files into sources, one per block. They are read once here, to count rows and columns.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories (all `*.libsvm`, `*.svmlight` and `*.svm` in them) and globs; readable by the workers under
        the same path. They may be packed, as `.gz`, `.bz2`, `.xz` or `.zst`. The rows of several files follow one
        another in the order given, within a directory or glob in the order of names.
    n_features : int, optional
        Columns, where the files need not have a value in the last one; default: as many as they have values in. So
        many are accepted without being told: 1,048,576, or 16 for each value in the files.
    zero_based : bool or "auto"
        Whether the first column has the index 0 rather than 1; "auto": it does if the index 0 occurs.
    dense : bool, optional
        Whether the features become a dense array; default: if at least a third of the values are stored.
    dtype : {"float32", "float64"}
        Of the features.
    blocks, block_rows : int, optional
        How many blocks, or how many rows in each; default: by the shape of the data alone.

    Returns
    -------
    list of LibsvmSource

    Raises
    ------
    DataError
        A file is missing, has an index beyond `n_features`, or there are no rows. (Lines that do not parse are told
        by the workers.)
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}")
    files = expand(paths, (".libsvm", ".svmlight", ".svm"))
    texts = []
    counted = _Indices()
    for path in files:
        check_content(path, "libsvm")
        file = text_file(path)
        texts.append(TextRows(file, file.start, _LAYOUT))
        counted = counted.joined(_indices(file))
    if n_features is None and counted.most > max(_LARGEST_INDEX, _LARGEST_PER_VALUE * counted.count):
        raise DataError(
            f"{_place(texts, counted.most)}: the largest index is {counted.most}, which makes more than "
            f"{_LARGEST_INDEX} columns, and more than {_LARGEST_PER_VALUE} for each of the {counted.count} values: "
            "correct it, or tell with n_features how many columns there are"
        )
    zero = counted.zero if zero_based == "auto" else zero_based
    columns = max(counted.most + (1 if zero else 0), 0)
    if n_features is not None and columns > n_features:
        raise DataError(
            f"{files[0]} and its like have {columns} columns, n_features={n_features} is too few: the index "
            f"{counted.most} is in {_place(texts, counted.most)}"
        )
    columns = columns if n_features is None else n_features
    rows = [text.rows for text in texts]
    check_rows(files, rows)
    if not 0 < columns < 2**31:
        what = (
            "no row has an index:value pair"
            if columns == 0
            else f"the largest index is {counted.most}, above 2**31 - 2"
        )
        raise DataError(f"{files[0]}{' and its like' if len(files) > 1 else ''}: {what}")
    stored = counted.count / (sum(rows) * columns)
    dense = stored >= _DENSE_SHARE if dense is None else dense
    values_per_row = columns if dense else counted.count / sum(rows)
    row_bytes = values_per_row * (np.dtype(dtype).itemsize + (0 if dense else 4)) + 8
    return [
        LibsvmSource(
            tuple(
                LibsvmPiece(texts[part].file, start, stop, texts[part].offset(start), texts[part].offset(stop))
                for part, start, stop in parts
            ),
            columns,
            bool(zero),
            bool(dense),
            dtype,
            row_bytes,
        )
        for parts in cut_parts(rows, cut(sum(rows), values_per_row, blocks, block_rows, columns))
    ]


@dataclass(frozen=True)
class _Indices:
    """Number and largest of the indices of some rows, -1 where there are none, and whether 0 is among them."""

    count: int = 0
    most: int = -1
    zero: bool = False

    def joined(self, other: "_Indices") -> "_Indices":
        return _Indices(self.count + other.count, max(self.most, other.most), self.zero or other.zero)


def _indices(file: TextFile) -> _Indices:
    """The indices before the colons of a file."""
    total = _Indices()
    with file.open() as lines:
        while content := lines.read(2**22) + lines.readline():
            if b"#" in content:
                content = b"\n".join(line.partition(b"#")[0] for line in content.split(b"\n"))
            text = np.frombuffer(content, np.uint8)
            colons = np.flatnonzero(text == _COLON)
            index, power = np.zeros(len(colons), np.int64), 1
            place = colons - 1
            is_digit = (text[place] >= _ZERO) & (text[place] < _ZERO + 10)
            number = is_digit.copy()  # "qid:" is no index
            while is_digit.any() and power < 10**18:
                index += np.where(is_digit, (text[place].astype(np.int64) - _ZERO) * power, 0)
                place = np.maximum(place - 1, 0)
                power *= 10
                is_digit &= (text[place] >= _ZERO) & (text[place] < _ZERO + 10)
            index = index[number]
            if len(index):
                total = total.joined(_Indices(len(index), int(index.max()), not index.all()))
    return total


def _place(texts: Sequence[TextRows], index: int) -> str:
    """File and row of the first occurrence of an index."""
    wanted = re.compile(rb"(?<![0-9])0*%d:" % index)
    for text in texts:
        row = 0
        with text.file.open() as lines:
            while line := lines.readline():
                if wanted.search(line.partition(b"#")[0]):
                    return f"{text.file.path}: row {row}"
                row += bool(line.strip()) and not line.startswith(b"#")
    return texts[0].file.path


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
