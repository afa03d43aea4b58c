"""What a run must be given again to go on from a checkpoint: data, model, penalty and solver, in words and numbers."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..data import digest
from ..objective.objective import Objective

Array = npt.NDArray[Any]

# Other processors round moments otherwise, in the last digits.
_ROUNDING = 1e-9

_MEANS, _VARIANCES = "means of the columns", "variances of the columns"


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What tells one run from another, apart from where and with how many workers it runs.

    Parameters
    ----------
    told : mapping of str to str or number
        By what they are called in messages.
    arrays : mapping of str to array
        The same; of numbers or text.
    """

    told: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @classmethod
    def of(cls, objective: Objective, solver: Any) -> Self:
        """That of a run of `solver` on `objective`: from shapes, moments and options, without a pass."""
        schema, parameters = objective.blocks.schema, objective.blocks.parameters
        features = schema.features
        told = {
            "rows": schema.n_rows,
            "numeric columns": features.numeric,
            "names of the columns": _digest(np.array(features.names, str)),
            "levels of the categorical columns": _digest(*features.levels),
            "entries of the sparse rows": schema.sparse_entries,
            "offsets": schema.offset,
            "sum of the sample weights": schema.weight,
            "model": parameters.about,
            "parameters": parameters.size,
            "precision": parameters.dtype,
            "change of variables": type(objective.variables).__name__,
            "scale of the variables": _scale(objective),
            "rows that count": repr(objective.draw),
            "solver": repr(solver) if hasattr(solver, "__dataclass_fields__") else type(solver).__qualname__,
        }
        arrays = {
            "rows of the blocks": np.array(schema.block_rows),
            _MEANS: schema.mean,
            _VARIANCES: schema.variance,
            "classes": np.zeros(0) if schema.classes is None else schema.classes,
            "weights of the classes": np.zeros(0) if schema.class_weight is None else schema.class_weight,
            "l2 of the parameters": objective.l2,
        }
        if objective.penalty.parts:
            penalty = objective.penalty
            arrays |= {"l1 of the parameters": penalty.l1, "lower bounds": penalty.lower, "upper bounds": penalty.upper}
        if objective.penalty.l21 is not None and objective.penalty.groups is not None:
            arrays |= {"l21 of the parameters": objective.penalty.l21, "groups": objective.penalty.groups}
        return cls(told, arrays)

    def differences(self, other: Self) -> list[str]:
        """What differs, in words, from one that is saved."""
        found = [
            f"the {name} differ" if _is_digest(mine) and _is_digest(there) else f"{name}: {there} there, {mine} here"
            for name, mine in self.told.items()
            if not _same(there := other.told.get(name), mine)
        ]
        # A mean is known to so many digits of the column's spread, a variance to so many of the squared mean.
        scales = {_MEANS: np.sqrt(self.arrays[_VARIANCES]), _VARIANCES: self.arrays[_MEANS] ** 2}
        found += [
            f"{name}: {len(there)} there, none here" for name, there in other.arrays.items() if name not in self.arrays
        ]
        for name, mine in self.arrays.items():
            found += _first_difference(name, mine, other.arrays.get(name, np.zeros(0)), scales.get(name, 0.0))
        return found


def _digest(*arrays: Array) -> str:
    contents = hashlib.sha256()
    for array in arrays:
        digest.add(contents, array)
    return f"sha256:{contents.hexdigest()}"


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("sha256:")


def _scale(objective: Objective) -> float:
    """A number that is another one under another change of variables."""
    if objective.variables is None:
        return 0.0
    return float(np.abs(objective.variables.to_blocks(np.ones(objective.size))).sum())


def _same(there: Any, here: Any) -> bool:
    if isinstance(there, float) and isinstance(here, float):
        return bool(np.isclose(there, here, rtol=_ROUNDING, atol=0.0))
    return bool(there == here)


def _first_difference(name: str, here: Array, there: Array, scale: Array | float) -> Iterator[str]:
    if here.shape != there.shape:
        yield f"{name}: {len(there)} there, {len(here)} here"
        return
    if here.dtype.kind == "f" and there.dtype.kind == "f":
        allowed = _ROUNDING * np.maximum(scale, np.maximum(np.abs(here), np.abs(there)))
        with np.errstate(invalid="ignore"):  # of infinities, which are near to nothing but themselves
            near = np.isfinite(here) & np.isfinite(there) & (np.abs(here - there) <= allowed)
        different = np.flatnonzero((here != there) & ~near)
    elif (here.dtype.kind in "SU") != (there.dtype.kind in "SU"):
        different = np.arange(len(here))
    else:
        different = np.flatnonzero(here != there)
    if different.size:
        first = int(different[0])
        more = f" ({different.size - 1} more differ)" if different.size > 1 else ""
        yield f"{name}[{first}]: {there.tolist()[first]!r} there, {here.tolist()[first]!r} here{more}"
