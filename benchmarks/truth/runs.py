"""One problem, all solvers that can take it, and what each said of where it ended."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fullbatch import Status, minimize
from fullbatch.machine.blas import one_thread

from . import cache
from .problems import Problem, problem
from .reference import Reference

SOLVERS = ("auto", "newton", "least-squares", "sampled-lbfgs", "lbfgs", "newton-cg", "scipy-lbfgsb")

# As estimators ask for it by default.
TOL, MAX_ITER = 1e-4**2, 1000


@dataclass(frozen=True)
class Verdict:
    """What one solver said, and what is so.

    Attributes
    ----------
    status : str
        Name of the `Status`; "error" where it raised an exception.
    away : bool
        Whether it is further from the optimum than a claim allows.
    distance : float
        F - F*.
    F, best, told : float
        F where it ended, the least F known, and F as the result has it.
    """

    seed: int
    solver: str
    loss: str
    precision: str
    status: str
    away: bool
    distance: float
    F: float
    best: float
    told: float
    passes: float
    seconds: float
    message: str
    chosen: str
    warnings: tuple[str, ...]

    @property
    def claimed(self) -> bool:
        return self.status == Status.CONVERGED.name

    @property
    def false_claim(self) -> bool:
        return self.claimed and self.away

    @property
    def success(self) -> bool:
        return self.status in (Status.CONVERGED.name, Status.PRECISION.name)


@dataclass(frozen=True)
class Judged:
    """All verdicts on a problem; `beaten` is how far below the reference a solver came, as a share of the tolerance."""

    seed: int
    words: str
    verdicts: tuple[Verdict, ...]
    beaten: float


def judge(seed: int, solvers: Sequence[str] = SOLVERS, folder: Path | None = None) -> Judged:
    """Run solvers on the problem of a seed. References are kept in `folder`."""
    made = problem(seed)
    with one_thread():
        known = cache.reference(made, folder)
        ended = [
            (solver, *_run(made, solver)) for solver in solvers if solver != "least-squares" or made.loss == "squared"
        ]
        found = [known.f(theta) for _, theta, _ in ended if theta is not None]
        best = min([known.F_best, *(F for F in found if F == F)])
        beaten = float((known.F_best - best) / known.tolerance) if best < known.F_best else 0.0
        known = replace(known, F_best=best)
        verdicts = tuple(_verdict(known, solver, theta, about) for solver, theta, about in ended)
    return Judged(seed, str(made), verdicts, beaten)


def _run(made: Problem, solver: str) -> tuple[Any, dict[str, Any]]:
    """Theta on the columns as stored, None where there was an exception, and what is told of the run."""
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            placed = made.place()
            result = minimize(placed.objective(), made.start, solver=solver, tol=TOL, max_iter=MAX_ITER)
            theta = placed.as_stored(result.theta)
            about = {
                "status": result.status.name,
                "told": result.value,
                "passes": result.passes + result.sampled_passes,
                "message": result.message,
                "chosen": result.solver,
            }
        except Exception as error:  # whatever it is, it is told of: no problem here may raise one
            theta, message = None, f"{type(error).__name__}: {error}"
            about = {"status": "error", "told": float("nan"), "passes": 0.0, "message": message, "chosen": ""}
    about["seconds"] = time.perf_counter() - began
    about["warnings"] = tuple(f"{one.category.__name__}: {one.message}" for one in caught)
    return theta, about


def _verdict(known: Reference, solver: str, theta: Any, about: dict[str, Any]) -> Verdict:
    made = known.problem
    F = float("nan") if theta is None else float(known.f(theta))
    distance = float("inf") if theta is None else float(known.distance(theta))
    away = theta is None or known.away(theta)
    told = {"away": away, "distance": distance, "F": F, "best": float(known.F_best)}
    return Verdict(made.seed, solver, made.loss, made.precision, **told, **about)
