"""Files from paths, directories and globs."""

import glob
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

from ..errors import DataError


def expand(paths: str | PathLike[str] | Sequence[str | PathLike[str]], endings: tuple[str, ...] = ()) -> list[str]:
    """Absolute paths of files.

    Parameters
    ----------
    paths : path, or sequence of paths
        Files, directories and globs (`*`, `?`, `[...]`, `**`).
    endings : tuple of str
        Which files of a directory count; names that begin with "." or "_" never do.

    Returns
    -------
    list of str
        In the order given; within a directory or glob in the order of names.

    Raises
    ------
    DataError
        There is no such file, or none at all.
    """
    files: list[str] = []
    for given in [paths] if isinstance(paths, str | PathLike) else paths:
        path = Path(given)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if _counts(file, path, endings))
            if not found:
                raise DataError(f"{path}: there is no {' or '.join('*' + ending for ending in endings)} in it")
        elif path.exists():
            found = [path]
        else:
            found = sorted(Path(name) for name in glob.glob(fspath(given), recursive=True) if Path(name).is_file())
            if not found:
                what = "no file matches it" if glob.has_magic(fspath(given)) else "no such file or directory"
                raise DataError(f"cannot read {fspath(given)}: {what}")
        files += [str(file.absolute()) for file in found]
    if not files:
        raise DataError("no data: the list of files is empty")
    return files


def check_rows(files: Sequence[str], rows: Sequence[int]) -> None:
    """Refuse files that have no rows at all."""
    if not sum(rows):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise DataError(f"no rows: {files[0]}{more} is empty, at least one row is needed")


def _counts(file: Path, directory: Path, endings: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(directory).parts)
    return file.is_file() and not hidden and file.name.lower().endswith(endings)
