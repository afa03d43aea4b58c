"""Averages over rows of what a model predicts, and of how predictions change: sums that take no memory of the rows.

Errors are by the delta method: the gradient of an average in the parameters is an average too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import shortened
from ..protocols.rows import is_sparse
from .data import read
from .design import Design
from .sums import pieces

Array = npt.NDArray[Any]


class Setting(NamedTuple):
    """Columns of the design that are set to values in every row, all others of the same term to zero.

    Parameters
    ----------
    columns : tuple of int
        Those of the terms.
    values : tuple of (int, float)
        Which of them have another value than zero.
    """

    columns: tuple[int, ...] = ()
    values: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Averages:
    """Weighted sums over rows; adds up.

    Parameters
    ----------
    weight : float
        Sum of the sample weights.
    first : float
        Of the derivatives of the means in the predictor.
    second : (width,) array
        Of their second derivatives times the rows: the gradient of `first`.
    means : (S,) array
        Of the means at each setting.
    gradients : (S, width) array
        Theirs.
    """

    weight: float
    first: float
    second: Array
    means: Array
    gradients: Array

    def __add__(self, other: "Averages") -> "Averages":
        return Averages(
            self.weight + other.weight,
            self.first + other.first,
            self.second + other.second,
            self.means + other.means,
            self.gradients + other.gradients,
        )


@dataclass(frozen=True, eq=False)
class AveragesAt:
    """Answers a block with its `Averages`."""

    design: Design
    beta: Array
    settings: tuple[Setting, ...]

    def __call__(self, index: int, source: Any) -> Averages:
        width, family, beta = self.design.width, self.design.fitted.family, self.beta
        total = Averages(0.0, 0.0, np.zeros(width), np.zeros(len(self.settings)), np.zeros((len(self.settings), width)))
        for X, _, weight, eta, _, _ in pieces(self.design, beta, source):
            first, second = family.steepness(eta[:, 0])
            means, gradients = np.zeros(len(self.settings)), np.zeros((len(self.settings), width))
            for number, setting in enumerate(self.settings):
                columns = list(setting.columns)
                moved = eta[:, 0]
                if columns:
                    moved = moved - np.asarray(X[:, columns] @ beta[columns]) + _shift(setting, beta)
                slopes = weight * family.steepness(moved)[0]
                means[number] = weight @ family.mean(moved[:, None])[:, 0]
                gradients[number] = X.T @ slopes
                gradients[number, columns] = 0.0
                for column, value in setting.values:
                    gradients[number, column] = value * slopes.sum()
            total += Averages(float(weight.sum()), float(weight @ first), X.T @ (weight * second), means, gradients)
        return total


def _shift(setting: Setting, beta: Array) -> float:
    return float(sum(value * beta[column] for column, value in setting.values))


class Effects(NamedTuple):
    """Estimates that are functions of the parameters.

    Parameters
    ----------
    names : list of str
    values : (k,) array
    gradients : (k, size) array
        In the parameters.
    """

    names: list[str]
    values: Array
    gradients: Array


def refuse_several(design: Design, what: str) -> None:
    """Of several classes nothing of this is made."""
    if design.outputs > 1:
        raise ValueError(
            f"{what} are of models of one linear predictor, this one has {design.outputs}: fit two classes at a time"
        )


def marginal_effects(design: Design, total: Any, columns: Iterable[str] | None, discrete: Sequence[str]) -> Effects:
    """Average marginal effects.

    Parameters
    ----------
    design : Design
    total : callable
        Adds up what a task makes of all rows.
    columns : iterable of str, or None
        Columns of the data; default: all.
    discrete : sequence of str
        Columns of numbers whose effect is of 0 becoming 1.
    """
    refuse_several(design, "marginal effects")
    chosen = list(design.terms if columns is None else columns)
    for name in [*chosen, *discrete]:
        _check_term(name, design)
    smooth: list[tuple[str, int]] = []
    steps: list[tuple[str, Setting, Setting]] = []
    for name in chosen:
        if name in _categories(design):
            settings = _of_levels(design, name)
            reference = design.reference.get(name, next(iter(settings)))
            steps += [
                (f"{name}={level}", settings[level], settings[reference]) for level in settings if level != reference
            ]
        elif name in discrete:
            (place,) = design.terms[name]
            steps.append((name, Setting((place,), ((place, 1.0),)), Setting((place,))))
        else:
            smooth.append((name, design.terms[name][0]))
    different = list(dict.fromkeys(setting for _, *both in steps for setting in both))
    sums = total(AveragesAt(design, design.beta, tuple(different)))
    names, values, gradients = [], [], []
    for name, place in smooth:
        gradient = design.beta[place] * sums.second
        gradient[place] += sums.first
        names.append(name)
        values.append(design.beta[place] * sums.first)
        gradients.append(gradient)
    for name, to, by in steps:
        one, other = different.index(to), different.index(by)
        names.append(name)
        values.append(sums.means[one] - sums.means[other])
        gradients.append(sums.gradients[one] - sums.gradients[other])
    size = (len(names), design.size)
    return Effects(names, np.array(values) / sums.weight, np.reshape(gradients, size) / sums.weight)


def average_predictions(design: Design, total: Any, at: Mapping[str, Any] | str | None) -> Effects:
    """Average predictions: as the rows are, or with one column set to each of some values, or to each of its levels."""
    refuse_several(design, "average predictions")
    settings: dict[str, Setting] = {}
    if at is None:
        settings["all rows"] = Setting()
    else:
        told = {at: None} if isinstance(at, str) else dict(at)
        if len(told) != 1:
            raise ValueError(f"at is one column, or one with its values, such as {{'age': [30, 60]}}; got {at!r}")
        ((name, given),) = told.items()
        _check_term(name, design)
        if name in _categories(design):
            of_levels = _of_levels(design, name)
            levels = list(of_levels) if given is None else np.atleast_1d(np.asarray(given)).tolist()
            for level in levels:
                if level not in of_levels:
                    raise ValueError(f"column {name!r} has no level {level!r}: it has {shortened(of_levels)}")
                settings[f"{name}={level}"] = of_levels[level]
        else:
            if given is None:
                raise ValueError(f"at: say which values of {name!r}, such as {{{name!r}: [0, 1]}}")
            (place,) = design.terms[name]
            for value in np.atleast_1d(np.asarray(given, np.float64)).tolist():
                settings[f"{name}={value:g}"] = Setting((place,), ((place, value),))
    sums = total(AveragesAt(design, design.beta, tuple(settings.values())))
    return Effects(list(settings), sums.means / sums.weight, sums.gradients / sums.weight)


def _check_term(name: str, design: Design) -> None:
    if name not in design.terms:
        raise ValueError(f"there is no column {name!r}: those of the fit are {shortened(design.terms)}")


def _categories(design: Design) -> dict[str, Array]:
    features = design.fitted.features
    names = [str(features.column(j)) if features.names else f"x{j}" for j in range(len(design.terms))]
    return dict(zip(names[features.numeric :], features.levels, strict=True))


def _of_levels(design: Design, name: str) -> dict[Any, Setting]:
    """The setting of each level of a category, the reference included."""
    columns = tuple(design.terms[name])
    own = iter(columns)
    dropped = design.reference.get(name)
    has_reference = name in design.reference
    return {
        level: Setting(columns, () if has_reference and level == dropped else ((next(own), 1.0),))
        for level in _categories(design)[name].tolist()
    }


# --- row by row -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PredictedWithErrors:
    """Answers a block with predictions of its rows, (4, n): the mean, its standard error, and its interval.

    Parameters
    ----------
    covariance : (width, width) array
        Of the parameters.
    quantile : float
        How many standard errors the interval goes, on the scale of the linear predictor.
    """

    design: Design
    covariance: Array
    quantile: float

    def __call__(self, index: int, source: Any) -> Array:
        rows = self.design.encoded(read(source, ()).rows, source)
        family, beta, n = self.design.fitted.family, self.design.beta, rows.X.shape[0]
        answer = np.empty((4, n))
        for start in range(0, n, 4096):
            part = slice(start, start + 4096)
            X = self.design.matrix(rows, part)
            eta = np.asarray(X @ beta)
            if rows.offset is not None:
                eta = eta + np.asarray(rows.offset, np.float64)[part]
            through = X @ self.covariance
            squares = np.asarray(X.multiply(through).sum(axis=1) if is_sparse(X) else (X * through).sum(axis=1)).ravel()
            error = np.sqrt(np.maximum(squares, 0.0))
            away = self.quantile * error
            for row, values in enumerate((eta, eta - away, eta + away)):
                answer[(0, 2, 3)[row], part] = family.mean(values[:, None])[:, 0]
            answer[1, part] = family.steepness(eta)[0] * error
        return answer
