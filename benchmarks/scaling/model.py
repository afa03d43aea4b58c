"""The model: seconds = compute + broadcast + reduce + overhead, linear in coefficients that are all of at least 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

INLINE_BYTES = 96 * 1024  # a larger theta is stored once, instead of going inside every call
STORED_REPLY = 100 * 1024  # a larger answer comes through the object store (Ray's max_direct_call_object_size)

# name, unit, part of a pass
COEFFICIENTS = (
    ("value read", "s per value and core", "compute"),
    ("product", "s per row and parameter and core", "compute"),
    ("byte of theta, inline", "s per byte and worker", "broadcast"),
    ("byte of theta, stored", "s per byte", "broadcast"),
    ("theta stored", "s", "broadcast"),
    ("byte of an answer", "s per byte", "reduce"),
    ("answer stored", "s per answer", "reduce"),
    ("call", "s per worker", "overhead"),
    ("evaluation", "s", "overhead"),
)
PARTS = ("compute", "broadcast", "reduce", "overhead")


@dataclass(frozen=True)
class Case:
    """A pass, or a part of one.

    Parameters
    ----------
    workers : int
        Actors that are asked.
    rows, columns, outputs : int
        Of the data and the model.
    answers : int
        Vectors of the size of theta that come back: at least one from each worker.
    parts : tuple of str
        What it is made of, of PARTS.
    seconds : float
        Measured; 0 if it was not.
    """

    workers: int
    rows: int
    columns: int
    outputs: int
    answers: int
    parts: tuple[str, ...] = PARTS
    seconds: float = 0.0

    @property
    def parameters(self) -> int:
        return self.outputs * (self.columns + 1)


def features(case: Case, cores: int) -> np.ndarray:
    """What each coefficient is multiplied by. Compute is shared by the workers, as far as there are cores."""
    sharing, size = min(case.workers, cores), 8 * case.parameters
    inline, stored_reply = size <= INLINE_BYTES, size > STORED_REPLY
    row = [
        case.rows * case.columns / sharing,
        case.rows * case.parameters / sharing,
        size * case.workers * inline,
        size * (not inline),
        1.0 * (not inline),
        size * case.answers,
        case.answers * stored_reply,
        case.workers,
        1.0,
    ]
    return np.array(
        [value if part in case.parts else 0.0 for value, (_, _, part) in zip(row, COEFFICIENTS, strict=True)]
    )


def fit(cases: Sequence[Case], cores: int) -> np.ndarray:
    """The coefficients with the least sum of squared relative errors."""
    rows = np.array([features(case, cores) / case.seconds for case in cases])
    scale = np.abs(rows).max(axis=0)
    scale[scale == 0] = 1.0
    return nnls(rows / scale, np.ones(len(rows)))[0] / scale


def predict(coefficients: np.ndarray, case: Case, cores: int) -> dict[str, float]:
    """Seconds of each part, and of all."""
    each = features(case, cores) * coefficients
    told = {
        part: float(sum(one for one, (_, _, of) in zip(each, COEFFICIENTS, strict=True) if of == part))
        for part in PARTS
    }
    return {**told, "all": float(each.sum())}


@dataclass(frozen=True)
class Network:
    """What an extrapolation assumes of the wires between nodes, which were not measured."""

    bytes_per_second: float = 1.25e9
    seconds_each_way: float = 2.5e-4


def extrapolate(coefficients: np.ndarray, case: Case, cores: int, network: Network) -> dict[str, Any]:
    """A pass on `case.workers` nodes of `cores` cores each, one worker a node: not measured by anybody."""
    told = predict(coefficients, case, case.workers)  # as if a core a worker
    told["compute"] /= cores
    size = 8 * case.parameters
    told["network"] = 2 * (size * case.workers / network.bytes_per_second + network.seconds_each_way)
    told["all"] = sum(told[part] for part in (*PARTS, "network"))
    return {"nodes": case.workers, "rows": case.rows, "columns": case.columns, "outputs": case.outputs, **told}
