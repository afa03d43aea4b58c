"""One workload's arrays as memory-mapped files, which every environment opens: needs NumPy alone."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# What "agrees" means: error of the loss relative to the loss, and of each coordinate of the gradient relative to
# sum over rows of |x| |d loss / d eta|. float32 peers sum the loss in float32, hence the wide tolerance.
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}


@dataclass(frozen=True)
class Problem:
    """Rows, a loss, a theta and the float64 answer that everybody must give there.

    `arrays`: dense: X; csr: data, indices, indptr; mixed: X (numeric), codes (categorical), offset. And always: y,
    theta (layout: coefficients output by output, then intercepts), and value, grad, grad_scale of the reference.
    """

    name: str
    title: str
    loss: str  # softmax, logistic, poisson
    storage: str  # dense, csr, mixed
    precision: str  # in which products may run
    columns: int  # of the design matrix: a categorical column has one for each level
    outputs: int = 1
    models: int = 1  # thetas asked for at once
    levels: tuple[int, ...] = ()
    scale: float = 1.0  # the value of a feature is X * scale
    arrays: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def rows(self) -> int:
        return len(self.arrays["y"])

    @property
    def feature_bytes(self) -> int:
        names = ("X", "codes", "data", "indices", "indptr")
        return sum(self.arrays[name].nbytes for name in names if name in self.arrays)

    @property
    def stored_values(self) -> int:
        """Products that one output of one model needs in each direction."""
        if self.storage == "csr":
            return len(self.arrays["data"])
        return self.rows * (self.arrays["X"].shape[1] + len(self.levels))

    def split(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (outputs, columns) and intercepts (outputs,)."""
        coefs = self.outputs * self.columns
        return theta[:coefs].reshape(self.outputs, self.columns), theta[coefs:]

    def shifted_codes(self) -> np.ndarray:
        """Column of the one-hot matrix that each code stands for, counted after the numeric columns."""
        starts = np.cumsum((0, *self.levels[:-1]))
        return self.arrays["codes"] + starts.astype(np.int32)

    def errors(self, value: Any, grad: np.ndarray) -> tuple[float, float]:
        """Errors of loss and gradient against the reference, relative as in TOLERANCE."""
        true, scale = self.arrays["value"], np.maximum(self.arrays["grad_scale"], np.finfo(float).tiny)
        value_error = np.max(np.abs(np.atleast_1d(value) - true) / np.abs(true))
        return float(value_error), float(np.max(np.abs(grad - self.arrays["grad"]) / scale))


def save(problem: Problem, folder: Path) -> None:
    """Write a problem; the folder is there only once it is complete."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, array in problem.arrays.items():
        np.save(part / f"{name}.npy", array)
    about = {name: value for name, value in asdict(problem).items() if name != "arrays"}
    (part / "problem.json").write_text(json.dumps(about, indent=1))
    part.rename(folder)


def load(folder: Path) -> Problem:
    """Open a problem's files, mapped into memory."""
    about = json.loads((folder / "problem.json").read_text())
    about["levels"] = tuple(about["levels"])
    return Problem(**about, arrays={path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")})
