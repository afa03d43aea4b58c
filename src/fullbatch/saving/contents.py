"""What a file of ours may hold, described once: what is written is checked by it, and what is read.

A description is data, so that tests make wrong contents of every kind from it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DamagedError

Array = npt.NDArray[Any]

_LARGEST = 2**53  # whole numbers up to here are exact wherever they go
_KINDS = {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "numbers", "S": "bytes", "U": "text"}


class Rule(ABC):
    """What a value of the metadata may be."""

    @abstractmethod
    def problem(self, value: Any) -> str:
        """What it must be, in words, if it is not; else nothing."""


@dataclass(frozen=True)
class Number(Rule):
    """A number from `least` to `most`; finite unless told otherwise."""

    least: float = -math.inf
    most: float = math.inf
    whole: bool = False
    infinite: bool = False
    above: bool = False  # `least` itself is too little

    def problem(self, value: Any) -> str:
        kinds = int if self.whole else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        if fits and isinstance(value, int):
            fits = abs(value) <= _LARGEST
        fits = fits and (self.infinite or math.isfinite(value))
        fits = fits and self.least <= value <= self.most and not (self.above and value == self.least)
        return "" if fits else self._words()

    def _words(self) -> str:
        kind = "a whole number" if self.whole else "a number" if self.infinite else "a finite number"
        least = "" if self.least == -math.inf else f" {'above' if self.above else 'from'} {self.least:g}"
        most = "" if self.most == math.inf else f" up to {self.most:g}"
        return f"must be {kind}{least}{most}"


@dataclass(frozen=True)
class NumberAsText(Rule):
    """A number as text, since JSON has no infinity."""

    number: Number

    def problem(self, value: Any) -> str:
        plain = isinstance(value, str) and value.isascii() and "_" not in value and value == value.strip()
        try:
            return self.number.problem(float(value)) if plain else "must be a number as text"
        except ValueError:
            return "must be a number as text"


@dataclass(frozen=True)
class Flag(Rule):
    """True or false."""

    def problem(self, value: Any) -> str:
        return "" if isinstance(value, bool) else "must be true or false"


@dataclass(frozen=True)
class Text(Rule):
    """Text, one of `choices` if there are any."""

    choices: tuple[str, ...] = ()

    def problem(self, value: Any) -> str:
        if isinstance(value, str) and (not self.choices or value in self.choices):
            return ""
        return f"must be one of {', '.join(map(repr, self.choices))}" if self.choices else "must be text"


@dataclass(frozen=True)
class Null(Rule):
    """Nothing."""

    def problem(self, value: Any) -> str:
        return "" if value is None else "must be null"


@dataclass(frozen=True)
class Anything(Rule):
    """Whatever JSON can hold: of solvers that are not ours."""

    def problem(self, value: Any) -> str:
        return ""


class Either(Rule):
    """What one of several rules allows."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def problem(self, value: Any) -> str:
        problems = [rule.problem(value) for rule in self.rules]
        return "" if "" in problems else " or ".join(problems)


