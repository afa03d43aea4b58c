"""What a file holds, told by its first bytes where these are a format's own."""

import zipfile
from typing import NamedTuple

from ..errors import DataError, first_line
from .paths import cannot_read, open_file

_HEAD = 512


class Content(NamedTuple):
    """What a file holds.

    Parameters
    ----------
    format : str or None
        Its format, as `fullbatch.file_sources` calls it; None for what is not read.
    called : str
        In words.
    advice : str
        What to do, if it is not read.
    """

    format: str | None
    called: str
    advice: str = ""


_MAGIC = {
    b"PAR1": Content("parquet", "a Parquet file"),
    b"ARROW1\0\0": Content("arrow", "an Arrow file"),
    b"ORC": Content("orc", "an ORC file"),
    b"\x93NUMPY": Content("npy", "a .npy file"),
    b"\xff\xff\xff\xff": Content(
        None,
        "an Arrow stream, whose batches cannot be read apart",
        "write it as an Arrow file or as Parquet, or give table_sources what pyarrow.ipc.open_stream(...).read_all() "
        "returns",
    ),
    b"FEA1": Content(None, "a file of Feather's first version", "write it again with pyarrow.feather.write_feather"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Content(
        None, "an Excel workbook", "save the sheet as CSV, or give table_sources what pandas.read_excel returns"
    ),
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ARRAYS = Content("npz", "a .npz file")
_WORKBOOK = _MAGIC[b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
_ARCHIVE = Content(None, "a zip archive", "unpack it, and give the files that were in it")


def content_of(path: str) -> Content | None:
    """What a file holds; None for text, and for whatever else has no sign of its own."""
    try:
        with open_file(path) as file:
            head = file.read(_HEAD)
            if head.startswith(_ZIP):
                return _packed(file)
    except OSError as error:
        raise cannot_read(path, error) from None
    if not any(byte < ord("\t") for byte in head) and not head.startswith(b"\xff\xff\xff\xff"):
        return None  # text, which may begin with "ORC"
    return next((content for magic, content in _MAGIC.items() if head.startswith(magic)), None)


def check_content(path: str, format: str) -> None:
    """Refuse a file of that format, by its name or by what was told, that holds another one."""
    content = content_of(path)
    if content is not None and content.format != format:
        raise _other_content(path, format, content)


def not_whole(path: str, format: str, error: Exception, called: str) -> DataError:
    """What is told of a file that does not read as the format, called so, that it should have."""
    content = content_of(path)
    if content is not None and content.format != format:
        return _other_content(path, format, content)
    return DataError(f"{path} is not a whole {called}: {first_line(error)}: write it again")


def format_of_content(path: str) -> str | None:
    """The format of a file that no name and nobody tells; None where its content does not tell it either."""
    content = content_of(path)
    if content is None:
        return None
    if content.format is None:
        raise DataError(f"{path} is {content.called}: {content.advice}")
    return content.format


def _other_content(path: str, format: str, content: Content) -> DataError:
    if content.format is None:
        return DataError(f"{path} is {content.called}: {content.advice}")
    return DataError(
        f"{path} should be of the format {format}, by its name or by what was told, and is {content.called}: rename "
        f"it, or read it with format={content.format!r}"
    )


def _packed(file: object) -> Content | None:
    """What a zip archive is used for, unless it is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:  # type: ignore[call-overload]
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return None
    if any(name.endswith(".npy") for name in names):
        return _ARRAYS
    return _WORKBOOK if "xl/workbook.xml" in names or "xl/workbook.bin" in names else _ARCHIVE
