"""The set-up read that every model shares: checks a block's rows and says what the schema must know of them."""

from decimal import Decimal
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..kernels.wide import SparseVector, is_wide, numbered
from ..protocols.rows import Rows, dates_in, distinct, is_sparse
from ..protocols.schema import EXACT, Counts, Description, Moments, Problem
from ..wording.messages import shortened
from . import _passes

Array = npt.NDArray[Any]

FEATURE_TYPES = ("float32", "float64", "uint8", "int8")


def canonical(X: Any) -> Any:
    """CSR rows with sorted indices and no entry stored twice; a copy where they are not so. Dense rows as they are."""
    if not is_sparse(X) or X.has_canonical_format:
        return X
    X = X.copy()  # never the caller's own
    X.sum_duplicates()
    return X


def as_weight(weight: Array | None) -> Array:
    """Sample weights as the kernels take them: float64, empty for 'all are 1'."""
    return read_only(np.zeros(0) if weight is None else as_numbers(weight, "sample weights"))


def as_numbers(values: Any, what: str) -> Array:
    """Targets, weights or offsets as float64.

    Raises
    ------
    DataError
        They are text, dates, or something else that is no number.
    """
    values = np.asarray(values)
    if (dates := dates_in(values)) is not None:  # which NumPy would turn into counts of their unit
        raise DataError(f"{what} must be numbers, not {dates}: derive numbers from the dates first")
    if values.dtype.kind == "c":
        raise DataError(f"{what} must be real numbers, not {values.dtype}: take their real part, if that is meant")
    text = _first_text(values)
    if text is None:
        try:
            return values.astype(np.float64, copy=False)
        except (TypeError, ValueError):
            pass  # one of them is something else
    wrong = next((value for value in values.ravel().tolist() if not _is_number(value)), None)
    if wrong is None:
        raise DataError(f"{what} must be numbers, not the text {text!r}: make numbers of it, or give another column")
    raise DataError(f"{what} must be numbers, not {wrong!r}: correct it, or give another column")


def _first_text(values: Array) -> str | bytes | None:
    """The first text among values, which NumPy would read as numbers where it can."""
    if values.dtype.kind not in "USTO":
        return None
    return next((value for value in values.ravel().tolist() if isinstance(value, str | bytes)), None)


def _is_number(value: Any) -> bool:
    try:
        return np.ndim(np.float64(value)) == 0  # of a list, NumPy makes an array
    except (TypeError, ValueError):
        return False


def read_only(array: Array) -> Array:
    """A C-ordered view that cannot be written to: Numba compiles read-only and writable arrays apart, and one
    compiled pass for all engines is one set of bits. What came from another process to an odd address is copied: NumPy
    adds such numbers in another order.
    """
    view = np.require(array, requirements=["C", "A"]).view()
    view.flags.writeable = False
    return view


