"""SciPy's L-BFGS-B as a whole-run solver: it keeps its own loop, so it can neither resume nor run in lockstep."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..machine.vectors import norm
from ..protocols.answers import Point
from ..protocols.requests import ValueGrad
from ..wording.arguments import check_number, check_whole

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ScipyState:
    """An iterate of SciPy's loop."""

    theta: Array
    value: float
    grad: Array
    iteration: int
    first_norm: float
    failure: str = ""


@dataclass(frozen=True)
class ScipyLBFGSB:
    """`scipy.optimize.minimize(method="L-BFGS-B")`, the baseline to compare with.

    Stops where SciPy stops: relative decrease of one step at most `tol`, or max|g| at most `pgtol`.

    Parameters
    ----------
    memory : int
        SciPy's `maxcor`.
    pgtol : float
        SciPy's `gtol`; 0 leaves the decision to `tol`.
    max_line_search : int
        SciPy's `maxls`.
    """

    memory: int = 10
    pgtol: float = 0.0
    max_line_search: int = 50

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad})

    def __post_init__(self) -> None:
        check_whole("memory", self.memory, 1)
        check_whole("max_line_search", self.max_line_search, 1)
        check_number("pgtol", self.pgtol)

    def run(
        self,
        fun: Callable[[Array], Point],
        theta: Array,
        tol: float,
        max_iter: int,
        on_iterate: Callable[[ScipyState], bool],
    ) -> tuple[ScipyState, str, str]:
        """Minimise from `theta`.

        Parameters
        ----------
        fun : callable
            F and its gradient.
        theta : (size,) array
            Start.
        tol : float
            SciPy's `ftol`.
        max_iter : int
            Iterations at the most.
        on_iterate : callable
            Called with each iterate, the first included; True stops the run.

        Returns
        -------
        state : ScipyState
            The last iterate.
        status : str
            Value of the `Status`.
        message : str
            SciPy's own words.
        """
        from scipy.optimize import minimize as scipy_minimize

        latest: list[tuple[Array, Point]] = []  # evaluations since the last iterate, that one first

        def evaluate(x: Array) -> Point:
            latest.append((x.copy(), fun(x)))
            return latest[-1][1]

        def iterate(x: Array, iteration: int) -> ScipyState:
            # SciPy tells theta and F of an iterate but not its gradient, which is among the latest evaluations.
            point = next(point for at, point in reversed(latest) if np.array_equal(at, x))
            latest[:] = [(x.copy(), point)]
            return ScipyState(x.copy(), point.value, point.grad, iteration, first_norm)

        def callback(intermediate_result: Any) -> None:
            iterates.append(iterate(intermediate_result.x, iterates.pop().iteration + 1))
            if on_iterate(iterates[-1]):
                raise StopIteration

        first_norm = norm(evaluate(theta).grad)
        iterates = [iterate(theta, 0)]  # the latest one
        if on_iterate(iterates[-1]):
            return iterates[-1], "stopped", ""
        if max_iter == 0:  # SciPy would take one step
            return iterates[-1], "max_iter", ""
        options = {
            "maxcor": self.memory,
            "ftol": tol,
            "gtol": self.pgtol,
            "maxiter": max_iter,
            "maxfun": np.iinfo(np.int32).max,
            "maxls": self.max_line_search,
        }
        # The starting point was evaluated already: SciPy is handed that answer, not a second pass.
        start = latest[0][1]
        with one_thread():  # it adds by BLAS
            found = scipy_minimize(
                lambda x: start if np.array_equal(x, theta) else evaluate(x),
                theta,
                method="L-BFGS-B",
                jac=True,
                callback=callback,
                options=options,
            )
        status = {0: "converged", 1: "max_iter"}.get(found.status, "line_search")
        return iterates[-1], status, str(found.message)
