"""Well-formed but wrong contents of files, made from the description of what they may hold."""

import io
import math

import numpy as np

from fullbatch.saving import archive, contents


def wrong_values(rule):
    """Values that a rule must refuse."""
    candidates = [
        None,
        True,
        "",
        "text",
        -1,
        0,
        1.5,
        2**60,
        math.nan,
        math.inf,
        -math.inf,
        "nan",
        "1_0",
        [],
        [1, 2],
        {},
    ]
    candidates += [{"x": "y"}, {"x": math.nan}, [["x", -1.0]], [[1]], [None]]
    if isinstance(rule, contents.Number):
        candidates += [math.nextafter(rule.least, -math.inf), math.nextafter(rule.most, math.inf)]
    if isinstance(rule, contents.Text):
        candidates += [choice + "s" for choice in rule.choices]
    if isinstance(rule, contents.Row):
        candidates += [[0] * (len(rule.rules) - 1), [0] * (len(rule.rules) + 1), ["x"] * len(rule.rules)]
    return [value for value in candidates if not allows(rule, value)]


def allows(rule, value):
    """What the rule means, told once more, apart from its own code."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match rule:
        case contents.Number():
            if (
                not number
                or (rule.whole and not isinstance(value, int))
                or value != value
                or abs(value) > 2**53 < math.inf
            ):
                return number and rule.infinite and value == math.inf and value <= rule.most
            return rule.least <= value <= rule.most and not (rule.above and value <= rule.least)
        case contents.NumberAsText():
            return value in ("inf",) and rule.number.infinite
        case contents.Flag():
            return value is True or value is False
        case contents.Text():
            return isinstance(value, str) and (value in rule.choices or not rule.choices)
        case contents.Null():
            return value is None
        case contents.Either():
            return any(allows(one, value) for one in rule.rules)
        case contents.Row():
            return isinstance(value, list) and len(value) == len(rule.rules) and all(map(allows, rule.rules, value))
        case contents.Each():
            return isinstance(value, list) and all(allows(rule.rule, one) for one in value)
        case contents.Named():
            return isinstance(value, dict) and all(allows(rule.rule, one) for one in value.values())
        case contents.Parts():
            return isinstance(value, dict) and rule.rules.keys() - rule.optional <= value.keys() <= rule.rules.keys()
    raise TypeError(rule)


def wrong_arrays(member, array):
    """Arrays that are not what a member may be."""
    kind = array.dtype.kind
    other = {"f": "<i8", "i": "<f8", "u": "<f8", "U": "<f8"}[kind]
    if "U" not in member.kinds:
        yield "text", np.full(array.shape, "x")
    if np.dtype(other).kind not in member.kinds:
        yield other, np.zeros(array.shape, other)
    if member.shape is not None:
        yield "another dimension", array[None]
    if kind == "f":
        if member.kinds == "f":
            yield "float32", array.astype("f4")
        if array.size:
            for value in (math.nan, *(() if member.infinite else (math.inf, -math.inf))):
                changed = array.copy()
                changed.reshape(-1)[array.size // 2] = value
                yield f"{value}", changed
    if kind in "fiu" and member.least > -math.inf and array.size:
        yield "too small", np.full(array.shape, member.least - 1).astype(array.dtype)
    if member.increasing and len(array) > 1:
        yield "backwards", array[::-1]
        yield "twice", np.repeat(array[:1], len(array))
    if array.ndim and member.shape is not None and any(length is not None for length in member.shape):
        yield "longer", np.concatenate([array, array[-1:]]) if len(array) else np.zeros((1, *array.shape[1:]))
        if len(array):
            yield "shorter", array[:-1]
    if array.ndim == 2 and array.size:
        yield "narrower", array[:, :-1]


def wrong_contents(described, values, arrays):
    """Names, and values and arrays of which the one of that name is wrong."""
    for name, rule in described.values.items():
        if name not in described.defaults:
            yield name, "missing", {key: value for key, value in values.items() if key != name}, arrays
        if isinstance(rule, contents.Parts):
            whole = values[name]
            for part, inner in rule.rules.items():
                if part not in rule.optional:
                    yield part, "missing", {**values, name: {key: v for key, v in whole.items() if key != part}}, arrays
                for value in wrong_values(inner):
                    yield part, repr(value), {**values, name: {**whole, part: value}}, arrays
            yield "unknown", "unknown", {**values, name: {**whole, "checkpoint": "unknown"}}, arrays
        for value in wrong_values(rule):
            yield name, repr(value), {**values, name: value}, arrays
    yield "stranger", "unknown", {**values, "stranger": 1}, arrays
    yield "stranger", "unknown", values, {**arrays, "stranger": np.zeros(3)}
    for name, array in arrays.items():
        member = described.member(name)
        if not (member.optional or name in described.defaults):
            yield name.rstrip("0123456789"), "missing", values, {key: one for key, one in arrays.items() if key != name}
        for what, changed in wrong_arrays(member, array):
            yield name, what, values, {**arrays, name: changed}


def packed(kind, arrays, values):
    """The bytes of a file that is well-formed, whatever it says."""
    file = io.BytesIO()
    archive.pack(file, kind, arrays, values)
    return file.getvalue()
