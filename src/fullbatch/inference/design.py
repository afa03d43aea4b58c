"""Which parameters the data can tell: a reference level of each category, and a reference class, are left out.

A model has a column for each level, and as many predictors as classes, of which only differences matter. Tables are of
the differences from the reference, as textbooks have them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.features import Unknown, encode, matched, with_bases
from ..errors import DataError
from ..models.describe import as_labels
from ..models.linear import Linear, bad_offset
from ..protocols.rows import Rows, is_sparse
from ..protocols.schema import Features, in_one_type
from ..wording.messages import located, shortened
from .families import Family

Array = npt.NDArray[Any]

# Parameters whose covariance is a matrix that a driver can hold and factorise.
MOST_PARAMETERS = 10_000


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """What must be known of a fitted linear model.

    Parameters
    ----------
    features : Features
        Columns of the data, and of the model.
    family : Family
        Its loss.
    coef : (K, p) float64 array
        Coefficients.
    intercept : (K,) float64 array
        Intercepts.
    fit_intercept : bool
        Whether there are any.
    l2 : (p,) float64 array
        Strengths of the penalty on the mean loss.
    standardize : bool
        Whether they are for standardised columns.
    n_rows : int or None
        Rows of the fit; None where that is not known.
    has_offset : bool
        Whether the rows of the fit had offsets.
    missing : mapping of str to value
        What stood for missing values.
    classes : array or None
        Labels.
    class_weight : "balanced", mapping or None
        What weights of classes were multiplied by.
    held : (p,) bool array or None
        Coefficients of base levels, which are zero by definition.
    formula : str or None
        What makes the columns from those of the data.
    unknown : {"error", "ignore"}
        What the model does with unknown levels.
    found_with : int
        Parameters of the family that were fitted with the coefficients: theta.
    weight_sum : float or None
        Sum of the sample weights of the fit; None where that is not known.
    parts : tuple of (str, int)
        Terms of the formula, each with how many columns of the model it makes; of numbers none.
    """

    features: Features
    family: Family
    coef: Array
    intercept: Array
    fit_intercept: bool
    l2: Array
    standardize: bool
    n_rows: int | None
    has_offset: bool
    missing: Mapping[str, Any]
    classes: Array | None = None
    class_weight: Any = None
    held: Array | None = None
    formula: str | None = None
    unknown: Unknown = "error"
    found_with: int = 0
    weight_sum: float | None = None
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def terms(self) -> tuple[tuple[str, int], ...]:
        """Columns of the data, or terms of the formula, with their numbers of columns of the model, in its order."""
        features = self.features
        counts = [1] * features.numeric + [len(levels) for levels in features.levels]
        return self.parts or tuple(zip(features.data_names(), counts, strict=True))

    def targets(self, rows: Rows, source: Any) -> Array:
        """(n,) numbers, or numbers of classes; rows that cannot be used are refused.

        Raises
        ------
        DataError
            The first such row.
        """
        if rows.y is None:
            raise DataError(f"{source}: no target y: name its column with target=...")
        linear = Linear(self.family.loss, self.fit_intercept, options=self.family.options or None)
        found = [linear.describe(rows, str(source)).problem, bad_offset(rows, str(source))]
        problem = min(filter(None, found), key=lambda problem: problem.row, default=None)
        if problem is not None:
            column = "" if problem.column is None else f", column {problem.column!r}"
            raise DataError(f"{located(source, problem.row)}{column}: {problem.what}")
        if self.classes is None:
            return np.asarray(rows.y, np.float64)
        labels, *_ = as_labels(np.asarray(rows.y), str(source))
        classes, labels = in_one_type([self.classes, labels], "labels")
        index = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        if (unknown := np.flatnonzero(classes[index] != labels)).size:
            row = int(unknown[0])
            raise DataError(
                f"{located(source, row)}: the label {labels.tolist()[row]!r} was not in the fit, whose classes are "
                f"{shortened(self.classes.tolist())}"
            )
        return index

    def encoded(self, rows: Rows, source: Any, unknown: Unknown = "error") -> Rows:
        """Rows with the columns of the model."""
        if self.has_offset and rows.offset is None:
            raise DataError(
                f"{source}: the model was fitted with an offset and there is none here: name its column, or give "
                "values (zeros for none), with offset=..."
            )
        return encode(matched(rows, self.features, self.missing, source), self.features, source, unknown)

    def with_known_levels(self, rows: Rows, source: Any) -> Rows:
        """Rows in which a level that the model ignores is the base level, as which it counts.

        Raises
        ------
        DataError
            Its column has no base level: what it counts as then is none of what the data tell.
        """
        rows = matched(rows, self.features, self.missing, source)
        if self.unknown == "error" or not rows.categories:
            return rows
        rows = with_bases(rows, self.features, self.bases, source)
        self._refuse_unknown(
            rows,
            source,
            "which the model ignores, has no standard error: the column has no base level that it could count as. Fit "
            'with base levels, base="first", or leave the row out',
        )
        return rows

    def encoded_of_fit(self, rows: Rows, source: Any) -> Rows:
        """Rows of the fit, whose levels are known, with the columns of the model."""
        if self.unknown != "error" and rows.categories:
            rows = matched(rows, self.features, self.missing, source)
            rows = with_bases(rows, self.features, [None] * len(self.features.levels), source)
            self._refuse_unknown(rows, source, "which the fit has not seen: give the rows of the fit, and no others")
        return self.encoded(rows, source)

    def _refuse_unknown(self, rows: Rows, source: Any, why: str) -> None:
        columns = zip(rows.categories, self.features.levels, strict=True)
        for number, (column, levels) in enumerate(columns, self.features.numeric):
            strange = ~np.isin(column.levels, levels)[column.codes]
            if strange.any():
                row = int(np.flatnonzero(strange)[0])
                name, level = self.features.column(number), column.levels.tolist()[column.codes[row]]
                raise DataError(f"{located(source, row)}, column {name!r}: unknown level {level!r}, {why}")

    @property
    def bases(self) -> list[Any]:
        """The base level of each categorical column; None where it has none."""
        first, bases = self.features.numeric, []
        for levels in self.features.levels:
            held = [] if self.held is None else levels[self.held[first : first + len(levels)]].tolist()
            bases.append(held[0] if held else None)
            first += len(levels)
        return bases


@dataclass(frozen=True, eq=False)
class Design:
    """The parameters that are told, beta: of each predictor the intercept and then the coefficients.

    Parameters
    ----------
    fitted : FittedLinear
        The model.
    columns : (c,) int array
        Columns of the model that have a coefficient of their own.
    reference : mapping of str to level
        The level of each categorical column that is left out.
    """

    fitted: FittedLinear
    columns: Array
    reference: Mapping[str, Any]

    @classmethod
    def of(cls, fitted: FittedLinear, reference: Mapping[str, Any] | None = None, whole: bool = True) -> "Design":
        """With the first level of each categorical column, unless told otherwise, as the reference.

        Without an intercept the first of these columns keeps all of its levels. `whole` refuses more parameters than
        a matrix of them can be made for.
        """
        features, told = fitted.features, dict(reference or {})
        left_out, references, first = [], {}, features.numeric
        if fitted.fit_intercept and "intercept" in features.data_names():
            raise ValueError(
                "the column 'intercept' has the name that the model's own intercept has in tables and hypotheses: fit "
                "with another name for it"
            )
        names = features.data_names()[features.numeric :]
        for name, levels, base in zip(names, features.levels, fitted.bases, strict=True):
            if base is not None and not fitted.fit_intercept and told.get(name) == base:
                del told[name]
                left_out.append(first + levels.tolist().index(base))
                references[name] = base
            elif fitted.fit_intercept or first > features.numeric:
                level = told.pop(name, levels.tolist()[0])
                place = levels.tolist().index(level) if level in levels.tolist() else -1
                if place < 0:
                    raise ValueError(
                        f"reference: column {name!r} has no level {level!r}: it has {shortened(levels.tolist())}"
                    )
                left_out.append(first + place)
                references[name] = level
            first += len(levels)
        if told:
            raise ValueError(
                f"reference names {next(iter(told))!r}, which is no categorical column with a reference: those are "
                f"{shortened(references) or 'none'}"
            )
        design = cls(fitted, np.setdiff1d(np.arange(features.size), left_out), references)
        if whole and design.size > MOST_PARAMETERS:
            raise DataError(
                f"{design.size:,} parameters: their covariance is a matrix, of at most {MOST_PARAMETERS:,} of them; "
                "name some of the columns, columns=[...], whose errors are made without it"
            )
        return design

    @property
    def width(self) -> int:
        """Parameters of one predictor."""
        return len(self.columns) + int(self.fitted.fit_intercept)

    @property
    def outputs(self) -> int:
        """Predictors: one, or one for each class but the first."""
        return max(1, len(self.fitted.coef) - 1)

    @property
    def size(self) -> int:
        """Parameters."""
        return self.width * self.outputs

    @cached_property
    def names(self) -> list[str]:
        """Of the parameters, such as "age" and "region=north"; of several classes "setosa:age"."""
        all_names = self.fitted.features.names_out()
        names = ["intercept"] if self.fitted.fit_intercept else []
        names += [all_names[column] for column in self.columns.tolist()]
        if len(self.fitted.coef) == 1:
            return names
        assert self.fitted.classes is not None
        return [f"{label}:{name}" for label in self.fitted.classes.tolist()[1:] for name in names]

    @cached_property
    def terms(self) -> dict[str, list[int]]:
        """The parameters of each column of the data, of all classes; those of all levels of a categorical one. Of a
        formula those of each term.
        """
        first, told = int(self.fitted.fit_intercept), self.fitted.terms
        of_term = np.repeat(np.arange(len(told)), [count for _, count in told])[self.columns]
        until = first + np.searchsorted(of_term, np.arange(len(told) + 1))
        return {
            name: [int(one) + k * self.width for k in range(self.outputs) for one in range(*until[place : place + 2])]
            for place, (name, _) in enumerate(told)
        }

    def term(self, name: str) -> str | None:
        """The term of this name, with or without blanks in it; None where there is none."""
        if name in self.terms:
            return name
        if self.fitted.formula is None:
            return None
        dense = "".join(name.split())
        return next((term for term in self.terms if "".join(term.split()) == dense), None)

    @cached_property
    def of_theta(self) -> Any:
        """(size, K (p + 1)) CSR matrix that makes beta of the model's coefficients, each predictor's intercept last."""
        from scipy.sparse import csr_array, kron

        features, spare = self.fitted.features, int(self.fitted.fit_intercept)
        place = {int(column): row for row, column in enumerate(self.columns, spare)}
        entries = [(row, column, 1.0) for column, row in place.items()]
        if self.fitted.fit_intercept:
            entries.append((0, features.size, 1.0))
        first = features.numeric
        own_levels = range(first, first + _count(features))
        spared = [] if self.fitted.fit_intercept else [place[j] for j in own_levels if j in place]
        zero = np.zeros(features.size, bool) if self.fitted.held is None else self.fitted.held
        for _, levels in _each(features):
            own = range(first, first + len(levels))
            for dropped in {j for j in own if not zero[j]} - place.keys():
                entries += [(place[column], dropped, -1.0) for column in own if column != dropped]
                entries += [(row, dropped, 1.0) for row in spared or [0]]
            first += len(levels)
        rows, columns, values = zip(*entries, strict=True)
        one = csr_array((values, (rows, columns)), (self.width, features.size + 1))
        if len(self.fitted.coef) == 1:
            return one
        contrasts = np.column_stack((-np.ones(self.outputs), np.eye(self.outputs)))
        return csr_array(kron(contrasts, one))

    @cached_property
    def beta(self) -> Array:
        """(size,) as fitted."""
        theta = np.column_stack((self.fitted.coef, self.fitted.intercept)).ravel()
        return np.asarray(self.of_theta @ theta)

    # --- rows -----------------------------------------------------------------------------------------------------

    def encoded(self, rows: Rows, source: Any) -> Rows:
        """Rows with the columns of the model."""
        return self.fitted.encoded(rows, source)

    def matrix(self, rows: Rows, part: slice) -> Any:
        """Float64 rows of the design, (n, width), from rows with the columns of the model: dense, or CSR."""
        X = rows.X[part]
        if is_sparse(X):
            from scipy.sparse import csr_array, hstack

            X = csr_array(X)[:, self.columns].astype(np.float64) * rows.scale
            ones = csr_array(np.ones((X.shape[0], int(self.fitted.fit_intercept))))
            return hstack((ones, X), format="csr") if self.fitted.fit_intercept else X
        matrix, first = np.empty((X.shape[0], self.width)), int(self.fitted.fit_intercept)
        matrix[:, :first] = 1.0
        matrix[:, first:] = X if len(self.columns) == X.shape[1] else X[:, self.columns]
        if rows.scale != 1.0:
            matrix[:, first:] *= rows.scale
        return matrix


def _each(features: Features) -> list[tuple[int, Array]]:
    return list(enumerate(features.levels))


def _count(features: Features) -> int:
    return len(features.levels[0]) if features.levels else 0
