"""What a model sees of a column that comes through a door, beside what it should see."""

import re

import numpy as np
import pyarrow as pa
from kinds_of_values import KINDS, OTHERS, ROWS, plain

from fullbatch import DataError, Linear
from fullbatch.models.describe import as_numbers
from fullbatch.protocols.schema import Schema

A = np.arange(ROWS) / 3 - 1
T = (np.arange(ROWS) % 3 == 0) * 1

# What an error may call the column, where it has no name or is told by its meaning.
CALLED = {
    "feature": r"'v(\[\d\])?'|\bX\b|column \d",
    "category": r"'v(\[\d\])?'",
    "classes": r"'v'|\btarget\b|\blabel",
    "numbers": r"'v'|\btarget\b",
    "weight": r"'v'|\bweights?\b",
    "offset": r"'v'|\boffset\b",
}
REMEDY = (
    r"[Ll]eave|[Dd]erive|[Ff]ill|[Cc]orrect|\b[Uu]se\b|[Cc]ast|[Cc]hoose|[Tt]ell|[Mm]ake|[Gg]ive|[Rr]ead it|[Rr]emove|"
    r"[Rr]ename|[Ww]rite|[Nn]ame|its columns are"
)


def roles_of(meaning):
    """How a table's column v is given that meaning."""
    return {
        "feature": {"features": ["v"], "target": "t"},
        "category": {"features": ["v"], "target": "t", "categorical": ["v"]},
        "classes": {"features": ["a"], "target": "v"},
        "numbers": {"features": ["a"], "target": "v"},
        "weight": {"features": ["a"], "target": "t", "weight": "v"},
        "offset": {"features": ["a"], "target": "t", "offset": "v"},
    }[meaning]


def seen(sources, meaning, stored):
    """What a model sees of the column v."""
    read = [source.read() for source in sources]
    model = Linear("softmax" if meaning == "classes" else "squared")
    first, *others = (model.describe(rows, str(source)) for rows, source in zip(read, sources, strict=True))
    for other in others:
        first = first + other
    schema = Schema.of(first)
    (rows,) = read
    if meaning == "classes":
        return "labels", [schema.classes.tolist()], [schema.encode(rows.y).tolist()]
    if meaning == "numbers":
        return "numbers", as_numbers(rows.y, "y").tobytes()
    if meaning in ("weight", "offset"):
        return "numbers", as_numbers(getattr(rows, meaning), meaning).tobytes()
    if rows.categories:
        return (
            "levels",
            [category.levels.tolist() for category in rows.categories],
            [category.codes.tolist() for category in rows.categories],
        )
    assert rows.X.dtype == stored
    return "numbers", rows.X.astype(np.float64).tobytes()


def expected_of(door, meaning, kind):
    """Of a kind: its values, what should come of them, and the type of the features that come of them."""
    name = door.reads_as.get(kind, kind)
    read_as = {**OTHERS, **KINDS}[name]
    stored = KINDS[kind].stored if door.typed or kind == "bool" else "float64"  # of truth values texts tell, too
    told = "error" if (kind, meaning) in door.refuses else read_as.outcome(meaning)
    return OTHERS.get(name, KINDS[kind]).values, told, stored


def outcome_of(door, meaning, kind, held):
    """What came of it, and what should have come."""
    values, told, stored = expected_of(door, meaning, kind)
    expected = plain(values, told)
    try:
        found = seen(door.open(held, **roles_of(meaning)), meaning, stored)
    except DataError as error:
        message = str(error)
        unclear = not (re.search(CALLED[meaning], message) and re.search(REMEDY, message))
        return (message,) if unclear else (), expected
    return found, expected


def table_of(kind):
    """A table with the values of a kind as its column v."""
    return pa.table({"a": A, "v": KINDS[kind].column, "t": T})


def held_kinds(door, folder):
    """Each kind that a door can hold, and what holds it."""
    for number, kind in enumerate(KINDS):
        if kind not in door.lacks:
            its = folder / str(number)
            its.mkdir()
            yield kind, door.hold(table_of(kind), its)


def faults_of(door, folder):
    """What is otherwise than it should be, over all meanings and kinds."""
    faults = []
    for kind, held in held_kinds(door, folder):
        for meaning in door.meanings:
            try:
                found, expected = outcome_of(door, meaning, kind, held)
            except Exception as error:  # any other is a fault, which is told with its place in the matrix
                found, expected = f"{type(error).__name__}: {error}", "an error of fullbatch"
            if found != expected:
                faults.append(f"{kind} as {meaning}: {found}, not {expected}")
    return faults
