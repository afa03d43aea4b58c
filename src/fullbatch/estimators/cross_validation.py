"""Cross-validation of the strength of the penalty, all folds advancing together."""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inference.matplotlib_ import new_axes
from ..run.checkpoints import Checkpoint, check_checkpoint
from ..run.kept_together import run_together
from ..run.result import Notice
from ..run.together import known, statuses
from ..wording.arguments import check_whole
from ._template import placed, succeeded, warn_of_many
from .paths import Path, check_grid, path_of

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Losses of L strengths on the rows of K folds, each under the fit to all others.

    Parameters
    ----------
    path : Path
        The fits to all rows: `best_model` and `one_se_model` are two of them, so that nothing is fitted again.
    losses : (L, K) array
        Mean loss on each fold's rows; NaN where these, or all others, have no weight.
    weight : (K,) array
        Sum of the weights of each fold's rows.
    fold_coefs, fold_intercepts : (L, K, ...) arrays
        `coef_` and `intercept_` of the fits without each fold.
    statuses : list of L lists of K str
        How the fit without each fold ended: the value of a `Status`.
    remaining_r2 : (L, K) array
        By how much its F can still fall, as a share of the null model's.
    known_by : list of L lists of K str
        As in `Path`.
    notices : list of L lists of K tuples of Notice
        As in `Path`, of the fits without each fold.
    seed : int
        Of the folds.
    passes : int
        Reads of the data for all fits together.
    seconds : float
        The same, set-up not counted.
    """

    path: Path
    losses: Array
    weight: Array
    fold_coefs: Array
    fold_intercepts: Array
    statuses: list[list[str]]
    remaining_r2: Array
    known_by: list[list[str]]
    notices: list[list[tuple[Notice, ...]]]
    seed: int
    passes: int
    seconds: float

    @property
    def strengths(self) -> Array:
        """The strengths, from the largest to the smallest, (L,)."""
        return self.path.strengths

    @property
    def success(self) -> bool:
        """Whether every fit has reached its minimum, as nearly as asked or as the arithmetic allows: as `Result`."""
        rows = zip(self.statuses, self.remaining_r2.tolist(), self.known_by, strict=True)
        return self.path.success and all(all(map(succeeded, *row)) for row in rows)

    @property
    def mean(self) -> Array:
        """Mean loss on rows held out, folds counting by their weight, (L,)."""
        known = ~np.isnan(self.losses).any(axis=0)
        return self.losses[:, known] @ self.weight[known] / self.weight[known].sum()

    @property
    def standard_error(self) -> Array:
        """Of `mean`, from the spread of the folds, (L,): as glmnet reckons it."""
        known = ~np.isnan(self.losses).any(axis=0)
        share = self.weight[known] / self.weight[known].sum()
        spread = (self.losses[:, known] - self.mean[:, None]) ** 2 @ share
        return np.sqrt(spread / max(known.sum() - 1, 1))

    @property
    def best(self) -> int:
        """Number of the strength with the least mean loss."""
        return int(self.mean.argmin())

    @property
    def one_se(self) -> int:
        """Number of the largest strength whose mean loss is within one standard error of the least."""
        best = self.best
        return int(np.flatnonzero(self.mean <= self.mean[best] + self.standard_error[best])[0])

    @property
    def best_model(self) -> Any:
        """The fit to all rows with the strength `best`."""
        return self.path.models[self.best]

    @property
    def one_se_model(self) -> Any:
        """The fit to all rows with the strength `one_se`."""
        return self.path.models[self.one_se]

    def table(self) -> str:
        """A line for each strength, of 78 characters at the most."""
        lines = [f"{'strength':>11} {'not zero':>9} {'explained':>10} {'held-out loss':>14} {'std. error':>11}"]
        marks = {self.one_se: "one std. error", self.best: "least" if self.one_se != self.best else "least, and 1 s.e."}
        for row, strength in enumerate(self.strengths):
            lines.append(
                f"{strength:11.5g} {self.path.not_zero[row]:9,} {self.path.explained[row]:10.4f} "
                f"{self.mean[row]:14.6g} {self.standard_error[row]:11.2g}  {marks.get(row, '')}".rstrip()
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def plot(self, ax: Any = None) -> Any:
        """Losses on rows held out, with their standard errors, against strengths; needs matplotlib.

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
        ax.errorbar(self.strengths, self.mean, self.standard_error, fmt=".", linewidth=1.0)
        for row, style in ((self.best, "-"), (self.one_se, ":")):
            ax.axvline(self.strengths[row], linestyle=style, color="0.5")
        ax.set(xscale="log", xlabel="strength of the penalty", ylabel="mean loss on rows held out")
        ax.invert_xaxis()
        return ax


def cross_validate(
    estimator: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    offset: Any = None,
    folds: int = 10,
    seed: int = 0,
    strengths: npt.ArrayLike | None = None,
    num: int = 100,
    ratio: float | None = None,
    of_sum: bool = False,
    checkpoint: Checkpoint | str | PathLike[str] | None = None,
) -> CrossValidation:
    """Choose the strength of a penalty by what fits lose on rows that they have not seen.

    All folds and the fit to all rows advance together: a read of the data answers for all of them, and brings what a
    fold's rows lose. Hessians are asked for fold by fold at the fits of all rows, so that one serves all folds of a
    strength.

    Parameters
    ----------
    estimator, X, y, sample_weight, offset, strengths, num, ratio
        As for `fit_path`.
    folds : int
        No more than rows. Which of so many folds a row is in is a function of its number and the seed alone: neither
        blocks nor workers matter. Folds are of about the same size, not exactly.
    seed : int
        Of the folds.
    of_sum : bool
        Whether the penalty beside the *sum* of the losses is the same for all folds, as scikit-learn's `C` has it,
        instead of that beside the mean, as glmnet has it. Strengths are those of the fit to all rows.
    checkpoint : Checkpoint, path or URL, optional
        As in `minimize`: it goes on where it was ended. Default: that of the estimator.

    Returns
    -------
    CrossValidation

    Raises
    ------
    ValueError
        An argument is none of its parameter's.
    DataError
        The data cannot be used, or all rows with a weight are in one fold.
    """
    check_grid(strengths, num, ratio)
    check_whole("folds", folds, 2)
    check_whole("seed", seed)
    check_checkpoint(checkpoint)
    with placed(estimator, X, y, sample_weight, offset, "cross_validate") as template:
        template.check_folds(folds)
        grid = template.grid(strengths, num, ratio, folds, seed)
        together = template.together([template.penalty(strength) for strength in grid], folds, seed, of_sum)
        kept = template.learner.checkpoint if checkpoint is None else checkpoint
        ran = run_together(together, kept, {"strengths": grid})
        path, state, ended = path_of(template, grid, together, ran), ran.state, statuses(ran.state)
        models = [
            [template.model(theta, strength, "", 0) for theta in thetas[1:]]
            for thetas, strength in zip(state.thetas, grid, strict=True)
        ]
        found = CrossValidation(
            path=path,
            losses=np.where(np.isfinite(state.held_out[:, 1:]), state.held_out[:, 1:], np.nan),
            weight=together.counted.fold_weights,
            fold_coefs=np.array([[model.coef_ for model in row] for row in models]),
            fold_intercepts=np.array([[model.intercept_ for model in row] for row in models]),
            statuses=[row[1:] for row in ended],
            remaining_r2=state.left[:, 1:],
            known_by=[row[1:] for row in known(state)],
            notices=[row[1:] for row in ran.notices],
            seed=seed,
            passes=path.passes,
            seconds=ran.seconds,
        )
        warn_of_many(ran, grid, template.blocks.schema)
    return found
