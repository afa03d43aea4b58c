"""The same table in every format that fullbatch reads."""

import numpy as np
import pandas as pd


def table(rows=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, 4)) * [1, 10, 0.1, 1] + [0, 5, 0, 0]
    X[:, 3] = rng.integers(0, 9, rows)  # whole numbers, zeros among them
    y = (X @ [1.0, 0.2, 3.0, -0.3] + rng.logistic(size=rows) > 0).astype(np.int64)
    return pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(y=y)


def write_parquet_directory(frame, path, files=7, row_group_size=11):
    path.mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), files)):
        frame.iloc[part].to_parquet(path / f"part-{number}.parquet", index=False, row_group_size=row_group_size)
    return path


def write_libsvm(frame, path, target="y"):
    lines = []
    for row in frame.to_dict("records"):
        values = [value for name, value in row.items() if name != target]
        pairs = [f"{number}:{float(value)!r}" for number, value in enumerate(values, 1) if value != 0]
        lines.append(" ".join([str(row[target]), *pairs]))
    path.write_text("\n".join(lines) + "\n")
    return path
