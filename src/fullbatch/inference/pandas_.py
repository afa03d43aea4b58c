"""Tables as frames of pandas where pandas is there, else as tables of Arrow."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import pyarrow as pa


def as_frame(columns: Mapping[str, Any]) -> Any:
    """A frame of pandas whose index is the names; without pandas a table of Arrow, with the names in front."""
    if find_spec("pandas") is None:
        return pa.table(dict(columns))
    import pandas as pd

    rest = {name: values for name, values in columns.items() if name != "name"}
    return pd.DataFrame(rest, index=pd.Index(columns["name"], name="name") if "name" in columns else None)


def as_columns(frame: Any) -> dict[str, list[Any]]:
    """The inverse of `as_frame`, with lists."""
    if isinstance(frame, pa.Table):
        return dict(frame.to_pydict())
    names = {"name": frame.index.tolist()} if frame.index.name == "name" else {}
    return {**names, **{name: frame[name].tolist() for name in frame.columns}}
