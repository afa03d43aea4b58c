"""Regularisation paths: the fits for many strengths of the penalty."""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inference.matplotlib_ import new_axes
from ..run.certificates import Certificate, best_certificate
from ..run.checkpoints import Checkpoint, check_checkpoint
from ..run.kept_together import Ran, run_together
from ..run.result import Notice
from ..run.together import Together, TogetherState, known, statuses
from ..wording.arguments import check_whole, is_number
from ._template import Template, is_separable, placed, succeeded, warn_of_many

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Path:
    """The fits of all rows for L strengths of the penalty, the strongest first.

    Parameters
    ----------
    strengths : (L,) array
        Of the penalty on the mean loss: `l1_ratio` of it is L1's.
    l1_ratio : float
    models : list of L estimators
        Fitted; they predict, and can be saved.
    coefs, intercepts : (L, ...) arrays
        `coef_` and `intercept_` of each.
    value : (L,) array
        F, penalty included.
    loss : (L,) array
        Mean loss.
    explained : (L,) array
        Share of the deviance of the null model that the fit explains, D^2: its intercept is fitted beside the offsets.
        NaN where all of its deviance is 0, or it is not known.
    df : (L,) array
        Effective degrees of freedom beside the intercept: the columns used, less what L2 takes of them; infinite where
        a fit's Hessian is not at hand.
    not_zero : (L,) int array
        Coefficients that are not zero.
    statuses : list of L str
        How each fit ended: the value of a `Status`.
    remaining_r2 : (L,) array
        What was checked: by how much F can still fall at this fit, as a share of the null model's. See `Result`.
    slope : (L,) array
        Norm of F's shortest subgradient, in the solver's variables: 0 at a minimum, corners and bounds included.
    known_by : list of L str
        Where `remaining_r2` comes from: "shared hessian", that of a point nearby, after F and its gradient had gone as
        it says; or, of fits that went on by a solver of their own, as in `Result`.
    notices : list of L tuples of Notice
        What else is to be said of each: "separable", with the columns along which coefficients would grow for ever, and
        "collinear-columns", of which the fit is the one of least norm; "at-bounds", with those that bounds hold. As in
        `Result`.
    certificates : list of L Certificate
        Of each a bound of how far F is from its minimum, and the condition under which it holds. As in `Result`.
    reads : (L,) int array
        Reads of the data that each fit took part in; many fits share one.
    passes, setup_passes : int
        Reads of the data in all, and those of the set-up.
    seconds : float
        Of all fits, set-up not counted.
    resumed_at : int or None
        Strengths that an earlier part of the run had done.
    """

    strengths: Array
    l1_ratio: float
    models: list[Any]
    coefs: Array
    intercepts: Array
    value: Array
    loss: Array
    explained: Array
    df: Array
    not_zero: Array
    statuses: list[str]
    remaining_r2: Array
    slope: Array
    known_by: list[str]
    notices: list[tuple[Notice, ...]]
    certificates: list[Certificate]
    reads: Array
    passes: int
    setup_passes: int
    seconds: float
    resumed_at: int | None = None

    @property
    def success(self) -> bool:
        """Whether every fit has reached its minimum, as nearly as asked or as the arithmetic allows: as `Result`."""
        return all(map(succeeded, self.statuses, self.remaining_r2.tolist(), self.known_by))

    def table(self) -> str:
        """A line for each strength, of 78 characters at the most."""
        lines = [f"{'strength':>11} {'not zero':>9} {'df':>8} {'explained':>10} {'loss':>12} {'to gain':>8}  status"]
        for row in range(len(self.strengths)):
            df = "" if np.isinf(self.df[row]) else f"{self.df[row]:.2f}"
            lines.append(
                f"{self.strengths[row]:11.5g} {self.not_zero[row]:9,} {df:>8} {self.explained[row]:z10.4f} "
                f"{self.loss[row]:12.6g} {self.remaining_r2[row]:8.0e}  {self._ended(row)}"
            )
        return "\n".join(lines)

    def _ended(self, row: int) -> str:
        """The status, or that the optimum is at infinity."""
        return "separable" if is_separable(self.notices[row]) else self.statuses[row]

    def __str__(self) -> str:
        return self.table()

    def plot(self, ax: Any = None) -> Any:
        """Coefficients against strengths; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            To draw on; default: new ones.

        Returns
        -------
        matplotlib Axes
        """
        if ax is None:
            ax = new_axes()
        ax.plot(self.strengths, self.coefs.reshape(len(self.strengths), -1), linewidth=1.0)
        ax.set(xscale="log", xlabel="strength of the penalty", ylabel="coefficients")
        ax.invert_xaxis()
        return ax


