"""An estimator as the template of many fits: its model, penalty and data, placed once."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from ..data.given import Given, given_to_fit
from ..errors import DataError, FitWarning
from ..objective.objective import Objective
from ..objective.penalties import penalty_of
from ..protocols.requests import Squares
from ..protocols.schema import Schema
from ..protocols.seams import Penalty
from ..run.kept_together import Ran
from ..run.result import KNOWN_NEAR, Notice
from ..run.together import Together, TogetherState, known, parts_of, smallest_penalty, statuses
from ..wording.warned import warn
from ._linear import LinearEstimator

Array = npt.NDArray[Any]

# Share of L1 that the strongest penalty is reckoned with where there is none: no finite one would make all zero.
_LEAST_L1 = 1e-3

# The weakest penalty of a grid as a share of the strongest: where there are more rows than columns, and otherwise.
_RATIO, _RATIO_WIDE = 1e-4, 1e-2

# How far above the strength that is reckoned the strongest is, so that rounding makes no coefficient of it.
_ABOVE = 1.0 + 1e-9

# Fits that a warning names.
_MOST_NAMED, _REMEDY = 5, "see `statuses` and `remaining_r2`"

# Iterations of a fit that others are measured by.
_MOST_ITERATIONS = 1000

# What F of the null model may still fall by, as a share, for shares of it to be told.
_SURE = 1e-8


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
    told_as : str
        What the caller's parameter with strengths is called, for messages.
    """

    learner: Any
    given: Given
    blocks: Any
    apart: bool = False
    told_as: str = "strengths"
    _parts: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        schema: Schema = self.blocks.schema
        self._linear = linear = self.learner._linear(schema)
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

    def model(
        self, theta: Array, strength: float, status: str, steps: int, notices: Sequence[Notice] = (), **told: Any
    ) -> Any:
        """A fitted estimator; `told` goes on to `_set_theta`."""
        model = copy(self.learner)
        penalty = self.penalty(strength)
        model._share_out(strength, model._l1_share())
        objective = self.objective.with_penalty(penalty)
        model._set_theta(theta, objective, self.given, **told)
        model.n_iter_, model.status_ = model._counted(steps), status
        model.separable_ = is_separable(notices)
        return model

    def together(self, penalties: list[Penalty], folds: int = 0, seed: int = 0, of_sum: bool = False) -> Together:
        """Fits with these penalties, one after another; sums of one read serve all of them."""
        self.check_folds(folds)
        if self._parts is None:
            self._parts = parts_of(self.objective, folds, self.apart, seed)
        tol, max_iter = self.tol, self.learner._most_iterations()
        return Together(
            self.objective,
            penalties,
            self.start,
            tol=tol,
            max_iter=max_iter,
            folds=folds,
            seed=seed,
            of_sum=of_sum,
            parts=self._parts,
            apart=self.apart,
        )

    def check_folds(self, folds: int) -> None:
        """Refuse more folds than rows, of which some would have none."""
        rows = self.blocks.schema.n_rows
        if folds > rows and not self.apart:
            raise ValueError(f"{folds:,} folds of {rows:,} rows: some would have none, so take no more folds than rows")

    def grid(
        self, strengths: Any, num: int, ratio: float | None, folds: int = 0, seed: int = 0, nothing: float = -1.0
    ) -> Array:
        """Strengths from the largest to the smallest: those given, or as many as `num` down from the least one that
        makes all penalised coefficients zero. Where that is no more than `nothing`, all are that.
        """
        if strengths is not None:
            return np.sort(np.asarray(strengths, np.float64))[::-1]
        schema = self.blocks.schema
        if ratio is None:
            ratio = _RATIO if schema.n_rows > schema.n_features else _RATIO_WIDE
        largest = self.largest(folds, seed)
        if largest <= nothing:
            return np.full(num, nothing)
        if not 0 < largest < np.inf:
            bounded = "bounds" in self.penalty(1.0).parts
            raise DataError(
                f"no column explains anything of the targets{' where bounds let it' if bounded else ''}, or sums are "
                f"not finite: no penalty is the strongest, so give {self.told_as}"
            )
        return largest * np.geomspace(1.0, ratio, num) if num > 1 else np.array([largest])

    def largest(self, folds: int, seed: int) -> float:
        """The least strength that makes all coefficients zero that L1 pulls on; where there is no L1, that of an
        elastic net with next to none. 0 where no column explains anything.
        """
        share = self.learner._l1_share()
        unit = self.penalty(1.0, share if self.learner._group_share() else max(share, _LEAST_L1))
        pulled, own = (unit.l1 > 0) | unit.grouped, self.penalty(1.0)
        if not (pulled.any() and (own.l2.any() or own.l1.any() or own.grouped.any())):
            raise ValueError(
                f"nothing is penalised, so that there is no path: give {self.told_as}, or P1 and P2 other than zeros"
            )
        if (unit.lower[pulled] > 0).any() or (unit.upper[pulled] < 0).any():
            raise ValueError(
                f"bounds leave some coefficients no zero, so that no penalty is the strongest: give {self.told_as}"
            )
        if Squares in self.objective.facts.answers:  # folds cost nothing
            null = replace(self.together([_held(unit, pulled)], folds, seed), tol=self._close)
            state = null.run(None, lambda state: None)
        elif (pulled == self.objective.facts.parameters.penalized).all():
            state = self._null
        else:
            state = self._fitted(_held(unit, pulled))
        self.start = state.theta
        return max(smallest_penalty(unit, state.grads[0]), default=0.0) * _ABOVE

    @cached_property
    def null_deviance(self) -> float:
        """How far the mean loss of the null model, intercepts and offsets alone, stands above the least that it could
        be: infinite where there is none, NaN where that is not known. A few reads where sums of the set-up do not tell
        it.
        """
        told = self._linear.null_deviance(self.blocks.schema)
        if not np.isnan(told):
            return float(told)
        state = self._null
        sure = state.left[0, 0] <= _SURE
        return float(state.loss[0, 0]) - self.objective.facts.least if sure else np.nan

    @cached_property
    def _null(self) -> TogetherState:
        """The fit of the null model."""
        parameters = self.blocks.parameters
        return self._fitted(_held(penalty_of(0.0, 0.0, -np.inf, np.inf, parameters), parameters.penalized))

    @property
    def _close(self) -> float:
        """The tolerance of what others are measured by."""
        return min(self.tol, 1e-12)

    def _fitted(self, penalty: Penalty) -> TogetherState:
        """The fit to all rows with a penalty."""
        fits = Together(self.objective, [penalty], self.start, tol=self._close, max_iter=_MOST_ITERATIONS)
        return fits.run(None, lambda state: None)


