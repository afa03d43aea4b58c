"""How numbers stand in texts: what reads them, and what to say of a text that looks like a number and is none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# A column of which more than this share reads as numbers, in whatever way they are written, is no text.
_STRAY = 0.9
# Texts that often stand for a missing value and that Arrow takes for text; so do blanks alone.
_MARKERS = (
    "?",
    "-",
    "--",
    "---",
    ".",
    "..",
    "*",
    "none",
    "<na>",
    "<null>",
    "(null)",
    "missing",
    "unknown",
    "#n/a",
    "\\n",
)
_SIGNS = ("%", "\u2030", "$", "\u20ac", "\u00a3", "\u00a5", "\u20b9", "USD", "EUR", "GBP", "CHF", "JPY", "INR")
_SEPARATORS = (",", ".", "'", "\u2019", " ", "\u00a0", "\u202f", "_")
_DATE = (
    r"\s*(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{4}|[0-9]{2})"
    r"|[0-9]{1,2}[- ]?[A-Za-z]{3,9}\.?[- ]?(?:[0-9]{4}|[0-9]{2})|[A-Za-z]{3,9}\.? [0-9]{1,2}, ?[0-9]{4})"
    r"(?:[T ]+[0-9]{1,2}:[0-9]{2}.*)?\s*|\s*[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?[AaPp][Mm])?\s*"
)


@dataclass(frozen=True)
class NumberText:
    """How numbers are written.

    Parameters
    ----------
    decimal : str
        Stands before the fraction.
    thousands : str or None
        May stand between groups of digits.
    units : tuple of str
        Signs that may stand before or behind a number and are left out.

    Raises
    ------
    ValueError
        They cannot be told apart.
    """

    decimal: str = "."
    thousands: str | None = None
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option in ("decimal", "thousands"):
            mark = getattr(self, option)
            if option == "thousands" and mark is None:
                continue
            if not isinstance(mark, str) or len(mark) != 1 or mark.isalnum() or mark in "+-":
                raise ValueError(f"{option} must be one character that is no letter, digit or sign, got {mark!r}")
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}: they must differ")
        if any(not isinstance(unit, str) or not unit or re.search(r"[0-9+\-]", unit) for unit in self.units):
            raise ValueError(f"units must be texts without digits and signs, such as '%', got {list(self.units)!r}")

    @property
    def is_plain(self) -> bool:
        """Whether Arrow reads such numbers by itself."""
        return self.thousands is None and not self.units

    @cached_property
    def pattern(self) -> str:
        """A number, as a regular expression that Python and Arrow read alike."""
        return _pattern(self.decimal, () if self.thousands is None else (self.thousands,), self.units)

    def reads(self, text: str) -> bool:
        """Whether a text is such a number."""
        return re.fullmatch(self.pattern, text) is not None

    def convert(self, texts: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
        """Texts as numbers of a type; missing ones stay so.

        Raises
        ------
        pyarrow.ArrowInvalid
            One of them is no such number.
        """
        if pc.any(pc.invert(_matches(texts, self.pattern))).as_py():
            raise pa.ArrowInvalid("not all texts are numbers")
        aside = [*self.units, *([] if self.thousands is None else [self.thousands]), "+", " ", "\t"]
        texts = pc.replace_substring_regex(texts, "|".join(map(re.escape, aside)), "")
        if self.decimal != ".":
            texts = pc.replace_substring(texts, self.decimal, ".")
        return texts.cast(type_)

    def stray(self, texts: Any) -> int | None:
        """Of a column of text that nobody called text: the first that shows it to be something else, if it does.

        Nearly all are numbers, or dates, in whatever way they are written; or there is nothing but marks of missing
        values beside numbers or truth values.
        """
        valid = pc.is_valid(texts)
        marks = pc.and_(valid, _are_marks(texts))
        plain = _matches(texts, self.pattern)
        numbers = pc.or_(plain, pc.or_(_matches(texts, _LIKE["."]), _matches(texts, _LIKE[","])))
        dates = _matches(texts, _DATE)
        rest = _count(valid) - _count(marks)
        truths = pc.is_in(pc.ascii_lower(pc.ascii_trim_whitespace(texts)), pa.array(["true", "false"], texts.type))
        if rest == 0:
            return _first(marks)
        if _count(pc.and_(valid, numbers)) > _STRAY * rest:
            return _first(pc.and_(valid, pc.invert(plain)))
        if _count(truths) == rest:
            return _first(marks)
        if _count(pc.and_(valid, dates)) > _STRAY * rest:
            return _first(pc.and_(valid, dates))
        return None

    def complaint(self, text: str) -> str:
        """What is wrong with a text that should be a number, and what reads it."""
        if is_mark(text):
            return f"stands for a missing value, it seems. Read it so, with missing_values=[{text!r}]"
        if told := " or ".join(dict.fromkeys(map(self._difference, self._other_ways(text)))):
            return f"is no number as it stands. Read it with {told}"
        if re.fullmatch(_DATE, text):
            return "looks like a date or time. Derive numbers from it first, or leave the column out with exclude"
        return "is no number, as most of the column's values are. Correct it"

    def _other_ways(self, text: str) -> Iterator["NumberText"]:
        """Other ways of writing numbers in which it is one, those that change little first."""
        units = tuple(dict.fromkeys((*self.units, *(sign for sign in _SIGNS if sign in text))))
        marks = dict.fromkeys((self.thousands, None, *(mark for mark in _SEPARATORS if mark in text)))
        pairs = [(decimal, mark) for decimal in (self.decimal, "," if self.decimal == "." else ".") for mark in marks]
        ways = [
            replace(self, decimal=decimal, thousands=mark, units=units) for decimal, mark in pairs if decimal != mark
        ]
        ways = [way for way in ways if way.reads(text)]
        least = min(map(self._changes, ways), default=0)
        yield from (way for way in ways if self._changes(way) == least)

    def _changes(self, way: "NumberText") -> int:
        return (way.decimal != self.decimal) + (way.thousands != self.thousands)

    def _difference(self, way: "NumberText") -> str:
        told = []
        if way.decimal != self.decimal:
            told.append(f"decimal={way.decimal!r}")
        if way.thousands not in (self.thousands, None):
            told.append(f"thousands={way.thousands!r}")
        if way.units != self.units:
            told.append(f"units={list(way.units)}")
        return " and ".join(told)


def stray_text(where: str, row: int, name: str, text: str, numbers: NumberText) -> str:
    """The message for a text in a column of numbers, wherever it was found."""
    return (
        f"{where}: row {row}, column {name!r}: {text!r} {numbers.complaint(text)}; or tell that it is text, "
        f'types={{{name!r}: "string"}}'
    )


def _pattern(decimal: str, thousands: tuple[str, ...], units: tuple[str, ...]) -> str:
    point = re.escape(decimal)
    unit = f"(?:{'|'.join(map(re.escape, units))})?[ \t]*" if units else ""
    group = f"[{''.join(map(re.escape, thousands))}]"
    whole = f"(?:[0-9]+|[0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}})" if thousands else "[0-9]+"
    body = f"(?:(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][-+]?[0-9]+)?|(?i:inf(?:inity)?))"
    return f"[ \t]*{unit}[-+]?[ \t]*{unit}{body}[ \t]*{unit}"


# What a person would read as a number: with any separators and signs of units, negative in the ways of accountants.
_LIKE = {
    decimal: r"[(]?[\x{2212}\x{a0}\s]*"
    + _pattern(decimal, tuple(mark for mark in _SEPARATORS if mark != decimal), _SIGNS)
    + r"[-)\x{a0}\s]*"
    for decimal in (".", ",")
}


def _matches(texts: Any, pattern: str) -> Any:
    return pc.match_substring_regex(texts, f"^(?:{pattern})$")


def _are_marks(texts: Any) -> Any:
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    return pc.is_in(plain, pa.array(["", *_MARKERS], plain.type))


def is_mark(text: str) -> bool:
    """Whether a text often stands for a missing value."""
    return text.strip().lower() in ("", *_MARKERS)


def _count(mask: Any) -> int:
    return pc.sum(mask).as_py() or 0


def _first(mask: Any) -> int | None:
    row: int = pc.index(mask, True).as_py()
    return row if row >= 0 else None
