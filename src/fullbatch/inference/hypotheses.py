"""Linear hypotheses of the parameters: as a matrix, or as text such as "age = income, region=north = 0"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, f

from ..errors import DataError
from ..machine.blas import one_thread
from ..wording.messages import shortened
from .design import Design
from .restricted import Restriction

Array = npt.NDArray[Any]

_NUMBER = re.compile(r"\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Test:
    """A test of a linear hypothesis.

    Parameters
    ----------
    method : str
        "wald", "likelihood-ratio" or "score".
    hypothesis : str
        What was tested.
    statistic : float
        Chi-squared, or F where the dispersion is estimated or there are clusters.
    df : int
        Restrictions.
    df_residual : float
        Of F's denominator; infinite for chi-squared.
    p_value : float
        Probability of a statistic as large, if the hypothesis holds.
    """

    method: str
    hypothesis: str
    statistic: float
    df: int
    df_residual: float
    p_value: float

    @property
    def distribution(self) -> str:
        """Of the statistic: "F", or "chi2"."""
        return "F" if np.isfinite(self.df_residual) else "chi2"

    def __str__(self) -> str:
        of = f"F({self.df}, {self.df_residual:g})" if self.distribution == "F" else f"chi2({self.df})"
        return f"{self.method} test of {self.hypothesis}: {of} = {self.statistic:.6g}, p = {self.p_value:.4g}"


def tested(method: str, hypothesis: str, chi_squared: float, df: int, df_residual: float) -> Test:
    """A test from a quadratic form that is chi-squared where the denominator's degrees are infinite."""
    chi_squared = max(chi_squared, 0.0)
    if np.isfinite(df_residual):
        return Test(
            method, hypothesis, chi_squared / df, df, df_residual, float(f.sf(chi_squared / df, df, df_residual))
        )
    return Test(method, hypothesis, chi_squared, df, df_residual, float(chi2.sf(chi_squared, df)))


def wald(restriction: Restriction, beta: Array, covariance: Array, words: str, df_residual: float) -> Test:
    """Wald's test.

    Raises
    ------
    DataError
        The covariance of what is tested is singular.
    """
    R, value = restriction
    with one_thread():
        gap, spread = R @ beta - value, R @ covariance @ R.T
        size = np.sqrt(np.maximum(spread.diagonal(), 0.0))
        if (size <= 0).any() or np.linalg.matrix_rank(spread / size / size[:, None], tol=1e-10, hermitian=True) < len(
            R
        ):
            raise DataError(
                f"the covariance of {words} is singular, so that it cannot be tested: there are too few clusters for "
                f"{len(R)} restrictions, or no error in one of them"
            )
        return tested("wald", words, float(gap @ np.linalg.solve(spread, gap)), len(R), df_residual)


def restriction_of(hypothesis: Any, design: Design) -> tuple[Restriction, str]:
    """Equations, and what they are in words.

    Parameters
    ----------
    hypothesis : str, sequence of str, (q, size) array_like, or (matrix, value)
        A column of the data, or a term of the formula: all of its coefficients are zero, those of all levels of a
        category. Parameters: each is
        zero. Equations with numbers, +, -, *, / and parentheses, several with commas between them; names that do not
        read as one word may stand in backticks. A matrix says that its product with the parameters is zero, or `value`.
    design : Design
        The parameters.

    Raises
    ------
    ValueError
        It cannot be read, says the same twice, or contradicts itself.
    """
    if isinstance(hypothesis, str):
        words = hypothesis
        restriction = _of_text(hypothesis, design)
    elif isinstance(hypothesis, Sequence) and len(hypothesis) and all(isinstance(one, str) for one in hypothesis):
        words = ", ".join(hypothesis)
        parts = [_of_text(one, design) for one in hypothesis]
        restriction = Restriction(*(np.concatenate(of_parts) for of_parts in zip(*parts, strict=True)))
    else:
        matrix, value = hypothesis if isinstance(hypothesis, tuple) and len(hypothesis) == 2 else (hypothesis, 0.0)
        try:
            R = np.atleast_2d(np.asarray(matrix, np.float64))
            r = np.broadcast_to(np.asarray(value, np.float64), len(R)).copy()
        except (TypeError, ValueError):
            raise ValueError(f"a hypothesis is text, names, or a matrix, got {hypothesis!r}") from None
        words = f"{len(R)} linear restriction" + ("s" if len(R) > 1 else "")
        restriction = Restriction(R, r)
    R = restriction.matrix
    if R.ndim != 2 or R.shape[1] != design.size or not np.isfinite(R).all():
        raise ValueError(f"a hypothesis about {design.size} parameters is a matrix of as many columns, got {R.shape}")
    rank = np.linalg.matrix_rank(R) if len(R) else 0
    if rank < len(R) and np.linalg.matrix_rank(np.column_stack((R, restriction.value))) > rank:
        raise ValueError(f"{words}: these contradict one another, as no parameters hold all of them: correct one")
    if rank < len(R) or not len(R):
        raise ValueError(f"{words}: some restrictions say what others do, or nothing: leave them out")
    return restriction, words