def describe(rows: Rows, source: str, labels: bool, passes: str = "auto") -> Description:
    """Check the rows of a block and describe them.

    Parameters
    ----------
    rows : Rows
        As read from the source.
    source : str
        Its name, for messages.
    labels : bool
        Targets are classes; otherwise numbers.
    passes : {"auto", "plain", "compiled"}
        What computes moments, see `Linear`.

    Raises
    ------
    DataError
        Something is wrong with the block as a whole: shapes, types, lengths. What is wrong with one row goes into
        the description, so that the first such row of all the data can be named.
    """
    if rows.y is None:
        raise DataError(f"{source}: no target y, which a model needs to learn from: name its column with target=...")
    _check_shapes(rows, source)
    X, y = canonical(rows.X), rows.y
    n, p = X.shape
    problems: list[tuple[int, int | str | None, str]] = []

    weight = as_weight(rows.weight)
    bad_weight = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if bad_weight.size:
        row = int(bad_weight[0])
        problems.append(
            (row, None, f"the sample weight is {weight[row]}, it must be finite and not negative: correct it")
        )
        weight = as_weight(None)

    counts = target = None
    if labels:
        labels_of_rows, bad_row, what = as_labels(y, source)
        if bad_row is not None:
            problems.append((bad_row, None, what))
        is_float = labels_of_rows.dtype.kind == "f"  # all of them whole
        classes, index = distinct(labels_of_rows.astype(np.int64) if is_float else labels_of_rows)
        classes = classes.astype(labels_of_rows.dtype)
        counts = _count(classes, index, weight, "labels", source)
    else:
        targets = as_numbers(y, f"{source}: target y")
        bad_target = np.flatnonzero(~np.isfinite(targets))
        if bad_target.size:
            problems.append((int(bad_target[0]), None, not_finite("target y", targets[bad_target[0]])))
        else:
            target = column_moments(targets, weight)

    compute = _passes.of_block(passes, n, X.nnz if is_sparse(X) else X.size)
    if is_sparse(X):
        data, indices, indptr = (read_only(part) for part in (X.data, X.indices, X.indptr))
        touched = None
        if is_wide(p, X.nnz):
            touched, number = numbered(indices, p)
            indices = read_only(number)
        row, column, mean, squares = compute.csr_moments(
            data, indices, indptr, weight, p if touched is None else touched.size
        )
        if touched is not None:
            column = touched[column] if row >= 0 else column
            mean, squares = (SparseVector(p, touched, values) for values in (mean, squares))
    else:
        row, column, mean, squares = compute.dense_moments(read_only(X), weight)
    if row >= 0:
        name = rows.names[column] if rows.names else int(column)
        problems.append((row, name, not_finite("input X", X[row, column])))

    problem = None
    if problems:
        first, column_or_none, what = min(problems, key=lambda found: found[0])
        problem = Problem(first, column_or_none, what, source, first)
    total = float(weight.sum()) if weight.size else float(n)
    moments = Moments(total, mean * rows.scale, squares * rows.scale**2)
    columns = rows.names[p:] or range(p, p + len(rows.categories))
    levels = tuple(
        _count(column.levels, column.codes, weight, f"levels of column {name!r}", source)
        for name, column in zip(columns, rows.categories, strict=True)
    )
    guessed = tuple(name for name, column in zip(columns, rows.categories, strict=True) if not column.asked)
    entries, has_offset = int(X.nnz) if is_sparse(X) else None, rows.offset is not None
    return Description(
        (n,),
        p,
        moments,
        source,
        counts,
        problem,
        levels,
        rows.names,
        entries,
        has_offset,
        target,
        guessed=tuple(map(str, guessed)),
    )


def column_moments(values: Array, weight: Array) -> Moments:
    """Of one column of numbers; `weight` is empty where each row counts once."""
    if weight.size:  # what does not count may be anything
        values, weight = values[weight > 0], weight[weight > 0]
    total = float(weight.sum()) if weight.size else float(len(values))
    if not total > 0:
        return Moments(0.0, np.zeros(1), np.zeros(1))
    with np.errstate(over="ignore", invalid="ignore"):  # huge targets: their moments are then not finite
        mean = np.einsum("i,i->", values, weight) / total if weight.size else values.mean()
        deviations = (values - mean) ** 2
        squares = np.einsum("i,i->", deviations, weight) if weight.size else deviations.sum()
    return Moments(total, np.array([mean]), np.array([squares]))


def _count(values: Array, index: Array, weight: Array, name: str, source: str) -> Counts:
    return Counts(values, np.bincount(index, weight if weight.size else None, len(values)) * 1.0, name, source)


