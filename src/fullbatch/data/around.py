"""Sources that make something of the rows of others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..protocols.rows import Size


@dataclass(frozen=True, eq=False)
class Around:
    """A source around another: what a source may have, or not, is that of the one within.

    Parameters
    ----------
    source : Source
        What reads the rows.
    """

    source: Any

    # Where the source has none, its AttributeError is this one's too.
    @property
    def size(self) -> Size:
        """That of the source, whose rows may be copied."""
        size: Size = self.source.size._replace(held=False)
        return size

    @property
    def stored(self) -> Any:
        """What the source reads of a cluster's object store."""
        return self.source.stored

    @property
    def release(self) -> Callable[[], None]:
        """Let go of what reading shares."""
        release: Callable[[], None] = self.source.release
        return release

    @property
    def locate(self) -> Callable[[int], str]:
        """Where a row was read from."""
        locate: Callable[[int], str] = self.source.locate
        return locate

    def __str__(self) -> str:
        return str(self.source)


def named_by(sources: list[Any], meaning: str) -> str | None:
    """The column that sources of tables read for this; None where they do not say, or not the same."""
    told = {getattr(getattr(source, "columns", None), meaning, None) for source in sources}
    name = told.pop() if len(told) == 1 else None
    return name if isinstance(name, str) else None
