"""`Inference`: what a report asks of a fitted model, from its rows given once more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, FitWarning
from ..run.result import Notice
from ..wording.messages import shortened
from ..wording.warned import warn
from .covariance import KINDS, Information
from .data import Data
from .design import Design, FittedLinear
from .fit_measures import check_dispersion
from .hypotheses import Test, restriction_of, tested, wald
from .notices import notices_of, other_rows
from .of_rows import OfRows
from .pandas_ import as_frame
from .profiles import profile_interval
from .restricted import Restricted, restricted_fit
from .summary import facts_of, summary_of
from .table import estimates, quantile

Array = npt.NDArray[Any]

METHODS = ("wald", "likelihood-ratio", "score")

# Standard errors that the coefficients may be away from the optimum without a word.
_NEAR, _ANOTHER = 0.05, 10.0


@dataclass(frozen=True, eq=False)
class Inference(OfRows):
    """Errors, tests, intervals and effects of a fitted linear model; `model.inference(...)` makes it.

    Making it is one pass over the rows; properties and methods say what they add. It keeps references to the rows, not
    the rows themselves unless they were in memory.

    Attributes
    ----------
    names : list of str
        Of the parameters: each predictor's intercept, then its coefficients. Of a category one level, the first unless
        `reference` says otherwise, and of several classes the first, are what the others are compared with.
    coef : (k,) float64 array
        Estimates.
    std_err : (k,) float64 array
        Their standard errors.
    matrix : (k, k) float64 array
        Their covariance.
    kind : str
        Which one.
    clusters : tuple of int
        Numbers of clusters, where errors are by cluster.
    dispersion : float
        What the variance is multiplied by; 1 for the binomial, multinomial and Poisson families unless asked otherwise.
    n_rows : int
        Rows of a positive weight.
    weights : str
        What sample weights mean, "frequency" or "precision"; of shares with numbers of trials the latter, unless told.
    count : float
        What N is in formulas: the sum of weights that count rows, else the rows.
    df_model : float
        Parameters; under an L2 penalty the effective ones, the trace of what maps targets to fitted values.
    df_residual : float
        N less these.
    df : float
        Degrees of t and F: those of the residuals where a dispersion is estimated, the fewest clusters less one where
        errors are by cluster, else infinite, which is the normal distribution.
    notices : tuple of Notice
        What the reader of the numbers must know: a code, which [the docs](inference.md#notices) explain, and words.
    notes : list of str
        The same as texts.
    """

    clusters: tuple[int, ...]

    @classmethod
    def of(
        cls,
        fitted: FittedLinear,
        data: Data,
        *,
        covariance: str | None,
        weights: str | None,
        dispersion: str | float | None,
        reference: Mapping[str, Any] | None,
        given: Callable[[Any, Any], Any],
    ) -> "Inference":
        """Of a model and the rows of its fit."""
        design = Design.of(fitted, reference)
        kind = kind_of(covariance, fitted, data)
        check_dispersion(dispersion, fitted)
        information = Information.of(design, data, weights)
        made = cls(information, dispersion, kind, given, np.zeros((0, 0)), ())
        made._check_rows()
        information.refuse_unknown()
        made._check_distance()
        return made.with_covariance(kind)

    def with_covariance(self, covariance: str, dispersion: str | float | None = None) -> "Inference":
        """The same fit with another covariance; "HC2", "HC3" and those by cluster are one more pass, others none.

        Parameters
        ----------
        covariance : {"classical", "observed", "HC0", "HC1", "HC2", "HC3", "cluster", "CRV2", "CRV3"}
            The last two need the `clusters` that `model.inference` was given.
        dispersion : {"pearson", "deviance", "likelihood"} or float, optional
            As for `model.inference`; default: as before.
        """
        fitted, data = self._design.fitted, self.information.data
        kind = kind_of(covariance, fitted, data)
        check_dispersion(dispersion, fitted)
        asked = self.asked_dispersion if dispersion is None else dispersion
        made = replace(self, kind=kind, asked_dispersion=asked)
        matrix, clusters = self.information.covariance(kind, made.dispersion)
        least = 1e-16 * np.abs(self.information.bread(self.information.sums.expected).diagonal())
        if (none := np.flatnonzero(matrix.diagonal() <= least)).size:
            warn(
                f"[no-error] the {kind} errors of {shortened([self.names[j] for j in none])} are zero: the scores of "
                "clusters or rows cancel there, and say nothing of how well these are known",
                FitWarning,
            )
        return replace(made, matrix=matrix, clusters=clusters)

    def _check_rows(self) -> None:
        rows, of_fit = self.n_rows, self._design.fitted.n_rows
        if of_fit is not None and rows > of_fit:
            raise DataError(f"{rows:,} rows, and {of_fit:,} in the fit: give the rows of the fit")

    def _check_distance(self) -> None:
        distance = self.information.distance() / np.sqrt(self.dispersion) if self.dispersion > 0 else 0.0
        if distance > _ANOTHER:
            raise DataError(
                f"the coefficients are {distance:.3g} standard errors from the optimum on these rows: give the rows, "
                "weights and offsets of the fit; if they are, fit on until it converges"
            )
        if words := other_rows(self):  # whose optimum is another one
            warn(f"[other-rows] {words}", FitWarning)
        elif distance > _NEAR:
            warn(
                f"[not-at-optimum] the coefficients are up to {distance:.2g} standard errors from the optimum on these "
                "rows: fit with a smaller tol; if these are not the rows, weights and offsets of the fit, give those",
                FitWarning,
            )

    @property
    def reference(self) -> dict[str, Any]:
        """The level of each categorical column that the others are compared with."""
        return dict(self._design.reference)

    # --- estimates --------------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Of the parameters."""
        return self._design.names

    @property
    def coef(self) -> Array:
        """Estimates."""
        return self._design.beta

    @property
    def n_rows(self) -> int:
        """Rows of a positive weight."""
        return self.information.sums.rows

    @property
    def weights(self) -> str:
        """What sample weights mean: "frequency" or "precision"."""
        return self.information.weights.meaning

    @property
    def df(self) -> float:
        """Degrees of t and F."""
        if self.kind in ("cluster", "CRV2", "CRV3"):
            return float(min(self.clusters) - 1)
        return self.df_residual if self._estimated else np.inf

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the reader of the numbers must know."""
        return notices_of(self)

    @property
    def notes(self) -> list[str]:
        """The notices as texts."""
        return [str(notice) for notice in self.notices]

    def coef_table(self, level: float = 0.95, exponentiate: bool = False) -> Any:
        """Estimates with errors, statistics, p-values and Wald intervals.

        Parameters
        ----------
        level : float
            Of the intervals.
        exponentiate : bool
            Estimates and intervals as ratios: of odds for classes, of rates or means with the logarithmic link; the
            standard error is then the delta method's.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "coef" (or "ratio"), "std_err", "z" (or "t"), "p_value", "lower", "upper".
        """
        return as_frame(self._columns(level, exponentiate))

    def _columns(self, level: float, exponentiate: bool) -> dict[str, Any]:
        columns = estimates(self.names, self.coef, self.std_err, self.df, level)
        if not exponentiate:
            return columns
        if self._design.fitted.family.link not in ("log", "logit", "softmax"):
            raise ValueError("exponentiate is for links whose coefficients are logarithms of ratios: log and logit")
        ratio = np.exp(columns.pop("coef"))
        columns["std_err"] = ratio * columns["std_err"]
        columns["lower"], columns["upper"] = np.exp(columns["lower"]), np.exp(columns["upper"])
        return {"name": columns.pop("name"), "ratio": ratio, **columns}

    def confint(self, level: float = 0.95, method: str = "wald", parameters: Sequence[str] | None = None) -> Any:
        """Confidence intervals, a row for each parameter.

        Parameters
        ----------
        level : float
            Share of samples whose interval holds the parameter.
        method : {"wald", "profile"}
            "profile": where the likelihood-ratio test of each value does not reject it; about ten passes for each end.
        parameters : sequence of str, optional
            Which; default: all.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "lower" and "upper".
        """
        chosen = self.names if parameters is None else list(parameters)
        for name in chosen:
            if name not in self.names:
                raise ValueError(f"there is no parameter {name!r}: see names")
        places = [self.names.index(name) for name in chosen]
        if method == "wald":
            away = quantile(level, self.df) * self.std_err
            bounds = np.column_stack((self.coef - away, self.coef + away))[places]
        elif method == "profile":
            self._refuse_without_likelihood("profile intervals")
            critical = self.dispersion * quantile(level, self.df_residual if self._estimated else np.inf) ** 2
            errors = np.sqrt(self.dispersion * self.information.bread(self.information.sums.expected).diagonal())
            bounds = np.array([profile_interval(self.information, place, critical, errors[place]) for place in places])
        else:
            raise ValueError(f'method must be "wald" or "profile", got {method!r}')
        return as_frame({"name": chosen, "lower": bounds[:, 0], "upper": bounds[:, 1]})

    # --- tests --------------------------------------------------------------------------------------------------------

    def test(self, hypothesis: Any, method: str = "wald") -> Test:
        """Test a linear hypothesis of the parameters.

        Parameters
        ----------
        hypothesis : str, sequence of str, (q, k) array_like, or (matrix, value)
            The name of a column of the data, or of a term of the formula: none of its coefficients, of all levels of a
            category, is other than zero.
            Equations of parameters, such as "age = 2 * income, region=north = 0"; without "=" they are zero. Or a
            matrix whose product with the parameters is zero, or `value`.
        method : {"wald", "likelihood-ratio", "score"}
            Wald's uses the covariance of this object; the others, which assume the classical one, fit under the
            restriction, a few passes.

        Returns
        -------
        Test
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        restriction, words = restriction_of(hypothesis, self._design)
        if method == "wald":
            return wald(restriction, self.coef, self.matrix, words, self.df)
        self._refuse_without_likelihood(f"{method} tests")
        at = restricted_fit(self.information, restriction)
        df = self.df_residual if self._estimated else np.inf
        if method == "likelihood-ratio":
            difference = (at.sums.deviance - self.information.sums.deviance) / self.dispersion
            return tested(method, words, difference, len(restriction.value), df)
        return tested(method, words, self._score_statistic(at), len(restriction.value), np.inf)

    def _score_statistic(self, at: Restricted) -> float:
        """Rao's: the squared score at the restricted estimate by the expected information there; dispersion as in R."""
        grad = at.sums.grad
        return float(grad @ self.information.bread(at.sums.expected) @ grad) / self.dispersion

    def test_terms(self, method: str = "wald") -> Any:
        """Each column of the data, or term of the formula, tested: all levels of a category together.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "statistic", "df", "p_value"; the statistic is chi-squared, or F where `df` is finite.
        """
        tests = {name: self.test(name, method) for name, places in self._design.terms.items() if places}
        return as_frame(
            {
                "name": list(tests),
                "statistic": np.array([one.statistic for one in tests.values()]),
                "df": np.array([one.df for one in tests.values()]),
                "p_value": np.array([one.p_value for one in tests.values()]),
            }
        )

    def summary(self, level: float = 0.95) -> str:
        """The table of coefficients and what the fit is as a whole, as text of 80 columns; a few passes."""
        return summary_of(self, self._columns(level, False), level)

    def as_dict(self, level: float = 0.95) -> dict[str, Any]:
        """What `summary` tells, ready for JSON; None for what is not finite."""
        told: dict[str, Any] = {
            "rows": self.n_rows,
            "weights": self.weights,
            "covariance": self.kind,
            "clusters": list(self.clusters),
            "reference": self.reference,
            "df_residual": self.df_residual,
            "dispersion": self.dispersion,
            "level": level,
            **facts_of(self),
            "notes": self.notes,
        }
        columns = self._columns(level, False)
        told["coefficients"] = [
            dict(zip(columns, row, strict=True))
            for row in zip(*(_plain(column) for column in columns.values()), strict=True)
        ]
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in told.items()
        }


