"""The rows of a fit, given again: where they are read, and what is summed over them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engines import make_engine
from ..engines.tree import Part, TreeSum
from ..protocols.rows import Category, Rows, Source
from ..wording.messages import located
from .clusters import ids_of

Array = npt.NDArray[Any]

# Makes an array of values: of those, their name, the number of rows, which of them stayed, and where a row stands.
Convert = Callable[[Any, str, int, Array | None, Callable[[int], str]], Array]

# Rows in memory that are summed by themselves; how they are cut decides the last bits of the sums.
_ROWS_AT_ONCE = 65_536


class Read(NamedTuple):
    """Rows of a block.

    Parameters
    ----------
    rows : Rows
        As a source reads them.
    beside : tuple of arrays
        Other columns that were asked for, each (n,), such as what tells the clusters of rows.
    """

    rows: Rows
    beside: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False)
class _Held:
    """Some of the rows that are in memory."""

    rows: Rows
    beside: tuple[Array, ...]
    first: int

    def locate(self, row: int) -> str:
        """Where a row stands among all."""
        return f"row {self.first + row}"

    def __str__(self) -> str:
        return f"rows {self.first}..{self.first + self.rows.X.shape[0] - 1}"


@dataclass(frozen=True, eq=False)
class Data:
    """Blocks of rows, read on each pass, and what reads them.

    Parameters
    ----------
    sources : sequence of Source
        One a block.
    engine : str or Engine
        An object stays open.
    beside : tuple of str
        Columns of the sources that are read beside the features, such as ids of clusters; of rows in memory, the names
        of what stands beside them.
    """

    sources: Sequence[Any]
    engine: Any
    beside: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, given: Rows | list[Source], engine: Any, beside: Mapping[str, Any], convert: Convert = ids_of
    ) -> "Data":
        """Of what was given again.

        Parameters
        ----------
        given : Rows or list of Source
            Rows in memory are summed in this process.
        engine : str or Engine
            Where sources are read.
        beside : mapping of name to (n,) array_like, or None
            None is a column of that name of the sources.
        convert : callable
            Makes an array of these, as `read` does; of ids of clusters by default.
        """
        names = tuple(beside)
        if isinstance(given, Rows):
            stayed, n = given.stayed, given.X.shape[0]
            place = np.arange(n) if stayed is None else np.flatnonzero(stayed)
            read = n if stayed is None else len(stayed)
            made = tuple(
                convert(values, name, read, stayed, lambda row: f"row {place[row]}") for name, values in beside.items()
            )
            parts = range(0, max(n, 1), _ROWS_AT_ONCE)
            return cls([_part(given, made, first) for first in parts], "threads", names)
        for name, values in beside.items():
            if values is not None:
                raise ValueError(f"clusters {name!r}: of sources name a column, got {type(values).__name__}")
        if names:
            for source in given:
                if not hasattr(source, "keeping"):
                    what = "clusters" if convert is ids_of else "columns"
                    raise ValueError(f"{what} name columns, and {source} has no names of columns: give a table")
            given = [source.keeping(names) for source in given]  # type: ignore[attr-defined]
        return cls(given, engine, names)

    def total(self, task: Callable[[int, Any], Any]) -> Any:
        """What `task` makes of the blocks, added up: one pass."""
        tree = TreeSum(len(self.sources))
        for number, answer in enumerate(self.each(task)):
            tree.add(Part(0, number, answer))
        return tree.total()

    def each(self, task: Callable[[int, Any], Any]) -> Iterator[Any]:
        """What `task` makes of each block, in their order: one pass."""
        with ExitStack() as stack:
            engine = self.engine
            opened = stack.enter_context(closing(make_engine(engine))) if isinstance(engine, str) else engine
            yield from opened.map(task, self.sources)


def read(source: Any, beside: tuple[str, ...], convert: Convert = ids_of) -> Read:
    """The rows of a block, with other columns, such as what tells their clusters."""
    if isinstance(source, _Held):
        return Read(source.rows, source.beside)
    if not beside:
        return Read(source.read())
    rows, kept = source.read_with_kept()

    def where(row: int) -> str:
        return located(source, row)

    each = [(kept[name].to_numpy(), name) for name in beside]
    return Read(rows, tuple(convert(values, name, kept.num_rows, rows.stayed, where) for values, name in each))


def _part(rows: Rows, beside: tuple[Array, ...], first: int) -> _Held:
    part = slice(first, first + _ROWS_AT_ONCE)

    def cut(values: Any) -> Any:
        return None if values is None else values[part]

    categories = tuple(Category(one.codes[part], one.levels, one.asked) for one in rows.categories)
    held = replace(
        rows,
        X=rows.X[part],
        y=cut(rows.y),
        weight=cut(rows.weight),
        offset=cut(rows.offset),
        categories=categories,
    )
    return _Held(held, tuple(values[part] for values in beside), first)
