"""Solver states in files: what a file of each may hold, by the types of its fields, and what a checkpoint adds."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from os import PathLike
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from ..errors import DamagedError, ModelFileError
from ..saving.archive import Stacked
from ..saving.contents import Anything, Contents, Either, Flag, Member, Named, Null, Number, Row, Rule, Text
from ..saving.files import read, write
from ..solvers.descent import DescentState
from ..solvers.lbfgs import LBFGSState
from ..solvers.least_squares import LeastSquaresState
from ..solvers.newton import NewtonState
from ..solvers.newton_cg import NewtonCGState
from ..solvers.owlqn import OWLQNState
from ..solvers.proximal import ProximalState
from ..solvers.sampled import SampledState
from .result import Status

Array = npt.NDArray[Any]

STATES = {
    kind.__name__: kind
    for kind in (LBFGSState, SampledState, NewtonState, NewtonCGState, LeastSquaresState, ProximalState, OWLQNState)
}

_FINGERPRINT = "fingerprint/"  # begins the names of arrays that are not the state's


# --- states -----------------------------------------------------------------------------------------------------------


def save_state(path: str | PathLike[str], state: Any) -> None:
    """Save a solver's state (`Result.state`), to go on later with `minimize(resume=load_state(path))`.

    Parameters
    ----------
    path : path
        Where.
    state : solver state
        Of a solver of fullbatch: arrays and scalars.
    """
    kind = type(state).__name__
    if kind not in STATES:
        raise TypeError(f"{kind} cannot be saved; states that can: {', '.join(STATES)}")
    write(path, kind, *contents_of(state))


def load_state(path: str | PathLike[str]) -> Any:
    """A solver's state as `save_state` saved it, or as it stands in a checkpoint, equal to the bit.

    Raises
    ------
    ModelFileError
        As `saving.files.read`.
    """
    kind, arrays, metadata = read(path, tuple(STATES))
    where = os.fspath(path)
    if any(name in metadata for name in OF_A_RUN.values):
        arrays, metadata, _, _ = apart(where, arrays, metadata)
    return state_of(where, STATES[kind], arrays, metadata)


def contents_of(state: Any) -> tuple[dict[str, Array | Stacked], dict[str, Any]]:
    """The arrays and the metadata that a solver's state is saved as."""
    arrays: dict[str, Array | Stacked] = {}
    metadata: dict[str, Any] = {}
    types = _types(type(state))
    for field in fields(state):
        value, type_ = getattr(state, field.name), types[field.name]
        if isinstance(value, tuple) and (_is_vectors(type_) or type_ is Any):
            arrays[field.name] = Stacked(value, state.theta.size)
        elif type_ is float and value is not None:
            arrays[field.name] = np.asarray(value, np.float64)
        elif isinstance(value, np.ndarray | float):
            arrays[field.name] = np.asarray(value)
        else:
            metadata[field.name] = value
    return arrays, metadata


