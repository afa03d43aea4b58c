"""Errors of a few chosen parameters where a matrix of all of them would be too large.

Columns of the inverse information are solved for by conjugate gradients, all of them in one pass an iteration: what is
asked of the rows is the information's product with vectors. The preconditioner is the diagonal of the information of
columns that are centred by their means under its weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..machine.blas import one_thread
from ..wording.messages import shortened
from .covariance import DWARFED, Information, are_trials, from_clusters, weights_of
from .data import Data
from .design import Design, FittedLinear
from .fit_measures import check_dispersion
from .hypotheses import Test, restriction_of, wald
from .products import DiagonalsAt, Products, ProjectedScores
from .restricted import Restriction
from .results import Inference, kind_of

Array = npt.NDArray[Any]

# Residuals of the linear systems that are left, relative to where they began: errors are known to the square of it.
_NEAR = 1e-11
_MOST_PASSES = 1000
# A step of so many standard errors is none.
_NO_STEP = 1e-7
# Curvature along a direction, relative to the preconditioner's, that is rounding: the columns are collinear.
_FLAT = 1e-13


@dataclass(frozen=True, eq=False)
class ChosenInformation(Information):
    """`Information` of which only products with vectors are known; `sums` are those of `DiagonalsAt`.

    Parameters
    ----------
    places : (s,) int array
        The parameters that are chosen.
    solved : dict
        Columns of the inverses that were solved for, by whether the information is the expected one; behind those of
        the observed one Newton's step.
    """

    places: Array
    solved: dict[bool, Array] = field(default_factory=dict)

    whole: ClassVar[bool] = False

    @property
    def degrees(self) -> float:
        return float(self.design.size)

    def bread(self, information: Array) -> Array:
        """(s, s) block of the inverse of the expected information, or of the observed one."""
        return self._columns(information is self.sums.expected)[self.places]

    def distance(self) -> float:
        with one_thread():
            self._columns(False)
            way = self.solved[self.design.fitted.family.canonical][:, -1]
            return float(np.sqrt(max(float(self.sums.grad @ way), 0.0)))

    def covariance(self, kind: str, dispersion: float) -> tuple[Array, tuple[int, ...]]:
        N, K = self.count, self.degrees
        with one_thread():
            if kind in ("classical", "observed"):
                bread = self._columns(kind == "classical")[self.places]
                return dispersion * 0.5 * (bread + bread.T), ()
            self._refuse_saturated(f"covariance={kind!r}")
            clusters = self.data.beside if kind == "cluster" else ()
            columns = self._columns(False)
            task = ProjectedScores(self.design, self.design.beta, self.weights, columns, clusters)
            told = self.data.total(task)
            if kind == "cluster":
                return from_clusters(told.parts, clusters, np.eye(len(self.places)), (N - 1.0) / (N - K))
            return told * (N / (N - K) if kind == "HC1" else 1.0), ()

    def refuse_unknown(self) -> None:
        """Refuse data that does not tell every parameter, as far as it shows without the whole information.

        Raises
        ------
        DataError
            Fewer rows than parameters, columns without variation, separated classes.
        """
        design = self.design
        self._refuse_few()
        left, diagonal = self._preconditioner(False)[0], self.sums.observed[0]
        if not np.isfinite(diagonal).all():
            raise DataError("the information is not finite: coefficients or columns are too large, scale them")
        flat = np.flatnonzero(left <= DWARFED * np.maximum(diagonal, np.finfo(np.float64).tiny))
        if flat.size:
            raise DataError(
                f"{shortened([design.names[j] for j in flat])}: without variation beside the intercept, or with a "
                "spread that is rounding of its mean: leave the column out, or subtract its mean before the fit"
            )
        if design.fitted.classes is not None:
            first = np.arange(0, design.size, design.width) if design.fitted.fit_intercept else np.zeros(0, np.intp)
            kept = np.setdiff1d(np.arange(design.size), first)
            self._refuse_separated(left[kept], kept)

    def _columns(self, expected: bool) -> Array:
        """(size, s) columns of the inverse information."""
        canonical, count = self.design.fitted.family.canonical, len(self.places)
        expected = expected or canonical
        if expected not in self.solved:
            right = np.zeros((self.design.size, count))
            right[self.places, np.arange(count)] = 1.0
            if expected == canonical:  # both are one, or this is the observed one
                right = np.column_stack((right, self.sums.grad))
            self.solved[expected] = self._solution(right, expected)
        return self.solved[expected][:, :count]

    def _preconditioner(self, expected: bool) -> tuple[Array, Array]:
        """Curvature in each parameter, its column centred, and the means by which they are; (size,) both."""
        design = self.design
        own, across = self.sums.expected if expected else self.sums.observed
        if not design.fitted.fit_intercept:
            return own, np.zeros(design.size)
        first = np.arange(0, design.size, design.width)
        of_intercept = np.repeat(np.maximum(own[first], np.finfo(np.float64).tiny), design.width)
        means = across / of_intercept
        means[first] = 0.0
        return own - means**2 * of_intercept, means

    def _solution(self, right: Array, expected: bool) -> Array:
        """What the information's product with is `right`, (size, s): conjugate gradients, one pass an iteration."""
        design = self.design
        left, means = self._preconditioner(expected)
        by_output = (design.outputs, design.width, -1)

        def preconditioned(residual: Array) -> Array:
            made, given = residual.copy(), means.reshape(by_output)
            if design.fitted.fit_intercept:  # of the centred columns; and back
                each = made.reshape(by_output)
                each -= given * each[:, :1]
            made /= left[:, None]
            if design.fitted.fit_intercept:
                each = made.reshape(by_output)
                each[:, :1] -= (given * each).sum(axis=1, keepdims=True)
            return made

        found, residual = np.zeros_like(right), right.copy()
        near = preconditioned(residual)
        direction, size = near.copy(), (residual * near).sum(axis=0)
        # Newton's step, the last one where there is one more, is of interest in standard errors alone.
        floor = np.where(np.arange(len(size)) < len(self.places), 0.0, _NO_STEP**2)
        wanted = np.maximum(_NEAR**2 * size, floor)
        for _ in range(_MOST_PASSES):
            going = np.flatnonzero(size > wanted)
            if not going.size:
                return found
            along = direction[:, going]
            product = self.data.total(Products(design, design.beta, self.weights, along, expected))
            curvature = (along * product).sum(axis=0)
            plain = (self._centred_squares(along, means, by_output) * left[:, None]).sum(axis=0)
            if (curvature <= _FLAT * plain).any():
                self._refuse_collinear(along[:, int(np.argmin(curvature / plain))])
            step = size[going] / curvature
            found[:, going] += step * along
            residual[:, going] -= step * product
            near = preconditioned(residual[:, going])
            now = (residual[:, going] * near).sum(axis=0)
            direction[:, going] = near + now / size[going] * along
            size[going] = now
        raise DataError(
            f"the errors are not known after {_MOST_PASSES} passes: some columns are nearly collinear. Leave columns "
            "out, or scale them"
        )

    @staticmethod
    def _centred_squares(vectors: Array, means: Array, by_output: tuple[int, int, int]) -> Array:
        """Squares of vectors in terms of centred columns, which leave the intercept alone changed."""
        each, of_means = vectors.reshape(by_output).copy(), means.reshape(by_output)
        each[:, :1] += (of_means * each).sum(axis=1, keepdims=True)
        return np.asarray(each.reshape(vectors.shape) ** 2)

    def _refuse_collinear(self, direction: Array) -> NoReturn:
        spread = np.abs(direction) * np.sqrt(np.maximum(self._preconditioner(False)[0], 0.0))
        involved = np.flatnonzero(spread > 0.1 * spread.max())
        raise DataError(
            f"{shortened([self.design.names[j] for j in involved])}: collinear, so that their coefficients are not "
            "known one by one: leave one of them out"
        )