class Row(Rule):
    """A list of so many values, each with a rule of its own."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def problem(self, value: Any) -> str:
        if not isinstance(value, list) or len(value) != len(self.rules):
            return f"must be a list of {len(self.rules)}"
        return next((words for rule, one in zip(self.rules, value, strict=True) if (words := rule.problem(one))), "")


@dataclass(frozen=True)
class Each(Rule):
    """A list of values that all obey one rule."""

    rule: Rule

    def problem(self, value: Any) -> str:
        if not isinstance(value, list):
            return "must be a list"
        return next((words for one in value if (words := self.rule.problem(one))), "")


@dataclass(frozen=True)
class Named(Rule):
    """Values by any names."""

    rule: Rule

    def problem(self, value: Any) -> str:
        if not isinstance(value, dict):
            return "must be values by name"
        return next((f"{name} {words}" for name, one in value.items() if (words := self.rule.problem(one))), "")


@dataclass(frozen=True)
class Parts(Rule):
    """Values by exactly these names, of which some may be missing."""

    rules: Mapping[str, Rule]
    optional: frozenset[str] = frozenset()

    def problem(self, value: Any) -> str:
        if not isinstance(value, dict):
            return "must be values by name"
        for name in [*self.rules.keys() - value.keys() - self.optional, *value.keys() - self.rules.keys()]:
            return f"{name} is {'missing' if name in self.rules else 'unknown'}"
        return next((f"{name} {words}" for name in value if (words := self.rules[name].problem(value[name]))), "")


@dataclass(frozen=True)
class Member:
    """What an array may be.

    Parameters
    ----------
    kinds : str
        Of its type, as in `numpy.dtype.kind`; numbers are float64.
    shape : tuple of int, str or None, optional
        Lengths: a number, a name of `Contents.sizes`, or None for any; default: any shape.
    least : float
        Of its values.
    infinite : bool
        Values need not be finite; NaN is none in any case.
    increasing : bool
        Each value is larger than the one before.
    fewest : int
        Values at the least.
    optional : bool
        It need not be there.
    """

    kinds: str
    shape: tuple[int | str | None, ...] | None = None
    least: float = -math.inf
    infinite: bool = False
    increasing: bool = False
    fewest: int = 0
    optional: bool = False

    def problem(self, array: Array, sizes: Mapping[str, int], told_by: Mapping[str, str]) -> str:
        """What it must be, in words, if it is not; else nothing."""
        kind = array.dtype.kind
        if kind not in self.kinds or (kind == "f" and self.kinds == "f" and array.dtype != np.float64):
            return f"is of type {array.dtype}, it must be {' or '.join(dict.fromkeys(_KINDS[k] for k in self.kinds))}"
        if self.shape is not None:
            wanted = tuple(sizes[length] if isinstance(length, str) else length for length in self.shape)
            fits = len(wanted) == array.ndim
            fits = fits and all(want in (None, length) for want, length in zip(wanted, array.shape, strict=True))
            if not fits:
                tellers = [told_by[length] for length in self.shape if isinstance(length, str) and length in told_by]
                by = f" by {' and '.join(dict.fromkeys(tellers))}" if tellers else ""
                return f"has shape {array.shape}, it must be {str(wanted).replace('None', 'any')}{by}"
        if kind == "f" and not np.isfinite(array).all() and (not self.infinite or np.isnan(array).any()):
            return "has values that are not finite"
        if kind in "fiu" and array.size and array.min() < self.least:
            return f"has values below {self.least:g}"
        if array.size < self.fewest:
            return f"has {array.size} values, it must have {self.fewest} at the least"
        if self.increasing and not (array[:-1] < array[1:]).all():
            return "is not sorted, or has a value twice"
        return ""


def _no_sizes(values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    return {}


def _agree(values: Mapping[str, Any], arrays: Mapping[str, Array]) -> tuple[str, str]:
    return "", ""


@dataclass(frozen=True)
class Contents:
    """What a kind of file holds.

    Parameters
    ----------
    values : mapping of str to Rule
        Of the metadata.
    members : mapping of str to Member
        Arrays. Of a name that ends in "*" there may be any number, in place of the star 0, 1, 2 and so on; where it
        ends in "/*", anything.
    sizes : callable
        Lengths by the names that shapes are told in, from the checked values and from the shapes of the arrays.
    told_by : mapping of str to str
        What tells these lengths, for messages.
    agreement : callable
        From the checked values and arrays: the name of one that does not agree with others, and what it must be.
    defaults : mapping of str to object
        Values, and arrays, that a file may lack: files of an earlier fullbatch have none.
    """

    values: Mapping[str, Rule] = field(default_factory=dict)
    members: Mapping[str, Member] = field(default_factory=dict)
    sizes: Callable[[Mapping[str, Any], Mapping[str, tuple[int, ...]]], dict[str, int]] = _no_sizes
    told_by: Mapping[str, str] = field(default_factory=dict)
    agreement: Callable[[Mapping[str, Any], Mapping[str, Array]], tuple[str, str]] = _agree
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def check(self, where: str, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Refuse what is not as described.

        Raises
        ------
        DamagedError
            Names file and member, and says what it must be.
        """
        for name, problem in self.problems(values, arrays):
            raise DamagedError(f"{where} is damaged: {name} {problem}: take another copy of it, or write it again")

    def problems(self, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> Iterator[tuple[str, str]]:
        """Names of values and arrays, and what is wrong with them; later ones assume that earlier ones were right."""
        for name in self.values.keys() - values.keys() - self.defaults.keys():
            yield name, "is missing"
        for name, value in values.items():
            if name not in self.values:
                yield name, "is unknown"
            elif problem := self.values[name].problem(value):
                yield name, f"{problem}, not {_short(value)}"
        described = {name: self.member(name) for name in arrays}
        for name, member in described.items():
            if member is None:
                yield name, "is unknown"
        for name, member in self.members.items():
            if name.endswith("*"):
                yield from _gaps(name, arrays)
            elif not (member.optional or name in arrays or name in self.defaults):
                yield name, "is missing"
        for name, member in described.items():
            if member is not None and member.shape is not None and arrays[name].ndim != len(member.shape):
                yield name, f"has shape {arrays[name].shape}, it must have {len(member.shape)} dimensions"
        sizes = self.sizes(values, {name: array.shape for name, array in arrays.items()})
        for name, member in described.items():
            if member is not None and (problem := member.problem(arrays[name], sizes, self.told_by)):
                yield name, problem
        name, problem = self.agreement(values, arrays)
        if problem:
            yield name, problem

    def member(self, name: str) -> Member | None:
        """The description of an array of that name."""
        if name in self.members:
            return self.members[name]
        for pattern, member in self.members.items():
            start = pattern.removesuffix("*")
            if start != pattern and name.startswith(start) and (start.endswith("/") or name[len(start) :].isdecimal()):
                return member
        return None


def _gaps(pattern: str, arrays: Mapping[str, Array]) -> Iterator[tuple[str, str]]:
    start = pattern.removesuffix("*")
    if start.endswith("/"):
        return
    count = sum(name.startswith(start) for name in arrays)
    for number in range(count):
        if f"{start}{number}" not in arrays:
            yield f"{start}{number}", "is missing"


def _short(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