def kind_of(covariance: str | None, fitted: FittedLinear, data: Data) -> str:
    """The covariance that is asked for, if it can be."""
    robust_only = None
    if not fitted.family.likelihood:
        robust_only = f"the {fitted.family.loss} loss is no likelihood"
    elif fitted.class_weight is not None:
        robust_only = "class_weight changes the likelihood"
    if covariance is None:
        return "cluster" if data.beside else "HC1" if robust_only else "classical"
    if not (isinstance(covariance, str) and covariance in KINDS):
        raise ValueError(f"covariance must be one of {', '.join(KINDS)}, got {covariance!r}")
    if robust_only and covariance in ("classical", "observed"):
        raise ValueError(f"{robust_only}, so that {covariance} errors would be wrong: ask for HC1 or clusters")
    if covariance in ("cluster", "CRV2", "CRV3") and not data.beside:
        raise ValueError(f'covariance="{covariance}" needs clusters=...: a column, or an id for each row')
    if covariance in ("HC2", "HC3") and not fitted.family.likelihood:
        raise ValueError(f"{robust_only}, and has no leverages: ask for HC0 or HC1")
    return covariance


def _plain(column: Any) -> list[Any]:
    return [
        None if isinstance(value, float) and not np.isfinite(value) else value for value in np.asarray(column).tolist()
    ]
