"""Rows that no estimator can learn from or predict for: each fault is drawn by hypothesis, and must be told."""

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from hypothesis import strategies as st

from fullbatch import array_sources, table_sources

N = 24
DAY = datetime.date(2024, 2, 29)
# Of one value: what no feature, and what no weight or offset can be.
NOT_FINITE = [np.nan, np.inf, -np.inf]
NO_NUMBER = ["a", "1,5", DAY, datetime.timedelta(3), b"x", (1,), {}, 1j, pd.NaT]
NO_ROWS = [
    None, 3, 2.5, "X", b"X", {}, {"a": [1.0]}, {1, 2}, object(), [], [[]], np.zeros(()), np.zeros(4), np.zeros((0, 3)),
    np.zeros((N, 0)), np.zeros((N, 2, 2)), [[1.0], [1.0, 2.0]], np.ma.masked, print, (one for one in [[1.0]]),
    np.zeros(N, "M8[D]"), np.array([[DAY]] * N), np.zeros((N, 2), complex), np.full((N, 2), "a"), np.full((N, 2), b"a"),
    np.zeros(N, [("a", float)]), pd.DataFrame(), pl.DataFrame(), pa.table({}), sp.csr_array((0, 3)),
    sp.csr_array((N, 0)),
]  # fmt: skip


@dataclass(eq=False)
class Rows:
    """What is given to an estimator, a part of which a fault replaces."""

    X: Any
    y: Any
    weight: Any = None
    offset: Any = None


def features(draw):
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.standard_normal((N, 3))


def matrix(draw):
    """A matrix of some kind, and what makes it from an array."""
    X = features(draw)
    kinds = [
        np.asarray,
        np.float32,
        np.ndarray.tolist,
        sp.csr_array,
        lambda X: pd.DataFrame(X, columns=list("abc")),
        pd.DataFrame,
    ]
    return X, draw(st.sampled_from(kinds))


def frame(draw):
    X = features(draw)
    return pd.DataFrame(X, columns=list("abc")).assign(region=np.resize(["north", "south", "west"], N))


def table(draw, given):
    """A frame of pandas as a table of some package."""
    return draw(st.sampled_from([lambda one: one, pl.from_pandas, pa.Table.from_pandas]))(given)


def place(draw, columns=3):
    return draw(st.integers(0, N - 1)), draw(st.integers(0, columns - 1))


def spoiled(draw, values, wrong):
    """A list of values, some of which are wrong."""
    values = list(values)
    for row in draw(st.sets(st.integers(0, N - 1), min_size=1, max_size=4)):
        values[row] = wrong
    return values


# --- faults of the features ---------------------------------------------------------------------------------------


def no_rows(draw, y):
    return Rows(draw(st.sampled_from(NO_ROWS)), y)


def value_that_is_not_finite(draw, y):
    X, kind = matrix(draw)
    X[place(draw)] = draw(st.sampled_from(NOT_FINITE))
    return Rows(kind(X), y)


def value_that_is_no_number(draw, y):
    X = features(draw).astype(object)
    row, column = place(draw)
    X[row, column] = draw(st.sampled_from(NO_NUMBER))
    return Rows(draw(st.sampled_from([np.asarray, np.ndarray.tolist]))(X), y)