@dataclass(frozen=True, eq=False)
class ChosenInference(Inference):
    """`Inference` of the parameters of some columns; `model.inference(..., columns=[...])` makes it.

    Estimates, errors, Wald's tests and intervals are those of an inference of all. What needs the covariance of all
    parameters, or other fits, is refused.
    """

    information: ChosenInformation

    @classmethod
    def of_columns(
        cls,
        fitted: FittedLinear,
        data: Data,
        columns: Sequence[str],
        *,
        covariance: str | None,
        weights: str | None,
        dispersion: str | float | None,
        reference: Mapping[str, Any] | None,
        given: Callable[[Any, Any], Any],
    ) -> "ChosenInference":
        """Of a model and the rows of its fit; `columns` are columns of the data, or parameters."""
        if fitted.l2.any():
            raise ValueError(
                "columns: under an L2 penalty errors need the whole information, for the number of parameters that it "
                "leaves: fit without a penalty, or leave columns out"
            )
        design = Design.of(fitted, reference, whole=False)
        places = _places(columns, design)
        kind = kind_of(covariance, fitted, data)
        if kind in ("HC2", "HC3", "CRV2", "CRV3"):
            cls._refuse_parts(f"{kind} errors")
        check_dispersion(dispersion, fitted)
        meaning = weights_of(design, data, weights)
        sums = data.total(DiagonalsAt(design, design.beta, meaning))
        if sums.rows == 0:
            raise DataError("no row has a positive weight: nothing can be told")
        if weights is None and are_trials(design, sums):
            meaning = replace(meaning, precision=True)
        information = ChosenInformation(design, data, meaning, sums, np.zeros(0), places)
        made = cls(
            information=information,
            asked_dispersion=dispersion,
            kind=kind,
            given=given,
            matrix=np.zeros((0, 0)),
            clusters=(),
        )
        made._check_rows()
        information.refuse_unknown()
        made._check_distance()
        return made.with_covariance(kind)

    def with_covariance(self, covariance: str, dispersion: str | float | None = None) -> "ChosenInference":
        """As `Inference.with_covariance`; another information is as many passes as conjugate gradients take."""
        if covariance in ("HC2", "HC3", "CRV2", "CRV3"):
            self._refuse_parts(f"{covariance} errors")
        return super().with_covariance(covariance, dispersion)  # type: ignore[return-value]

    @property
    def names(self) -> list[str]:
        """Of the chosen parameters."""
        return [self._design.names[place] for place in self.information.places]

    @property
    def coef(self) -> Array:
        """Their estimates."""
        return np.asarray(self._design.beta[self.information.places])

    def test(self, hypothesis: Any, method: str = "wald") -> Test:
        """Wald's test of a linear hypothesis of the chosen parameters, as `Inference.test` takes it in words."""
        if method != "wald":
            self._refuse_parts(f"{method} tests")
        restriction, words = restriction_of(hypothesis, self._design)
        others = np.setdiff1d(np.arange(self._design.size), self.information.places)
        if restriction.matrix[:, others].any():
            raise ValueError(f"{words}: not of the chosen columns alone, which are {shortened(self.names)}")
        own = Restriction(restriction.matrix[:, self.information.places], restriction.value)
        return wald(own, self.coef, self.matrix, words, self.df)

    def test_terms(self, method: str = "wald") -> Any:
        """Refused: `test` says of one column what it does."""
        self._refuse_parts("tests of all columns")

    def marginal_effects(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: errors of averages need the covariance of all parameters."""
        self._refuse_parts("marginal effects")

    def average_predictions(self, *args: Any, **kwargs: Any) -> Any:
        """Refused, as are marginal effects."""
        self._refuse_parts("average predictions")

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Refused, as are marginal effects."""
        self._refuse_parts("errors of predictions")

    def influence(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: leverages need the inverse information of all parameters."""
        self._refuse_parts("leverages")

    def _refuse_without_likelihood(self, what: str) -> None:
        super()._refuse_without_likelihood(what)
        self._refuse_parts(what)

    @staticmethod
    def _refuse_parts(what: str) -> NoReturn:
        raise ValueError(f"{what} need the information of all parameters: leave columns= out")


def _places(columns: Sequence[str], design: Design) -> Array:
    """Parameters, in their own order."""
    if isinstance(columns, str) or not len(columns):
        raise ValueError(f"columns must be a list of columns of the fit, got {columns!r}")
    found: set[int] = set()
    number = {name: place for place, name in enumerate(design.names)}
    for name in columns:
        if (term := design.term(name)) is not None:
            found.update(design.terms[term])
        elif name in number:
            found.add(number[name])
        else:
            raise ValueError(
                f"columns: there is no column or parameter {name!r}; columns of the fit are {shortened(design.terms)}"
            )
    if not found:
        raise ValueError(f"columns: {shortened(columns)} have no parameters of their own")
    return np.array(sorted(found))
