"""What a contender leaves behind: where it was after how many passes and seconds. Needs NumPy alone."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Curve:
    """Iterates in the order of time, judged afterwards.

    `passes` are reads of all rows for loss, gradient or products, and -1 where the contender does not tell.
    """

    thetas: list[np.ndarray] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)  # F, where the contender tells it and no theta
    note: str = ""
    version: str = ""

    def add(self, theta: np.ndarray, passes: float, seconds: float) -> None:
        self.thetas.append(np.array(theta, np.float64))
        self.passes.append(passes)
        self.seconds.append(seconds)

    def save(self, path: Path) -> None:
        thetas = np.array(self.thetas) if self.thetas else np.zeros((0, 0))
        np.savez(
            path, thetas=thetas, passes=self.passes, seconds=self.seconds, values=self.values,
            note=self.note, version=self.version,
        )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "Curve":
        with np.load(path) as file:
            return cls(
                list(file["thetas"]), file["passes"].tolist(), file["seconds"].tolist(), file["values"].tolist(),
                str(file["note"]), str(file["version"]),
            )  # fmt: skip

    def reached(self, task: Any, optimum: float, targets: tuple[float, ...]) -> list[dict[str, float] | None]:
        """Passes and seconds to the first iterate within each relative distance; None where it never came so near.

        F falls from iterate to iterate, or nearly so, which is why halving finds the place with few evaluations.
        """
        count = len(self.values) or len(self.thetas)
        known: dict[int, float] = dict(enumerate(self.values))

        def gap(number: int) -> float:
            if number not in known:
                known[number] = task.value(self.thetas[number])
            distance = (known[number] - optimum) / abs(optimum)
            return distance if np.isfinite(distance) else np.inf

        found: list[dict[str, float] | None] = []
        for target in targets:
            low, high = 0, count - 1
            if not count or gap(high) > target:
                found.append(None)
                continue
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if gap(middle) <= target else (middle + 1, high)
            found.append({"passes": self.passes[low], "seconds": self.seconds[low]})
        return found

    def final(self, task: Any, optimum: float) -> float:
        """Relative distance at the end."""
        value = self.values[-1] if self.values else task.value(self.thetas[-1])
        return (value - optimum) / abs(optimum)


class Watch:
    """Seconds since it was made, pauses left out."""

    def __init__(self) -> None:
        self._began, self._paused = time.perf_counter(), 0.0

    def __call__(self) -> float:
        return time.perf_counter() - self._began - self._paused
