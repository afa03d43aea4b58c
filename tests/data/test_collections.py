"""Collections of Dask, computed without a cluster: what cannot be used is told before the fit."""

import dask.array
import dask.dataframe
import numpy as np
import pandas as pd
import pytest

from fullbatch import DataError, LogisticRegression

FRAME = pd.DataFrame({"a": np.arange(40.0), "y": np.arange(40) % 2})


def frame(rows=FRAME):
    return dask.dataframe.from_pandas(rows, npartitions=2)


def column(change):
    return frame()["y"].map_partitions(change, meta=("y", "int64"))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (frame(FRAME[:0]), "y", "no rows: the Dask data frame is empty, at least one row is needed"),
        (dask.array.ones((0, 3)), dask.array.ones(0), "no rows: the Dask array is empty, at least one row is needed"),
        (dask.array.ones(9), dask.array.ones(9), r"X has 1 dimension\(s\), it must have two, rows by columns: Reshape"),
        (
            frame()[["a"]],
            column(lambda part: part[:-1]),
            "a partition of the Dask data frame has 20 rows and that of the target has 19",
        ),
        (
            frame()[["a"]],
            column(lambda part: part.set_axis(part.index[::-1])),
            r"the target have different indexes: row 0 of a partition is (0 and 19|20 and 39)\. Give both in one order",
        ),
    ],
)
def test_what_cannot_be_used(X, y, message):
    with pytest.raises(DataError, match=message):
        LogisticRegression(engine="serial").fit(X, y)