def _of_text(text: str, design: Design) -> Restriction:
    if (term := design.term(text)) is not None:
        return Restriction(np.eye(design.size)[design.terms[term]], np.zeros(len(design.terms[term])))
    equations = _Reader(text, design).equations()
    return Restriction(np.array([one[:-1] for one in equations]), -np.array([one[-1] for one in equations]))


class _Reader:
    """Reads equations: a linear form is an array of a number for each parameter and one for the constant."""

    def __init__(self, text: str, design: Design) -> None:
        self._text, self._place, self._size = text, 0, design.size
        self._forms = {name: np.eye(design.size + 1)[place] for place, name in enumerate(design.names)}
        references = [f"{column}={level}" for column, level in design.reference.items()]
        if design.outputs > 1:
            assert design.fitted.classes is not None
            references = [f"{one}:{name}" for one in design.fitted.classes.tolist()[1:] for name in references]
        self._forms |= dict.fromkeys(references, np.zeros(design.size + 1))
        self._names = sorted(self._forms, key=len, reverse=True)

    def equations(self) -> list[Array]:
        found: list[Array] = []
        while True:
            sides = [self._side()]
            while self._take("="):
                sides.append(self._side())
            if len(sides) == 1:
                sides.append(np.zeros(self._size + 1))
            found += [sides[0] - other for other in sides[1:]]
            if not self._take(","):
                break
        if self._rest():
            raise self._error("an operator, = or a comma")
        return found

    def _side(self) -> Array:
        total = np.zeros(self._size + 1)
        sign = -1.0 if self._take("-") else 1.0
        while True:
            total += sign * self._product()
            if self._take("+"):
                sign = 1.0
            elif self._take("-"):
                sign = -1.0
            else:
                return total

    def _product(self) -> Array:
        total = self._factor()
        while True:
            if self._take("*"):
                other = self._factor()
                constant, form = (total, other) if not total[:-1].any() else (other, total)
                if constant[:-1].any():
                    raise ValueError(f"hypothesis {self._text!r}: a product of parameters is not linear")
                total = constant[-1] * form
            elif self._take("/"):
                other = self._factor()
                if other[:-1].any() or other[-1] == 0:
                    raise ValueError(f"hypothesis {self._text!r}: only numbers other than 0 may be divided by")
                total = total / other[-1]
            else:
                return total

    def _factor(self) -> Array:
        rest = self._rest()
        if rest.startswith("`"):
            name, end, _ = rest[1:].partition("`")
            if not end or name not in self._forms:
                raise self._error(f"a parameter between backticks, such as {shortened(self._names[:4])}")
            self._place += len(name) + 2
            return self._forms[name]
        for name in self._names:
            after = rest[len(name) : len(name) + 1]
            if rest.startswith(name) and not (after.isalnum() or after == "_"):
                self._place += len(name)
                return self._forms[name]
        if number := _NUMBER.match(rest):
            self._place += number.end()
            constant = np.zeros(self._size + 1)
            constant[-1] = float(number[0])
            return constant
        if self._take("-"):
            return -self._factor()
        if self._take("("):
            inner = self._side()
            if not self._take(")"):
                raise self._error("an operator or a closing parenthesis")
            return inner
        raise self._error("a parameter or a number")

    def _rest(self) -> str:
        while self._text[self._place : self._place + 1].isspace():
            self._place += 1
        return self._text[self._place :]

    def _take(self, sign: str) -> bool:
        if not self._rest().startswith(sign):
            return False
        self._place += 1
        return True

    def _error(self, wanted: str) -> ValueError:
        return ValueError(
            f"hypothesis {self._text!r}: {wanted} is missing before {self._rest()[:20]!r}; the parameters are "
            f"{shortened(sorted(self._forms))}"
        )