def state_of(where: str, kind: type[Any], arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Any:
    """The state of that kind from what `contents_of` made of it. A field that is missing has its default.

    Raises
    ------
    DamagedError
        Something is missing, unknown, or not as a state of that kind has it.
    """
    state_contents(kind).check(where, metadata, arrays)
    values: dict[str, Any] = {}
    types = _types(kind)
    for field in fields(kind):
        if field.name in arrays:
            array, type_ = arrays[field.name], types[field.name]
            if type_ is float or (type_ is Any and array.ndim == 0):
                values[field.name] = float(array)
            else:
                stacked = _is_vectors(type_) or (type_ is Any and array.ndim == 2)
                values[field.name] = tuple(array) if stacked else array
        elif field.name in metadata:
            values[field.name] = metadata[field.name]
        elif not _has_default(field):
            raise DamagedError(
                f"{where} is damaged: {field.name} is missing: take another copy of it, or write it again"
            )
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:  # of a class of the caller's own
        raise DamagedError(f"{where} is damaged: no {kind.__name__} can be made of it: {error}") from None


def state_contents(kind: type[Any]) -> Contents:
    """What a file of such a state holds, by the types of its fields; of our solvers more is known of some."""
    values: dict[str, Rule] = {}
    members: dict[str, Member] = {}
    types, ours = _types(kind), issubclass(kind, DescentState)
    for field in fields(kind):
        name, type_ = field.name, types[field.name]
        known = _KNOWN.get(name) if ours else None
        if type_ is float:
            members[name] = known if isinstance(known, Member) else Member("f", (), infinite=True)
        elif _is_vectors(type_):
            members[name] = known if isinstance(known, Member) else Member("f", (None, "size"))
        elif _is_array(type_):
            members[name] = known if isinstance(known, Member) else Member("biufSU", infinite=True)
        elif type_ is Any:
            members[name], values[name] = Member("biufSU", infinite=True, optional=True), Anything()
        else:
            values[name] = known if isinstance(known, Rule) else _SCALARS[type_]
    anything = [name for name in values if isinstance(values[name], Anything)]
    for name in _maybe_none(kind):
        values[name] = Either(Null(), values[name]) if name in values else Null()
        anything.append(name)
        if name in members:
            members[name] = Member(members[name].kinds, members[name].shape, infinite=True, optional=True)
    defaults = dict.fromkeys([*anything, *(field.name for field in fields(kind) if _has_default(field))])
    agreement = {"agreement": _values_agree} if ours else {}
    return Contents(values, members, _state_sizes, _TOLD_BY, defaults=defaults, **agreement)


# Beyond their types.
_VECTOR, _VALUE, _NORM = Member("f", ("size",)), Member("f", ()), Member("f", (), least=0.0)
_KNOWN: Mapping[str, Rule | Member] = {
    **dict.fromkeys(("theta", "grad", "direction", "aim", "found", "found_grad"), _VECTOR),
    **dict.fromkeys(("value", "first_value", "found_value"), _VALUE),
    **dict.fromkeys(("first_norm", "best_norm"), _NORM),
    **dict.fromkeys(("iteration", "stalled", "built_iteration", "builds"), Number(0, whole=True)),
    "values": Member("f", ("iterates",)),
    "steps": Member("f", ("pairs", "size")),
    "changes": Member("f", ("pairs", "size")),
    "condition": Member("f", (), least=0.0, infinite=True),
    "built_at": Member("f", ("built",)),
    "built_grad": Member("f", ("built",)),
    "columns": Member("iu", (None,), least=0),
    "rank": Number(-1, whole=True),
    "failure": Text(("", *(status.value for status in Status))),
}
_TOLD_BY = {"size": "theta", "iterates": "iteration", "pairs": "steps", "built": "theta and built_at"}
_SCALARS: Mapping[Any, Rule] = {int: Number(whole=True), bool: Flag(), str: Text()}


def _state_sizes(values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    size = shapes["theta"][0] if "theta" in shapes else 0
    sizes = {"size": size, "pairs": shapes["steps"][0] if "steps" in shapes else 0}
    sizes["built"] = size if shapes.get("built_at") != (0,) else 0
    if isinstance(iteration := values.get("iteration", 0), int):
        sizes["iterates"] = iteration + 1
    return sizes


def _values_agree(values: Mapping[str, Any], arrays: Mapping[str, Array]) -> tuple[str, str]:
    if arrays["values"][-1] != arrays["value"]:
        return "value", "is not the last of values"
    if ("steps" in arrays) != ("changes" in arrays):
        return "steps", "must be there where changes are"
    return "", ""


def _types(kind: type[Any]) -> dict[str, Any]:
    """Types of the fields: array, tuple of arrays, float, int, bool or str; Any for all others. None is left out."""
    try:
        hints = get_type_hints(kind)
    except (NameError, TypeError):  # names of types that exist where the class was made, and nowhere else
        hints = {}
    types = {}
    for field in fields(kind):
        type_ = hints.get(field.name, Any)
        if get_origin(type_) in (Union, UnionType):
            others = [one for one in get_args(type_) if one is not type(None)]
            type_ = others[0] if len(others) == 1 else Any
        known = type_ in (float, *_SCALARS) or _is_array(type_) or _is_vectors(type_)
        types[field.name] = type_ if known else Any
    return types


def _maybe_none(kind: type[Any]) -> list[str]:
    """Fields that may be None, and otherwise of a type that is known."""
    try:
        hints = get_type_hints(kind)
    except (NameError, TypeError):
        return []
    types = _types(kind)
    return [name for name, type_ in types.items() if type_ is not Any and type(None) in get_args(hints[name])]


def _is_array(type_: Any) -> bool:
    return type_ is np.ndarray or get_origin(type_) is np.ndarray


def _is_vectors(type_: Any) -> bool:
    arguments = get_args(type_)
    return get_origin(type_) is tuple and len(arguments) == 2 and arguments[1] is ... and _is_array(arguments[0])


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


# --- states of runs ---------------------------------------------------------------------------------------------------

# What a checkpoint holds beside a state.
_NUMBER, _NUMBERS = Number(infinite=True), Member("f", (None,), infinite=True)
OF_A_RUN = Contents(
    {
        "fingerprint": Named(Either(Text(), _NUMBER, Flag(), Null())),
        "versions": Named(Text()),
        "spent": Row(Number(0, whole=True), Number(0), Number(0)),
    },
    {
        _FINGERPRINT + "rows of the blocks": Member("iu", (None,), least=0),
        _FINGERPRINT + "means of the columns": _NUMBERS,
        _FINGERPRINT + "variances of the columns": _NUMBERS,
        _FINGERPRINT + "weights of the classes": _NUMBERS,
        _FINGERPRINT + "l2 of the parameters": _NUMBERS,
        _FINGERPRINT + "classes": Member("biufSU", (None,), infinite=True),
        f"{_FINGERPRINT}*": Member("biufSU", (None,), infinite=True),
    },
)


def joined(
    arrays: Mapping[str, Array | Stacked],
    metadata: Mapping[str, Any],
    parts: Mapping[str, Array],
    of_run: Mapping[str, Any],
) -> tuple[dict[str, Array | Stacked], dict[str, Any]]:
    """Arrays and metadata of a checkpoint: those of the state, the fingerprint's arrays, and values of the run."""
    return {**arrays, **{_FINGERPRINT + name: array for name, array in parts.items()}}, {**metadata, **of_run}


def apart(
    where: str, arrays: Mapping[str, Array], metadata: Mapping[str, Any]
) -> tuple[dict[str, Array], dict[str, Any], dict[str, Array], dict[str, Any]]:
    """What `joined` joined, that of the run checked.

    Raises
    ------
    ModelFileError
        It is no checkpoint, or something of the run is not as it must be.
    """
    if missing := [name for name in OF_A_RUN.values if name not in metadata]:
        raise ModelFileError(f"{where} is not a checkpoint: it has no {' and no '.join(missing)}")
    of_run = {name: metadata[name] for name in OF_A_RUN.values}
    named = {name: array for name, array in arrays.items() if name.startswith(_FINGERPRINT)}
    OF_A_RUN.check(where, of_run, named)
    return (
        {name: array for name, array in arrays.items() if name not in named},
        {name: value for name, value in metadata.items() if name not in of_run},
        {name.removeprefix(_FINGERPRINT): array for name, array in named.items()},
        of_run,
    )
