"""A table as an Excel workbook: numbers to 16 digits, shown short; text is never a formula."""

from io import BytesIO
from typing import Any

import pyarrow as pa

from ..errors import DataError, MissingExtraError

_MOST_ROWS = 1_048_575  # beside the header


def workbook(table: pa.Table, title: str) -> bytes:
    """A workbook of one sheet.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of numbers and text.
    title : str
        Of the sheet; at most 31 characters.

    Raises
    ------
    MissingExtraError
        openpyxl is not installed.
    DataError
        More rows than a sheet has, or text with characters that Excel does not take.
    """
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Font
        from openpyxl.utils import get_column_letter
        from openpyxl.utils.exceptions import IllegalCharacterError
    except ImportError:
        raise MissingExtraError("openpyxl", "excel") from None
    if table.num_rows > _MOST_ROWS:
        raise DataError(f"{table.num_rows:,} rows, and a sheet of Excel has {_MOST_ROWS:,}: write CSV (.csv)")
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"

    def cell(value: Any, bold: bool = False) -> Any:
        try:
            made = WriteOnlyCell(sheet, value)
        except IllegalCharacterError:
            raise DataError(f"{value!r} has a character that Excel does not take: write CSV (.csv)") from None
        if isinstance(value, str):
            made.data_type = "s"  # also what begins with "="
        elif isinstance(value, float):
            made.number_format = "0.0000"
        if bold:
            made.font = Font(bold=True)
        return made

    columns = table.to_pydict()
    for place, (name, values) in enumerate(columns.items(), 1):
        longest = max((len(one) for one in values if isinstance(one, str)), default=0)
        sheet.column_dimensions[get_column_letter(place)].width = min(max(12, len(name) + 2, longest + 2), 60)
    rows = [[cell(name, bold=True) for name in columns]]
    rows += [[cell(value) for value in row] for row in zip(*columns.values(), strict=True)]
    for row in rows:
        sheet.append(row)
    written = BytesIO()
    book.save(written)
    return written.getvalue()
