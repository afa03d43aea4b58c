"""An estimator as the template of many fits: its model, penalty and data, placed once."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.given import Given, given_to_fit
from ..errors import DataError
from ..objective.objective import Objective
from ..objective.penalties import penalty_of
from ..protocols.requests import Squares
from ..protocols.schema import Schema
from ..protocols.seams import Penalty
from ..run.together import Together, parts_for, parts_of, smallest_penalty
from ..wording.warned import warn
from ._linear import LinearEstimator

Array = npt.NDArray[Any]

# Share of L1 that the strongest penalty is reckoned with where there is none: no finite one would make all zero.
_LEAST_L1 = 1e-3

# The weakest penalty of a grid as a share of the strongest: where there are more rows than columns, and otherwise.
_RATIO, _RATIO_WIDE = 1e-4, 1e-2

# How far above the strength that is reckoned the strongest is, so that rounding makes no coefficient of it.
_ABOVE = 1.0 + 1e-9


@dataclass(eq=False)
class Template:
    """An estimator, and the blocks that its models are fitted to.

    Parameters
    ----------
    learner : LinearEstimator
        A copy, which learns.
    given : Given
        Its data.
    blocks : Blocks
    apart : bool
        As in `Together`.
    """

    learner: Any
    given: Given
    blocks: Any
    apart: bool = False
    _parts: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        schema: Schema = self.blocks.schema
        linear = self.learner._linear(schema)
        self.outputs = linear.outputs(schema)
        self.variables = self.learner._variables(schema, linear)
        self.objective = Objective(self.blocks, variables=self.variables)
        self.objective.num_setup_passes += self.given.reads
        factors = linear.class_factors(schema)
        self.weight = schema.weight if factors is None else float(factors @ schema.class_weight)
        self.learner.n_samples_fit_, self.learner.weight_sum_ = schema.n_rows, schema.weight
        self.start = self.learner._first_guess(self.objective, schema)

    @property
    def tol(self) -> float:
        return float(self.learner.tol) ** 2

    def penalty(self, strength: float, l1_ratio: float | None = None) -> Penalty:
        """That of a strength on the mean loss."""
        ratio = self.learner._l1_share() if l1_ratio is None else l1_ratio
        self.learner._share_out(strength, ratio)
        told: dict[str, Any] = {"l2": 0.0, "l1": 0.0, "lower": -np.inf, "upper": np.inf}
        told |= self.learner._penalty(self.blocks.schema, self.variables, self.outputs)
        return penalty_of(**told, parameters=self.blocks.parameters)

    def model(self, theta: Array, strength: float, status: str, steps: int) -> Any:
        """A fitted estimator."""
        model = copy(self.learner)
        penalty = self.penalty(strength)
        model._share_out(strength, model._l1_share())
        objective = self.objective.with_penalty(penalty)
        model._set_theta(theta, objective, self.given)
        model.n_iter_, model.status_ = model._counted(steps), status
        return model

    def together(self, penalties: list[Penalty], folds: int = 0, seed: int = 0, of_sum: bool = False) -> Together:
        """Fits with these penalties, one after another; sums of one read serve all of them."""
        if self._parts is None:
            self._parts = parts_of(self.objective, parts_for(folds, self.apart), seed)
        tol, max_iter = self.tol, self.learner._most_iterations()
        return Together(
            self.objective, penalties, self.start, folds, seed, tol, max_iter, of_sum, self._parts, self.apart
        )

    def grid(self, strengths: Any, num: int, ratio: float | None, folds: int = 0, seed: int = 0) -> Array:
        """Strengths from the largest to the smallest: those given, or as many as `num` down from the least one that
        makes all penalised coefficients zero.
        """
        if strengths is not None:
            return np.sort(np.asarray(strengths, np.float64))[::-1]
        schema = self.blocks.schema
        if ratio is None:
            ratio = _RATIO if schema.n_rows > schema.n_features else _RATIO_WIDE
        largest = self.largest(folds, seed)
        if not 0 < largest < np.inf:
            raise DataError(
                "no column explains anything of the targets, or sums are not finite: no penalty is the strongest, so "
                "give strengths"
            )
        return largest * np.geomspace(1.0, ratio, num) if num > 1 else np.array([largest])

    def largest(self, folds: int, seed: int) -> float:
        """The least strength that makes all coefficients zero that L1 pulls on; where there is no L1, that of an
        elastic net with next to none. 0 where no column explains anything.
        """
        share = self.learner._l1_share()
        unit = self.penalty(1.0, share if self.learner._group_share() else max(share, _LEAST_L1))
        pulled = (unit.l1 > 0) | unit.grouped
        if not pulled.any():
            raise ValueError("nothing is penalised, so that there is no path: give strengths, or P1 other than zeros")
        if (unit.lower[pulled] > 0).any() or (unit.upper[pulled] < 0).any():
            raise ValueError(
                "bounds leave some coefficients no zero, so that no penalty is the strongest: give strengths"
            )
        held = replace(
            unit,
            l2=np.where(pulled, 0.0, unit.l2),
            l1=np.zeros_like(unit.l1),
            l21=None,
            groups=None,
            lower=np.where(pulled, 0.0, unit.lower),
            upper=np.where(pulled, 0.0, unit.upper),
        )
        tol = min(self.tol, 1e-12)
        if Squares in self.objective.facts.answers:  # folds cost nothing
            null = replace(self.together([held], folds, seed), tol=tol)
        else:
            null = Together(self.objective, [held], self.start, tol=tol, max_iter=self.learner._most_iterations())
        state = null.run(None, lambda state: None)
        self.start = state.theta
        return max(smallest_penalty(unit, state.grads[0]), default=0.0) * _ABOVE


@contextmanager
def placed(estimator: Any, X: Any, y: Any, sample_weight: Any, offset: Any, asked_by: str) -> Iterator[Template]:
    """The estimator as a template, its data placed; let go of at the end.

    Raises
    ------
    ValueError
        It is none, or has parameters that many fits do not take.
    """
    if not isinstance(estimator, LinearEstimator):
        raise ValueError(f"{asked_by} needs an estimator, such as LogisticRegression(), got {estimator!r}")
    if estimator._no_together:
        raise ValueError(f"{asked_by} does not take {type(estimator).__name__}: {estimator._no_together}")
    if not (isinstance(estimator.solver, str) and estimator.solver == "auto"):
        raise ValueError(f"{asked_by} chooses solvers by itself: leave solver at 'auto', got {estimator.solver!r}")
    if len(estimator.callbacks):
        raise ValueError(f"{asked_by} calls no callbacks, which are told of single fits: leave them out")
    learner: Any = copy(estimator)
    learner.__dict__.pop("result_", None)
    learner._check_parameters()
    given = given_to_fit(X, y, sample_weight, offset, asked_by=asked_by, terms=learner._terms())
    with ExitStack() as stack:
        engine = learner._opened(stack)
        given = learner._prepared(given, engine)
        blocks = stack.enter_context(closing(engine.place(learner._model(), given.sources)))
        yield Template(learner, given, blocks)


def warn_of(statuses: list[str], what: str, category: type[Warning]) -> None:
    """Say aloud how many fits have not converged."""
    bad = [status for status in statuses if status != "converged"]
    if bad:
        kinds = ", ".join(sorted(set(bad)))
        warn(
            f"[not-converged] {len(bad)} of {len(statuses)} {what} ended before tol ({kinds}): see `statuses` and "
            "`remaining_r2`",
            category,
        )
