"""Generalised linear models whose strength is chosen by cross-validation."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ..protocols.rows import Rows
from ..saving.contents import Each, Either, Null, Number
from ..wording.arguments import check_whole, is_number
from ._cross_validated import NOTHING, CrossValidated, check_numbers, kept
from ._splits import Splits
from ._template import Template
from .glm import GeneralizedLinearRegressor

Array = npt.NDArray[Any]

# The smallest strength as a share of the largest, where nobody has told.
_RATIO = 1e-6


@dataclass(kw_only=True, eq=False, repr=False)
class GeneralizedLinearRegressorCV(CrossValidated, GeneralizedLinearRegressor):
    """`GeneralizedLinearRegressor` whose strength is chosen by cross-validation, all folds advancing together.

    Takes what that takes, but for `alpha`, `warm_start` and the theta "likelihood", and chooses the `alpha` and the
    `l1_ratio` whose fits to the rows without each fold have the least mean deviance on the rows of that fold, folds
    counting alike. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    l1_ratio : float, or sequence of float, default=0.0
        Share of the penalty that is L1's; the best of several is chosen.
    alphas : sequence of float or None, default=None
        Strengths; None for `n_alphas` of them, down from the least one that makes all penalised coefficients zero; of a
        share of L1 below 0.001, that of an elastic net with this share.
    n_alphas : int, default=100
        How many, where `alphas` is None.
    min_alpha_ratio : float or None, default=None
        The smallest of them as a share of the largest; None for 1e-6.
    cv : int, splitter of scikit-learn, iterable of pairs of int arrays, or None, default=None
        As that of `LassoCV`.
    n_jobs : int or None, default=None
        Changes nothing: processors are those of the engine.
    checkpoint : Checkpoint, path or URL, default=None
        Of the last fit alone, with the strength that was chosen.

    Attributes
    ----------
    alpha_, l1_ratio_ : float
        What was chosen.
    alphas_ : (L,) or (shares, L) array
        The strengths, from the largest to the smallest; those of each share where several are tried.
    deviance_path_ : (K, shares, L) array
        Mean deviance of the rows of each fold. Of rows that are not in memory it is reckoned from the least loss of all
        rows instead of that of the fold's, which shifts all strengths alike.

    Examples
    --------
    >>> import numpy as np
    >>> from fullbatch import GeneralizedLinearRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 3))
    >>> y = rng.poisson(np.exp(X[:, 0]))
    >>> GeneralizedLinearRegressorCV("poisson", n_alphas=20).fit(X, y).coef_.round(1) + 0.0
    array([1., 0., 0.])
    """

    _saved_parameters: ClassVar = {
        **{name: rule for name, rule in GeneralizedLinearRegressor._saved_parameters.items() if name != "alpha"},
        "l1_ratio": Either(Number(0, 1), Each(Number(0, 1))),
        "alphas": Either(Null(), Each(Number(0))),
        "n_alphas": Number(1, whole=True),
        "min_alpha_ratio": Either(Null(), Number(0, 1, above=True)),
    }
    _kept: ClassVar[tuple[str, ...]] = ("alpha_", "l1_ratio_", "alphas_", "deviance_path_")
    _saved_members: ClassVar = {**GeneralizedLinearRegressor._saved_members, **kept(*_kept)}
    _grids: ClassVar[tuple[str, ...]] = ("alphas", "l1_ratio")

    alpha: ClassVar[float] = 0.0  # type: ignore[misc]
    l1_ratio: Any = 0.0
    alphas: Any = None
    n_alphas: int = 100
    min_alpha_ratio: float | None = None
    cv: Any = None
    n_jobs: int | None = None

    def _check_parameters(self) -> None:
        if self.alphas is not None:
            check_numbers("alphas", self.alphas)
        check_whole("n_alphas", self.n_alphas, 1)
        ratio = self.min_alpha_ratio
        if not (ratio is None or (is_number(ratio) and 0 < ratio < 1)):
            raise ValueError(f"min_alpha_ratio must be a number between 0 and 1, or None, got {ratio!r}")
        super()._check_parameters()

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        **params: Any,
    ) -> Self:
        """As for every estimator with cross-validation; `exposure` as for `GeneralizedLinearRegressor`."""
        X, offset = self._with_exposure(X, offset, exposure)
        return super().fit(X, y, sample_weight, offset=offset, **params)

    def _strength(self, weight: float) -> float:
        return float(self.alpha_)

    def _choose(self, template: Template, splits: Splits) -> None:
        shares = [float(share) for share in np.atleast_1d(self.l1_ratio)]
        ratio = _RATIO if self.min_alpha_ratio is None else self.min_alpha_ratio
        least = self._least_of_folds(template, splits)
        grids, deviances = [], []
        for share in shares:
            template.learner._share = share
            grids.append(template.grid(self.alphas, int(self.n_alphas), ratio, splits.count, nothing=NOTHING))
            deviances.append(2.0 * (self._fits(template, splits, grids[-1], share).held_out - least).T)
        mean = np.array([one.mean(axis=0) for one in deviances])
        best, row = np.unravel_index(int(np.where(np.isnan(mean), np.inf, mean).argmin()), mean.shape)
        self.alpha_, self.l1_ratio_ = float(grids[best][row]), shares[best]
        self._share = self.l1_ratio_
        self.deviance_path_ = np.stack(deviances, axis=1)
        self.alphas_ = np.array(grids) if len(shares) > 1 else grids[0]

    def _least_of_folds(self, template: Template, splits: Splits) -> Any:
        """What the mean loss of the rows of each fold cannot fall below; of all rows where these are elsewhere."""
        linear = self._linear(template.blocks.schema)
        found = [template.objective.facts.least]
        if splits.in_memory:
            parts = splits.held_out()
            rows = [Rows(np.zeros((len(y), 1)), y, told.get("sample_weight")) for _, y, told in parts]
            found = [linear.describe(one, "the fold").null.null().least for one in rows]
        return np.where(np.isfinite(found), found, 0.0)

    def _scored_by(self, weight: Any) -> dict[str, Any]:
        return {} if weight is None else {"sample_weight": weight}
