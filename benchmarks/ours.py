"""fullbatch's own passes, through its public API."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import reference
from .problem import Problem


class NotSupportedError(Exception):
    """The checked-out version cannot do this workload (yet)."""


class Ours:
    """A problem placed on threads of this process."""

    def __init__(self, problem: Problem, threads: int, theta: np.ndarray | None = None) -> None:
        from fullbatch import ThreadEngine
        from fullbatch.protocols import ValueGrad

        self.precision = problem.precision
        self._request = ValueGrad(problem.arrays["theta"] if theta is None else theta)
        try:
            self._blocks = ThreadEngine(threads).place(model(problem), sources(problem))
            self._blocks.sum(self._request)  # compiles
        except Exception as error:
            raise NotSupportedError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error

    def time(self, passes: int) -> list[float]:
        """Seconds of each pass, after one that is not counted."""
        self._blocks.sum(self._request)
        seconds = []
        for _ in range(passes):
            start = time.perf_counter()
            self._blocks.sum(self._request)
            seconds.append(time.perf_counter() - start)
        return seconds

    def answer(self) -> tuple[Any, np.ndarray]:
        """Loss and gradient as sums over rows."""
        answer = self._blocks.sum(self._request)
        return answer.value, answer.grad

    def close(self) -> None:
        self._blocks.close()


def model(problem: Problem) -> Any:
    """The linear model of a problem."""
    from fullbatch import Linear

    return Linear(problem.loss)


@dataclass(frozen=True)
class MixedSource:
    """Rows of dense and categorical columns."""

    arrays: dict[str, np.ndarray]
    levels: tuple[int, ...]
    start: int
    stop: int

    def read(self) -> Any:
        from fullbatch.protocols import Category, Rows

        X, codes, y, offset = (self.arrays[name][self.start : self.stop] for name in ("X", "codes", "y", "offset"))
        categories = tuple(
            Category(np.ascontiguousarray(codes[:, c]), np.arange(count)) for c, count in enumerate(self.levels)
        )
        return Rows(X, y, offset=offset, categories=categories)

    def __str__(self) -> str:
        return f"rows {self.start}..{self.stop - 1}"


def sources(problem: Problem) -> list[Any]:
    """The problem's arrays as sources."""
    from fullbatch import array_sources
    from fullbatch.data.cut import cut

    arrays = problem.arrays
    if problem.storage == "mixed":
        columns = arrays["X"].shape[1] + len(problem.levels)
        return [MixedSource(arrays, problem.levels, *piece) for piece in cut(len(arrays["y"]), columns)]
    X = reference.csr(problem) if problem.storage == "csr" else arrays["X"]
    return array_sources(X, arrays["y"], scale=problem.scale)