def _check_shapes(rows: Rows, source: str) -> None:
    X, y = rows.X, np.asarray(rows.y)
    if not is_sparse(X):
        if not isinstance(X, np.ndarray):
            kind = getattr(X, "format", type(X).__name__)
            raise DataError(f"{source}: features are {kind}, they must be a NumPy array or scipy.sparse CSR")
        if X.ndim != 2:
            raise DataError(f"{source}: features have {X.ndim} dimension(s), they must be rows by columns")
    if str(X.dtype) not in FEATURE_TYPES:
        raise DataError(f"{source}: features are {X.dtype}, they must be one of {', '.join(FEATURE_TYPES)}")
    if np.ndim(y) != 1:
        raise DataError(f"{source}: target y has {np.ndim(y)} dimensions, it must have one value a row")
    if is_sparse(X) and X.nnz and not 0 <= X.indices.min() <= X.indices.max() < X.shape[1]:
        raise DataError(
            f"{source}: column indices run from {X.indices.min()} to {X.indices.max()} in {X.shape[1]} columns"
        )
    if rows.categories and (is_sparse(X) or rows.scale != 1.0):
        raise DataError(f"{source}: categorical columns stand beside dense columns of scale 1 only")
    columns = X.shape[1] + len(rows.categories)
    if rows.names and len(rows.names) != columns:
        raise DataError(f"{source}: {len(rows.names)} names for {columns} columns")
    for number, category in enumerate(rows.categories):
        if category.codes.shape != (X.shape[0],):
            raise DataError(f"{source}: {X.shape[0]} rows but column {X.shape[1] + number} has {category.codes.shape}")
    for name, values in (("target y", y), ("sample weight", rows.weight)):
        if values is not None and np.shape(values) != (X.shape[0],):
            raise DataError(f"{source}: {X.shape[0]} rows of features but {name} has shape {np.shape(values)}")


def _is_missing(label: Any) -> bool:
    try:
        return label is None or bool(label != label)
    except TypeError:  # pandas.NA answers neither yes nor no
        return True
    except ValueError:  # nor does an array, which is no label, but not missing
        return False


def not_finite(what: str, value: Any) -> str:
    """What is wrong with a value that is not finite, in words."""
    name = "NaN" if np.isnan(value) else "infinity"
    return f"{what} contains {name}: remove or fill in such values first"


def as_labels(y: Array, source: str) -> tuple[Array, int | None, str]:
    """Labels in a type that sorts, the first row that has no label, and what is wrong there."""
    kind = y.dtype.kind
    if kind == "T":  # NumPy's texts of any length, which hold what is missing as they like
        y, kind = y.astype(object), "O"
    if kind == "O":
        missing = [row for row, label in enumerate(y) if _is_missing(label)]
        if missing:
            return (
                y[:0],
                missing[0],
                "target y contains NaN or None instead of a label: remove or fill in such values first",
            )
        if all(isinstance(label, str) for label in y):
            return y.astype(str), None, ""
        try:
            return as_labels(_numbers_of(y), source)
        except (TypeError, ValueError, OverflowError):
            types = shortened(sorted({type(label).__name__ for label in y}))
            raise DataError(
                f"{source}: target y mixes text and other objects, of types {types}: use text or numbers"
            ) from None
    y = y.astype(y.dtype.newbyteorder("="), copy=False)  # Arrow and Numba know this machine's only
    if kind in "iubUS":
        return y, None, ""
    if kind == "f":
        bad = np.flatnonzero(y != np.floor(y))  # NaN and infinity are handled apart: infinity equals its floor
        strange = np.flatnonzero(~np.isfinite(y))
        if strange.size:
            return y[:0], int(strange[0]), not_finite("target y", y[strange[0]])
        if bad.size:
            row = int(bad[0])
            what = f"the label {y[row]} is not a class (Unknown label type: continuous)"
            return y[:0], row, f"{what}: use whole numbers or text, or a regressor"
        if (rounded := np.flatnonzero(np.abs(y) >= EXACT)).size:
            row = int(rounded[0])
            what = f"the label {y[row]:.0f} is a floating-point number of 2**53 or more, which are rounded"
            return y[:0], row, f"{what}: use integers or text"
        return y, None, ""
    raise DataError(
        f"{source}: target y is of type {y.dtype}: labels must be integers, booleans or text. Make one of these of it, "
        "or give another column"
    )


def _numbers_of(labels: Array) -> Array:
    """Numbers in an array of objects: integers where all are whole by their type, which floats are not."""
    if any(isinstance(label, str | bytes | np.datetime64 | np.timedelta64) for label in labels):
        raise TypeError("no numbers")
    if not all(isinstance(label, Integral | Decimal | np.bool_) and label == int(label) for label in labels):
        return labels.astype(np.float64)
    whole = [int(label) for label in labels]
    if all(isinstance(label, bool | np.bool_) for label in labels):
        return labels.astype(bool)
    return np.array(whole, np.uint64 if max(whole) >= 2**63 else np.int64)  # an OverflowError where neither holds them
