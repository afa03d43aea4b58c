"""Files that are whole or not there, also where the machine fails."""

import contextlib
import os
from pathlib import Path
from typing import IO


def sync(file: IO[bytes]) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make a file's new name last, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems of networks cannot
            os.fsync(handle)
    finally:
        os.close(handle)