def _held(penalty: Penalty, held: Array) -> Penalty:
    """The penalty without corners but those that hold some coordinates at zero."""
    return replace(
        penalty,
        l2=np.where(held, 0.0, penalty.l2),
        l1=np.zeros_like(penalty.l1),
        l21=None,
        groups=None,
        lower=np.where(held, 0.0, penalty.lower),
        upper=np.where(held, 0.0, penalty.upper),
    )


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


def succeeded(status: str, left: float, known_by: str) -> bool:
    """Whether a fit has reached its minimum, as nearly as arithmetic allows: as `Result.success`."""
    near = left <= KNOWN_NEAR and known_by not in ("directions", "columns")
    return status == "converged" or (status == "precision" and near)


def warn_of(statuses: list[str], good: list[bool], what: str, remedy: str = _REMEDY) -> None:
    """Say aloud how many fits have not reached their minimum."""
    bad = [status for status, is_good in zip(statuses, good, strict=True) if not is_good]
    if bad:
        kinds = ", ".join(sorted(set(bad)))
        warn(
            f"[not-converged] {len(bad)} of {len(statuses)} {what} ended before tol ({kinds}): {remedy}",
            ConvergenceWarning,
        )


def warn_of_many(
    ran: Ran,
    strengths: Array,
    schema: Schema,
    what: str = "fits",
    remedy: str = _REMEDY,
) -> None:
    """Say aloud what there is to be said of fits to all rows and without each fold."""
    state = ran.state
    ended, by = (list(chain(*rows)) for rows in (statuses(state), known(state)))
    without = ["", *(f" without fold {fold}" for fold in range(state.loss.shape[1] - 1))]
    places = [f"strength {strength:.5g}{fold}" for strength in strengths for fold in without]
    warn_of_notices(list(chain(*ran.notices)), places, what, schema)
    warn_of(ended, list(map(succeeded, ended, state.left.ravel().tolist(), by)), what, remedy)


def is_separable(notices: Sequence[Notice]) -> bool:
    """Whether the optimum is at infinity."""
    return any(notice.code == "separable" for notice in notices)


def warn_of_notices(notices: Sequence[tuple[Notice, ...]], places: Sequence[str], what: str, schema: Schema) -> None:
    """Say aloud what the numbers of many fits do not show: as of single fits, with the words of the first."""
    for code in ("separable", "collinear-columns"):
        told = [(one, place) for some, place in zip(notices, places, strict=True) for one in some if one.code == code]
        # All levels of a categorical column and the intercept are collinear by design.
        if told and not (code == "collinear-columns" and schema.features.levels):
            listed = [place for _, place in told]
            more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
            where = ", ".join(listed[:_MOST_NAMED]) + more
            warn(f"[{code}] {len(told)} of {len(notices)} {what} ({where}): {told[0][0].words}", FitWarning)