def column_that_is_no_feature(draw, y):
    wrong = [
        pd.date_range("2024-01-01", periods=N), pd.date_range("2024-01-01", periods=N, tz="UTC"), [DAY] * N,
        pd.timedelta_range("1h", periods=N), [[1.0] * (row % 3) for row in range(N)], [{"a": 1}] * N, [b"x"] * N,
        [1j] * N, [f"an id of {row}, and free text" * 99 for row in range(N)], [1, "a"] * (N // 2),
        pd.period_range("2024", periods=N), pd.interval_range(0, N), ["a", None] * (N // 2), ["a", np.nan] * (N // 2),
        [object() for _ in range(N)],
    ]  # fmt: skip
    return Rows(frame(draw).assign(b=draw(st.sampled_from(wrong))), y)


def hole_in_a_table(draw, y):
    given = frame(draw)
    column = draw(st.sampled_from(list(given.columns)))
    given[column] = spoiled(draw, given[column], None)
    return Rows(table(draw, given), y)


def names_of_columns(draw, y):
    given = frame(draw).drop(columns="region")
    given.columns = draw(st.sampled_from([["a", "a", "b"], ["a", 1, "b"], ["a", 2.5, ("b",)], ["", "a", ""]]))
    given["region"] = "north"
    return Rows(given, y)


# --- faults of what stands beside ---------------------------------------------------------------------------------

NO_COLUMN = [
    {}, "no such column", 3, object(), np.zeros((N, 2)), np.zeros((N, 1, 1)), np.zeros(N, "M8[s]"),
    np.zeros(N, "m8[s]"), np.zeros(N, complex), [DAY] * N, ["a", 1.0] * (N // 2), [None] * N, [[1.0]] * (N - 1),
    np.zeros(()), [], np.full(N, np.nan), pd.DataFrame(np.zeros((N, 2))),
    [{}] * N, [(1, 2)] * N, np.full(N, object()),
]  # fmt: skip


def wrong_length(draw, y):
    short = draw(st.integers(0, N + 5).filter(lambda n: n not in (1, N)))
    values = np.resize(np.asarray(y), short)
    X, kind = matrix(draw)
    where = draw(st.sampled_from(["y", "weight", "offset"]))
    told = {"y": y, where: values if where == "y" else np.ones(short)}
    return Rows(kind(X), **told)


def targets(draw, y):
    X, kind = matrix(draw)
    wrong = draw(st.sampled_from([one for one in NO_COLUMN if not (isinstance(one, np.ndarray) and one.ndim == 0)]))
    return Rows(kind(X), wrong)


def targets_left_out(draw, y):
    X, kind = matrix(draw)
    return Rows(kind(X), None)


def target_that_is_missing(draw, y):
    X, kind = matrix(draw)
    return Rows(kind(X), spoiled(draw, y, draw(st.sampled_from([None, *NOT_FINITE, pd.NA, pd.NaT, DAY]))))


def weights(draw, y):
    X, kind = matrix(draw)
    wrong = [one for one in NO_COLUMN if not isinstance(one, int)]
    wrong += [-1.0, np.nan, np.inf, np.zeros(N), np.full(N, 1e308), 0.0]
    wrong += [spoiled(draw, np.ones(N), bad) for bad in (-1.0, None, "a", *NOT_FINITE)]
    return Rows(kind(X), y, weight=draw(st.sampled_from(wrong)))


def offsets(draw, y):
    X, kind = matrix(draw)
    wrong = [one for one in NO_COLUMN if not isinstance(one, int)]
    wrong += [spoiled(draw, np.ones(N), bad) for bad in (None, "a", *NOT_FINITE)]
    return Rows(kind(X), y, offset=draw(st.sampled_from(wrong)))


def names_beside(draw, y):
    given = frame(draw).assign(target=list(y))
    told = {"y": "target", draw(st.sampled_from(["y", "weight", "offset"])): draw(st.sampled_from(["region", "z", ""]))}
    return Rows(table(draw, given), **told) if told["y"] != "region" else Rows(given.assign(region=None), **told)


def series_in_another_order(draw, y):
    given = frame(draw)
    return Rows(given, pd.Series(list(y), index=given.index[::-1]))


def sources(draw, y):
    X, text = features(draw), [DAY] * N
    return draw(
        st.sampled_from(
            [
                Rows(array_sources(X, y), y),
                Rows(array_sources(X, y), None, weight=np.ones(N)),
                Rows(array_sources(X), None),
                Rows([*array_sources(X, y), "more"], None),
                Rows([*array_sources(X, y), *array_sources(X[:, :2], y)], None),
                Rows([*array_sources(X, y, names=list("abc")), *array_sources(X, y, names=list("abd"))], None),
                Rows(array_sources(X, text), None),
                Rows(table_sources(frame(draw)), None),
                Rows([open(__file__)], None),
            ]
        )
    )


TO_FIT = [
    no_rows,
    value_that_is_not_finite,
    value_that_is_no_number,
    column_that_is_no_feature,
    hole_in_a_table,
    names_of_columns,
    wrong_length,
    targets,
    targets_left_out,
    target_that_is_missing,
    weights,
    offsets,
    names_beside,
    series_in_another_order,
    sources,
]

# --- faults of rows to predict for, by a model of `frame` ---------------------------------------------------------


def lacking(draw, given):
    names = list(given.columns)
    return table(draw, given.drop(columns=draw(st.lists(st.sampled_from(names), min_size=1, unique=True))))


def unknown_level(draw, given):
    return table(
        draw, given.assign(region=spoiled(draw, given["region"], draw(st.sampled_from(["east", "", "North"]))))
    )


def other_kind(draw, given):
    name = draw(st.sampled_from(list(given.columns)))
    return table(draw, given.assign(**{name: draw(st.floats(-9, 9)) if name == "region" else "text"}))


def hole(draw, given):
    name = draw(st.sampled_from(list(given.columns)))
    return table(draw, given.assign(**{name: spoiled(draw, given[name], None)}))


def not_finite(draw, given):
    name = draw(st.sampled_from(["a", "b", "c"]))
    return table(draw, given.assign(**{name: spoiled(draw, given[name], draw(st.sampled_from(NOT_FINITE)))}))


def dates(draw, given):
    return given.assign(**{draw(st.sampled_from(list(given.columns))): pd.date_range("2024-01-01", periods=len(given))})


def no_frame(draw, given):
    return draw(st.sampled_from([*NO_ROWS, features(draw), sp.csr_array(features(draw)), given.to_numpy()]))


TO_PREDICT = [lacking, unknown_level, other_kind, hole, not_finite, dates, no_frame]