def fit_path(
    estimator: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    offset: Any = None,
    strengths: npt.ArrayLike | None = None,
    num: int = 100,
    ratio: float | None = None,
    checkpoint: Checkpoint | str | PathLike[str] | None = None,
) -> Path:
    """Fit a linear model for many strengths of its penalty, each from where the last one ended.

    Neighbouring strengths share reads of the data, and Hessians. Under the squared loss everything comes from sums of
    one read.

    Parameters
    ----------
    estimator : LogisticRegression or GeneralizedLinearRegressor
        What is fitted: loss, `l1_ratio`, groups, bounds, `P1`, `P2`, `standardize`, `tol`, engine, and all else but its
        strength (`C`, `l2`, `alpha`). It is not changed.
    X, y, sample_weight, offset
        As for its `fit`.
    strengths : (L,) array_like, optional
        Of the penalty on the mean loss, as `alpha`; for `C` of n rows of weight 1 it is 1 / (C n). Default: `num` of
        them on a logarithmic scale, down from the least that makes all penalised coefficients zero.
    num : int
        Strengths of the default grid.
    ratio : float, optional
        The smallest of the default grid as a share of the largest; default: 1e-4, or 0.01 where there are no more rows
        than columns.
    checkpoint : Checkpoint, path or URL, optional
        As in `minimize`: the path goes on where it was ended. Default: that of the estimator.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        An argument is none of its parameter's.
    DataError
        The data cannot be used; says where and why.
    """
    check_grid(strengths, num, ratio)
    check_checkpoint(checkpoint)
    with placed(estimator, X, y, sample_weight, offset, "fit_path") as template:
        grid = template.grid(strengths, num, ratio)
        together = template.together([template.penalty(strength) for strength in grid])
        kept = template.learner.checkpoint if checkpoint is None else checkpoint
        ran = run_together(together, kept, {"strengths": grid})
        path = path_of(template, grid, together, ran)
        warn_of_many(ran, grid, template.blocks.schema, "fits of the path")
    return path


def check_grid(strengths: Any, num: Any, ratio: Any) -> None:
    """Refuse what is no grid of strengths."""
    check_whole("num", num, 1)
    if not (ratio is None or (is_number(ratio) and 0 < ratio < 1)):
        raise ValueError(f"ratio must be a number between 0 and 1, or None, got {ratio!r}")
    if strengths is None:
        return
    try:
        values = np.asarray(strengths, np.float64)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"strengths must be one or more numbers, finite and not negative, or None, got {strengths!r}")
    if len(np.unique(values)) < len(values):
        raise ValueError(f"strengths must differ from one another, got {strengths!r}")


def path_of(template: Template, grid: Array, together: Together, ran: Ran) -> Path:
    """The path from a run, and models that predict."""
    state, facts = ran.state, template.objective.facts
    ended, by = ([row[0] for row in rows] for rows in (statuses(state), known(state)))
    notices = [row[0] for row in ran.notices]
    models = [
        template.model(theta, strength, status, int(steps), told)
        for theta, strength, status, steps, told in zip(
            state.thetas[:, 0], grid, ended, state.reads[:, 0], notices, strict=True
        )
    ]
    for model, strength in zip(models, grid.tolist(), strict=True):
        model.set_params(**model._of_strength(strength, template.weight))  # a refit is the same model
    before, loss, null = template.objective.num_passes, state.loss[:, 0], template.null_deviance
    values = [penalty.value(theta) for penalty, theta in zip(together.penalties, state.thetas[:, 0], strict=True)]
    coefs = np.array([model.coef_ for model in models])
    return Path(
        strengths=grid,
        l1_ratio=float(template.learner._l1_share()),
        models=models,
        coefs=coefs,
        intercepts=np.array([model.intercept_ for model in models]),
        value=loss + np.array(values),
        loss=loss,
        explained=1.0 - (loss - facts.least) / null if 0 < null < np.inf else np.full(len(grid), np.nan),
        df=state.df,
        not_zero=(coefs != 0).reshape(len(grid), -1).sum(axis=1),
        statuses=ended,
        remaining_r2=state.left[:, 0],
        slope=state.slope[:, 0],
        known_by=by,
        notices=notices,
        certificates=[_certificate(together, state, row) for row in range(len(grid))],
        reads=state.reads[:, 0],
        passes=ran.passes + template.objective.num_passes - before,
        setup_passes=template.objective.num_setup_passes,
        seconds=ran.seconds,
        resumed_at=ran.resumed_at,
    )


def _certificate(together: Together, state: TogetherState, row: int) -> Certificate:
    """What is known for certain of the fit of all rows for a strength."""
    facts, theta = together.problem(row, 0), state.thetas[row, 0]
    assert facts.penalty is not None
    grad, value = state.slopes[row] + facts.penalty.l2 * theta, float(state.loss[row, 0]) + facts.penalty.value(theta)
    if not np.isfinite(grad).all():
        return Certificate(np.inf, "no bound: the checkpoint that the run went on from has no gradient here")
    return best_certificate(theta, value, grad, facts, None)
