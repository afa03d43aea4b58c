"""How well a fit as a whole describes its rows: deviances, dispersions, likelihood and information criteria."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import DataError
from ..wording.arguments import is_number
from .covariance import Information
from .design import Design, FittedLinear
from .hypotheses import Test, tested
from .restricted import Restriction, restricted_fit

DISPERSIONS = ("pearson", "deviance", "likelihood")


@dataclass(frozen=True, eq=False)
class FitMeasures:
    """What the sums at the estimate, and at that of the null model, tell of the fit.

    Parameters
    ----------
    information : Information
        Of the fit.
    asked_dispersion : {"pearson", "deviance", "likelihood"}, float or None
        Which dispersion; None is Pearson's where the family has one to estimate, else 1.
    """

    information: Information
    asked_dispersion: str | float | None

    @property
    def _design(self) -> Design:
        return self.information.design

    @property
    def count(self) -> float:
        """N of the formulas."""
        return self.information.count

    @cached_property
    def df_model(self) -> float:
        """Parameters."""
        return self.information.degrees

    @property
    def df_residual(self) -> float:
        """N less the parameters."""
        return self.count - self.df_model

    @property
    def _estimated(self) -> bool:
        """Whether a dispersion is estimated."""
        family = self._design.fitted.family
        if not family.likelihood:
            return False
        return isinstance(self.asked_dispersion, str) or (self.asked_dispersion is None and family.dispersed)

    @property
    def dispersion(self) -> float:
        """What the variance is multiplied by."""
        if is_number(self.asked_dispersion):
            return float(self.asked_dispersion)  # type: ignore[arg-type]
        if not self._estimated:
            return 1.0
        if not self.df_residual > 0:
            raise DataError(
                "there are as many parameters as rows, which leave no residuals to estimate a dispersion by"
            )
        return self.dispersions[str(self.asked_dispersion or "pearson")]

    @property
    def dispersions(self) -> dict[str, float]:
        """Estimates of the dispersion: Pearson's, the deviance's, each divided by the residual degrees, and the one of
        the largest likelihood (for the normal and gamma families).
        """
        family, sums = self._design.fitted.family, self.information.sums
        if not family.likelihood:
            return {}
        outputs = self._design.outputs
        found = {
            "pearson": sums.squares / (self.df_residual if outputs == 1 else self.count * outputs - self.df_model),
            "deviance": sums.deviance / (self.df_residual if outputs == 1 else self.count * outputs - self.df_model),
        }
        if family.density and family.dispersed:
            found["likelihood"] = family.likeliest_dispersion(sums.deviance, self.count)
        return found

    @property
    def deviance(self) -> float:
        """Twice what the log-likelihood lacks of the saturated model's, at dispersion 1; of single labels -2 log L."""
        return self.information.sums.deviance

    @cached_property
    def null_deviance(self) -> float:
        """The same of the model with intercepts alone (none where the fit had none): a few passes."""
        self._refuse_without_likelihood("null deviances")
        return self._null.deviance

    @cached_property
    def _null(self) -> Any:
        design, size = self._design, self._design.size
        first = np.arange(0, size, design.width) if design.fitted.fit_intercept else np.zeros(0, np.intp)
        others = np.setdiff1d(np.arange(size), first)
        if not others.size:
            return self.information.sums
        restriction = Restriction(np.eye(size)[others], np.zeros(len(others)))
        return restricted_fit(self.information, restriction).sums

    def log_likelihood(self, dispersion: float | None = None) -> float:
        """Logarithm of the likelihood, constants included.

        Parameters
        ----------
        dispersion : float, optional
            Default: the one of the largest likelihood (R and statsmodels differ here for the gamma family: both take
            other estimates).

        Raises
        ------
        ValueError
            The loss has no likelihood, or none in closed form (tweedie); or gamma with weights of precision.
        """
        return self._log_likelihood(self.information.sums, dispersion)

    def _log_likelihood(self, sums: Any, dispersion: float | None) -> float:
        family = self._design.fitted.family
        if not family.density or self._design.fitted.class_weight is not None:
            raise ValueError(
                f"the {family.loss} loss has no likelihood in closed form"
                + (" with class_weight" if family.density else "")
            )
        precise = self.information.weights.precision
        if precise and not family.takes_precision:
            raise ValueError(
                f"the {family.loss} likelihood with weights of precision is no function of sums: it is not told"
            )
        if dispersion is None:
            dispersion = family.likeliest_dispersion(sums.deviance, self.count)
        value = family.log_likelihood(sums.deviance, sums.constant, self.count, dispersion)
        return value + (sums.logs if family.loss in ("squared", "normal") and precise else 0.0)

    @property
    def _parameters(self) -> float:
        """Those that an information criterion counts: an estimated dispersion, or theta, too."""
        fitted = self._design.fitted
        return self.df_model + float(fitted.family.dispersed) + fitted.found_with

    @property
    def aic(self) -> float:
        """Akaike's: -2 log-likelihood + 2 parameters, a dispersion and a fitted theta counted; with a penalty by
        effective parameters.
        """
        return -2.0 * self.log_likelihood() + 2.0 * self._parameters

    @property
    def aicc(self) -> float:
        """The same corrected for few rows (Hurvich and Tsai, 1989)."""
        k, left = self._parameters, self.count - self._parameters - 1.0
        return self.aic + 2.0 * k * (k + 1.0) / left if left > 0 else np.inf

    @property
    def bic(self) -> float:
        """Schwarz's: -2 log-likelihood + parameters log N."""
        return -2.0 * self.log_likelihood() + self._parameters * float(np.log(self.count))

    @property
    def pseudo_r2(self) -> float:
        """McFadden's: 1 - log-likelihood / that of the null model, of families without a dispersion."""
        if self._design.fitted.family.dispersed:
            raise ValueError("McFadden's pseudo R^2 is for families without a dispersion: see d2")
        self._refuse_without_likelihood("pseudo R^2")
        return 1.0 - self.log_likelihood() / self._log_likelihood(self._null, None)

    @property
    def d2(self) -> float:
        """Share of the null deviance that is explained; R^2 of the normal family."""
        return 1.0 - self.deviance / self.null_deviance

    def test_all(self) -> Test:
        """The likelihood-ratio test of the model against intercepts alone."""
        self._refuse_without_likelihood("likelihood-ratio tests")
        free = self._design.outputs if self._design.fitted.fit_intercept else 0
        difference = (self._null.deviance - self.deviance) / self.dispersion
        df = self.df_residual if self._estimated else np.inf
        return tested("likelihood-ratio", "all coefficients", difference, self._design.size - free, df)

    def _refuse_without_likelihood(self, what: str) -> None:
        fitted = self._design.fitted
        if not fitted.family.likelihood:
            raise ValueError(f"{what} need a likelihood, which the {fitted.family.loss} loss has not: use Wald's")
        if self.information.penalised:
            raise ValueError(
                f"{what} compare maxima of the likelihood, and a penalised estimate is none: fit without a penalty"
            )
        if fitted.class_weight is not None:
            raise ValueError(f"{what} need the likelihood of the rows, which class_weight changes: use Wald's")


def check_dispersion(dispersion: Any, fitted: FittedLinear) -> None:
    if dispersion is None:
        return
    if isinstance(dispersion, str) and dispersion in DISPERSIONS:
        if dispersion == "likelihood" and not (fitted.family.density and fitted.family.dispersed):
            raise ValueError(f"the {fitted.family.loss} loss has no dispersion of the largest likelihood: use pearson")
    elif not (is_number(dispersion) and 0 < dispersion < np.inf):
        raise ValueError(
            f"dispersion must be one of {', '.join(DISPERSIONS)}, or a positive number, got {dispersion!r}"
        )
