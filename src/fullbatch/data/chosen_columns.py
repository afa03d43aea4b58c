"""Which columns of a table are meant by what a person says, chosen once for all of its files."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from ..errors import DataError
from . import arrow
from .columns import OPTION, Columns, Roles, check_there
from .features import common_type


def choose_columns(
    roles: Roles,
    schemas: Sequence[pa.Schema],
    files: Sequence[str],
    text_wins: bool = False,
    door: str = OPTION,
) -> Columns:
    """The columns of a table that have these roles.

    Parameters
    ----------
    roles : Roles
        As a person says it.
    schemas : sequence of pyarrow.Schema
        Names and types of the columns of each file.
    files : sequence of str
        What has these columns, for messages.
    text_wins : bool
        As for `agree`.
    door : str
        How the caller asks for an option, for messages.

    Raises
    ------
    DataError
        A column is not there, or of a type that cannot be used.
    ValueError
        A column is given two meanings, or is categorical and no feature.
    """
    where = files[0]
    elements = {one.name: one for schema in schemas for column in schema for one in arrow.elements(column)}
    if elements:
        roles, schemas = _expanded(roles, elements), [arrow.expanded(schema) for schema in schemas]
    names = dict.fromkeys(name for schema in schemas for name in schema.names)
    meanings = [name for name in (roles.target, roles.weight, roles.offset) if name is not None]
    left_out = {*meanings, *roles.exclude, *(kept for schema in schemas for kept in _index_columns(schema))}
    chosen = [name for name in names if name not in left_out] if roles.features is None else list(roles.features)
    if (
        roles.features is None
        and "" in chosen
        and len(chosen) > 1
        and all(schema.names.index("") == 0 for schema in schemas if "" in schema.names)
    ):
        chosen.remove("")  # an index that was written without a name, as by pandas and R
    fills = list(roles.missing) if isinstance(roles.missing, Mapping) else []
    check_there([*meanings, *chosen, *roles.exclude, *roles.categorical, *fills], list(names), where)
    _check_names([*meanings, *chosen], schemas, files, door)
    meant = Counter((*meanings, *chosen, *roles.exclude))
    twice = [name for name in (*meanings, *chosen) if meant[name] > 1]
    if twice and roles.features is not None and list(roles.features).count(twice[0]) > 1:
        raise ValueError(f"the column {twice[0]!r} is named twice among the features: name it once")
    if twice:
        raise ValueError(
            f"the column {twice[0]!r} is given two meanings: target, weight, offset, features and exclude differ"
        )
    stray = [name for name in roles.categorical if name not in chosen]
    if stray:
        raise ValueError(f"the categorical column {stray[0]!r} is not among the features")
    types = agree(schemas, files, [*meanings, *chosen], text_wins)
    strange = {name: types[name] for name in chosen if arrow.kind(types[name]) == "other"}
    if strange:
        them = "it" if len(strange) == 1 else "them"
        how = f"derive numbers or text from {them}"
        if all(map(_is_list, strange.values())):
            how = f"make lists of one length of {them}, such as pyarrow.list_(pyarrow.float64(), 3), which are columns"
        leave_out = f"leave {them} out with {door.format(f'exclude={list(strange)}')}, or "
        advice = how if roles.features is not None else leave_out + how
        raise DataError(
            f"{where}: {', '.join(f'column {name!r} is {type_}' for name, type_ in strange.items())}: features are "
            f"numbers or text. {advice[0].upper()}{advice[1:]}"
        )
    if roles.target is not None and arrow.kind(types[roles.target]) == "other":
        told = f"column {roles.target!r} is {types[roles.target]}: targets are numbers or text"
        raise DataError(f"{where}: {told}. {arrow.NO_TARGET}")
    for name in (roles.weight, roles.offset):
        if name is not None and arrow.kind(types[name]) not in ("number", "null"):
            told = f"column {name!r} is {types[name]}, it must be numbers"
            raise DataError(f"{where}: {told}: name another, or make numbers of it")
    levels = [
        name
        for name in chosen
        if name in roles.categorical or arrow.kind(types[name]) == "text" or pa.types.is_dictionary(types[name])
    ]
    guessed = [name for name in levels if name not in roles.categorical and not pa.types.is_dictionary(types[name])]
    numeric = [name for name in chosen if name not in levels]
    dtype = roles.dtype or _common_type([types[name] for name in numeric], any(name in numeric for name in fills))
    return Columns(
        tuple(numeric),
        tuple(levels),
        dtype,
        roles.target,
        roles.weight,
        roles.offset,
        roles.missing,
        tuple(guessed),
        elements={name: elements[name] for name in (*meanings, *chosen) if name in elements},
        door=door,
    )


def agree(
    schemas: Sequence[pa.Schema], files: Sequence[str], names: Sequence[str], text_wins: bool = False
) -> dict[str, pa.DataType]:
    """Types of some columns, each of which stands once in each file.

    A column may be numbers of several types; a file without values in a column does not count.

    Parameters
    ----------
    schemas : sequence of pyarrow.Schema
        Of each file.
    files : sequence of str
        Their names, for messages.
    names : sequence of str
        Of the columns.
    text_wins : bool
        Types were guessed from text: where one file has text, the numbers of another are text too.

    Returns
    -------
    dict of str to pyarrow.DataType
        By name.

    Raises
    ------
    DataError
        A column is numbers in one file and something else in another.
    """
    types = {}
    for name in names:
        mine, first = schemas[0].field(name).type, files[0]
        for schema, file in zip(schemas[1:], files[1:], strict=True):
            other = schema.field(name).type
            try:
                mine, first = _joint(mine, other, text_wins), file if pa.types.is_null(mine) else first
            except TypeError:
                raise DataError(
                    f"{file}: column {name!r} is {other}, in {first} it is {mine}: every file needs the same columns"
                ) from None
        types[name] = mine
    return types


def _joint(mine: pa.DataType, other: pa.DataType, text_wins: bool) -> pa.DataType:
    kinds = arrow.kind(mine), arrow.kind(other)
    if mine == other or kinds[1] == "null":
        return mine
    if kinds[0] == "null":
        return other
    if pa.types.is_dictionary(mine) and pa.types.is_dictionary(other) and kinds[0] == kinds[1]:
        return mine
    if kinds == ("number", "number"):
        whole = pa.types.is_integer(mine) and pa.types.is_integer(other)
        return pa.int64() if whole else pa.float64()
    if kinds == ("text", "text") or (text_wins and set(kinds) == {"text", "number"}):
        return pa.string()
    raise TypeError


def _expanded(roles: Roles, elements: Mapping[str, arrow.Element]) -> Roles:
    """Roles in which the name of a column of lists stands for the columns of their elements."""
    of_column: dict[str, list[str]] = {}
    for one in elements.values():
        of_column.setdefault(one.column, []).append(one.name)

    def every(names: Iterable[str]) -> list[str]:
        return [one for name in names for one in of_column.get(name, [name])]

    missing = roles.missing
    if isinstance(missing, Mapping):
        missing = {one: value for name, value in missing.items() for one in every([name])}
    return replace(
        roles,
        features=None if roles.features is None else every(roles.features),
        exclude=every(roles.exclude),
        categorical=every(roles.categorical),
        missing=missing,
    )


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_list_view(type_))


def _check_names(used: Sequence[str], schemas: Sequence[pa.Schema], files: Sequence[str], door: str) -> None:
    """Each column that is used has a name, and stands once in each file."""
    counts = [Counter(schema.names) for schema in schemas]
    for name in used:
        for count, schema, file in zip(counts, schemas, files, strict=True):
            if not name and count[name]:
                number = max(number for number, other in enumerate(schema.names) if not other)
                leave_out = door.format("exclude=['']")
                raise DataError(f"{file}: column {number} has no name: name it, or leave it out with {leave_out}")
            if count[name] > 1:
                raise DataError(f"{file}: two columns are named {name!r}: rename one of them")
            if not count[name]:
                has = next(other for other, whose in zip(files, counts, strict=True) if whose[name])
                raise DataError(
                    f"{file}: there is no column {name!r}, which {has} has: every file needs the same columns"
                )


def _index_columns(schema: pa.Schema) -> list[str]:
    """Columns that pandas kept the index of a frame in: no features, unless they are named."""
    kept = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in kept if isinstance(name, str)]


def _common_type(types: list[pa.DataType], is_filled: bool) -> str:
    """The smallest type that holds the columns without loss."""
    names = {"halffloat": "float16", "float": "float32"}
    common = common_type(names.get(str(type_), str(type_)) for type_ in types)
    return "float32" if is_filled and common in ("uint8", "int8") else common
