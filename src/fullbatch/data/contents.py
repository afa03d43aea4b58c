"""What a file holds, told by its first bytes where these are a format's own."""

import re
import zipfile
from typing import NamedTuple

from ..errors import DataError
from ..wording.messages import first_line
from .paths import cannot_read, open_file
from .unpacked import as_utf8, first_bytes


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
_TO_UNPACK = "unpack it, and give the files that were in it: texts may be packed one by one, as .gz, .bz2, .xz or .zst"
_ZIP_ARCHIVE, _TAR_ARCHIVE = (Content(None, f"a {kind} archive", _TO_UNPACK) for kind in ("zip", "tar"))
_JSON = re.compile(rb'[\s\[]*\{\s*["}]')  # an array of objects is refused where it is read


def content_of(path: str) -> Content | None:
    """What a file holds, packed or not; None for text, and for whatever else has no sign of its own."""
    packing, head = first_bytes(path)
    if head[257:262] == b"ustar":
        return _TAR_ARCHIVE
    if not any(byte < ord("\t") for byte in head) and not head.startswith(b"\xff\xff\xff\xff"):
        return None  # text, which may begin with "ORC"
    if head.startswith(_ZIP):
        content = _in_zip(path) if not packing else _ZIP_ARCHIVE
    else:
        content = next((content for magic, content in _MAGIC.items() if head.startswith(magic)), None)
    if packing and content is not None and content.format is not None:
        return Content(None, f"{content.called}, packed as {packing}", "unpack it")
    return content


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
        return "jsonl" if _JSON.match(as_utf8(first_bytes(path)[1])) else None
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


def _in_zip(path: str) -> Content | None:
    """What a zip archive is used for, unless it is damaged."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except OSError as error:
        raise cannot_read(path, error) from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return None
    if any(name.endswith(".npy") for name in names):
        return _ARRAYS
    return _WORKBOOK if "xl/workbook.xml" in names or "xl/workbook.bin" in names else _ZIP_ARCHIVE
