"""Parts of messages: where something stands, several values, what another error says."""

from collections.abc import Iterable
from typing import Any


def located(source: Any, row: int) -> str:
    """Where a row of a source's block stands, in words: by its file, if the source knows it."""
    locate = getattr(source, "locate", None)
    return f"{source}: row {row}" if locate is None else str(locate(row))


def first_line(error: Exception) -> str:
    """What an error says, as far as the end of its first line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def shortened(values: Iterable[Any], most: int = 8) -> str:
    """The first of several values, for a message."""
    listed = list(values)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(map(repr, listed[:most])) + more
