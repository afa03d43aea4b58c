"""Averages over rows of what a model predicts, and of how predictions change: sums that take no memory of the rows.

Errors are by the delta method: the gradient of an average in the parameters is an average too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..protocols.rows import is_sparse
from ..wording.messages import shortened
from .data import read
from .design import Design
from .sums import pieces

Array = npt.NDArray[Any]

# Numbers that the gradients of marginal effects may be made of: 128 MB.
_MOST = 2**24


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
    first : (m, m) array
        Of the derivatives of the means in the predictors.
    second : (m, m, m, width) array or None
        Of their second derivatives times the rows: the gradient of `first`; None where it is not asked for.
    means : (S, m) array
        Of the means at each setting.
    gradients : (S, m, m, width) array
        Theirs.
    """

    weight: float
    first: Array
    second: Array | None
    means: Array
    gradients: Array

    def __add__(self, other: "Averages") -> "Averages":
        return Averages(
            self.weight + other.weight,
            self.first + other.first,
            None if self.second is None or other.second is None else self.second + other.second,
            self.means + other.means,
            self.gradients + other.gradients,
        )


@dataclass(frozen=True, eq=False)
class AveragesAt:
    """Answers a block with its `Averages`."""

    design: Design
    beta: Array
    settings: tuple[Setting, ...]
    second: bool = True

    def __call__(self, index: int, source: Any) -> Averages:
        width, m, family = self.design.width, self.design.outputs, self.design.fitted.family
        beta = self.beta.reshape(m, width).T
        second = np.zeros((m, m, m, width)) if self.second else None
        each = (len(self.settings), m)
        total = Averages(0.0, np.zeros((m, m)), second, np.zeros(each), np.zeros((*each, m, width)))
        for X, _, weight, eta, _, _ in pieces(self.design, self.beta, source):
            means, gradients = np.zeros(each), np.zeros((*each, m, width))
            for number, setting in enumerate(self.settings):
                columns = list(setting.columns)
                moved = eta
                if columns:
                    moved = moved - np.asarray(X[:, columns] @ beta[columns]) + _shift(setting, beta)
                means[number] = weight @ family.mean(moved)
                slopes = weight[:, None, None] * family.slopes(moved)
                gradients[number] = np.moveaxis(np.asarray(X.T @ slopes.reshape(-1, m * m)).reshape(width, m, m), 0, 2)
                gradients[number][:, :, columns] = 0.0
                for column, value in setting.values:
                    gradients[number][:, :, column] = value * slopes.sum(axis=0)
            first = np.tensordot(weight, family.slopes(eta), 1)
            second = self._bends(X, weight, eta) if self.second else None
            total += Averages(float(weight.sum()), first, second, means, gradients)
        return total

    def _bends(self, X: Any, weight: Array, eta: Array) -> Array:
        m = self.design.outputs
        bends = np.empty((m, m, m, self.design.width))
        for which, bend in self.design.fitted.family.bends(eta):
            of_rows = np.asarray(X.T @ (weight * bend))
            for order in permutations(which):
                bends[order] = of_rows
        return bends


def _shift(setting: Setting, beta: Array) -> Array:
    return np.asarray(sum((value * beta[column] for column, value in setting.values), np.zeros(beta.shape[1])))


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
            (place,) = _own(design, name)
            steps.append((name, Setting((place,), ((place, 1.0),)), Setting((place,))))
        else:
            smooth.append((name, _own(design, name)[0]))
    different = list(dict.fromkeys(setting for _, *both in steps for setting in both))
    if smooth:
        _refuse_too_many(design)
    sums = total(AveragesAt(design, design.beta, tuple(different), bool(smooth)))
    beta = design.beta.reshape(design.outputs, design.width).T
    names, values, gradients = [], [], []
    for name, place in smooth:
        gradient = np.tensordot(beta[place], sums.second, 1)
        gradient[:, :, place] += sums.first
        names.append(name)
        values.append(sums.first @ beta[place])
        gradients.append(gradient)
    for name, to, by in steps:
        one, other = different.index(to), different.index(by)
        names.append(name)
        values.append(sums.means[one] - sums.means[other])
        gradients.append(sums.gradients[one] - sums.gradients[other])
    return _of_classes(design, names, np.array(values) / sums.weight, np.array(gradients) / sums.weight, 0.0)


def _of_classes(design: Design, names: list[str], values: Array, gradients: Array, whole: float) -> Effects:
    """Effects of the means, (k, m) with gradients (k, m, m, width), and of several classes of the first one's too.

    Parameters
    ----------
    whole : float
        What those of all classes add up to.
    """
    m, size = design.outputs, design.size
    values, gradients = values.reshape(-1, m), gradients.reshape(-1, m, size)
    if m == 1:
        return Effects(names, values[:, 0], gradients[:, 0])
    assert design.fitted.classes is not None
    values = np.column_stack((whole - values.sum(axis=1), values))
    gradients = np.concatenate((-gradients.sum(axis=1, keepdims=True), gradients), axis=1)
    names = [f"{label}:{name}" for label in design.fitted.classes.tolist() for name in names]
    return Effects(names, values.T.ravel(), gradients.swapaxes(0, 1).reshape(len(names), size))


def _own(design: Design, name: str) -> list[int]:
    """The columns of a term in the design of one predictor."""
    places = design.terms[name]
    return places[: len(places) // design.outputs]


def _refuse_too_many(design: Design) -> None:
    numbers = design.outputs**3 * design.width
    if numbers > _MOST:
        raise ValueError(
            f"marginal effects of numbers on {design.outputs + 1} classes with {design.width} columns need "
            f"{numbers:,} sums, {_MOST:,} are the most: ask for columns of levels or `discrete` ones, or fit fewer "
            "classes"
        )


def average_predictions(design: Design, total: Any, at: Mapping[str, Any] | str | None) -> Effects:
    """Average predictions: as the rows are, or with one column set to each of some values, or to each of its levels."""
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
            (place,) = _own(design, name)
            for value in np.atleast_1d(np.asarray(given, np.float64)).tolist():
                settings[f"{name}={value:g}"] = Setting((place,), ((place, value),))
    sums = total(AveragesAt(design, design.beta, tuple(settings.values()), second=False))
    return _of_classes(design, list(settings), sums.means / sums.weight, sums.gradients / sums.weight, 1.0)


def _check_term(name: str, design: Design) -> None:
    if name not in design.terms:
        raise ValueError(f"there is no column {name!r}: those of the fit are {shortened(design.terms)}")


def _categories(design: Design) -> dict[str, Array]:
    features = design.fitted.features
    names = features.data_names()
    return dict(zip(names[features.numeric :], features.levels, strict=True))


def _of_levels(design: Design, name: str) -> dict[Any, Setting]:
    """The setting of each level of a category, the reference included."""
    columns = tuple(_own(design, name))
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
        rows = self.design.encoded(self.design.fitted.with_known_levels(read(source, ()).rows, source), source)
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
