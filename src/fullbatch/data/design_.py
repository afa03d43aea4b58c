"""Rows with the columns that a formula makes, learnt once from the rows of the fit.

What a formula learns, levels of categories and knots of splines, is learnt once; blocks are made on the workers by the
same state, and so are rows to predict for.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.rows import Category, Rows, distinct, is_sparse
from ..protocols.schema import Features, in_one_type
from ..wording.messages import first_line, located, shortened
from .around import Around
from .features import DENSE_COLUMNS, matched, unknown_level
from .terms_ import Terms, terms_of

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Design:
    """A formula with what it has learnt, which makes the columns of a model.

    Parameters
    ----------
    text : str
        The formula.
    intercept : bool
        Whether the model has an intercept.
    numbers : tuple of str
        Variables that are numbers.
    levels : mapping of str to array
        Variables that are categories, and their sorted levels.
    learnt : mapping of str to object
        What its parts have learnt, as formulaic keeps it: numbers, texts, lists and mappings.
    names : tuple of str
        Of the columns that it makes.
    parts : tuple of (str, int)
        Its terms but the intercept, each with how many of these columns it makes, one after another; of designs that an
        earlier fullbatch has saved none are known.
    """

    text: str
    intercept: bool
    numbers: tuple[str, ...]
    levels: Mapping[str, Array]
    learnt: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def features(self) -> Features:
        """The variables."""
        return Features(len(self.numbers), tuple(self.levels.values()), (*self.numbers, *self.levels))

    @property
    def terms(self) -> Terms:
        """What the formula says."""
        return terms_of(self.text, self.intercept)

    def rows(self, rows: Rows, missing: Mapping[str, Any], unknown: str, source: Any) -> Rows:
        """Rows with the columns of the model, from rows with the variables.

        Parameters
        ----------
        rows : Rows
            As a source reads them.
        missing : mapping of str to value
            What stands for missing values, by variable.
        unknown : {"error", "ignore"}
            What is done with an unknown level: it adds nothing if it is ignored, as the base level of a contrast.
        source : Source or str
            For messages.

        Raises
        ------
        DataError
            A variable is not there, or the formula cannot be reckoned for a row.
        """
        rows = matched(levelled(rows, self.terms.levelled), self.features, missing, source)
        X = self.matrix(self.frame(rows, unknown, source), source)
        return Rows(X, rows.y, rows.weight, 1.0, rows.offset, (), self.names, rows.stayed)

    def frame(self, rows: Rows, unknown: str, source: Any) -> Any:
        """The variables of rows as a frame of pandas, categories with the levels of the fit."""
        import pandas as pd

        X = (rows.X.toarray() if is_sparse(rows.X) else rows.X).astype(np.float64) * rows.scale
        if (wrong := np.argwhere(~np.isfinite(X))).size:
            at, number = (int(one) for one in wrong[0])
            what = "NaN" if np.isnan(X[at, number]) else "infinity"
            raise DataError(
                f"{located(source, at)}, column {self.numbers[number]!r}: the value is {what}: remove or fill in such "
                "values first"
            )
        columns: dict[str, Any] = {name: X[:, place] for place, name in enumerate(self.numbers)}
        for (name, levels), column in zip(self.levels.items(), rows.categories, strict=True):
            place = np.searchsorted(levels, column.levels)
            known = levels[np.minimum(place, len(levels) - 1)] == column.levels
            codes = np.where(known, place, -1)[column.codes] if len(known) else np.zeros(0, np.int64)
            if unknown == "error" and (codes < 0).any():
                first = int(np.flatnonzero(codes < 0)[0])
                raise unknown_level(column, first, name, levels, source)
            columns[name] = pd.Categorical.from_codes(codes, categories=levels.tolist())
        return pd.DataFrame(columns, index=pd.RangeIndex(X.shape[0]))

    def matrix(self, frame: Any, source: Any) -> Any:
        """The columns of the model: dense, or CSR, by the number of levels alone."""
        wide = sum(map(len, self.levels.values())) > DENSE_COLUMNS * len(self.terms.variables)
        made = self.made(frame, "sparse" if wide else "numpy", source)
        if made.model_spec.column_names[int(self.intercept) :] != self.names:
            raise DataError(f"{source}: the formula makes other columns of these rows than of the fit's: report this")
        if not wide:
            shape = len(frame), int(self.intercept) + len(self.names)
            return np.asarray(made, np.float64).reshape(shape)[:, int(self.intercept) :]
        from scipy.sparse import csr_array

        return csr_array(made)[:, int(self.intercept) :].astype(np.float64)

    def made(self, frame: Any, output: str, source: Any, parts: Any = None) -> Any:
        """What formulaic makes of the variables, by the formula or by parts of it."""
        from formulaic import ModelSpec
        from formulaic.errors import FormulaicError

        spec = ModelSpec(
            formula=self.terms.right if parts is None else parts,
            materializer="pandas",
            ensure_full_rank=True,
            na_action="ignore",
            output=output,
            transform_state=deepcopy(self.learnt),  # which it may write to
        )
        try:
            with np.errstate(all="ignore"):  # what is not finite is told of its row and column
                return spec.get_model_matrix(frame, context={})
        except (FormulaicError, ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
            beyond = "beyond upper and/or lower bounds" in str(error)
            advice = '. Say how it goes on there, as in bs(age, df=4, extrapolation="clip")' if beyond else ""
            raise DataError(f"{source}: formula {self.text!r}: {first_line(error)}{advice}") from None

    # --- as text, which is saved --------------------------------------------------------------------------------------

    def saved(self) -> str:
        """All of it as JSON."""
        levels = [[name, values.tolist()] for name, values in self.levels.items()]
        told = (self.text, self.intercept, self.numbers, levels, self.names, _as_json(self.learnt), self.parts)
        return json.dumps(told, allow_nan=False)

    @classmethod
    def of_saved(cls, saved: str) -> "Design":
        """The inverse of `saved`.

        Raises
        ------
        ValueError
            It is none.
        """
        try:
            text, intercept, numbers, levels, names, learnt, *later = json.loads(saved)
            (parts,) = later or [[]]  # which an earlier fullbatch did not save
            texts = [text, *numbers, *names, *(name for name, _ in levels), *(name for name, _ in parts)]
            by_name = {name: np.array(values) for name, values in levels}
            right = all(isinstance(one, str) for one in texts) and isinstance(intercept, bool)
            right &= all(values.ndim == 1 and values.size and values.dtype.kind in "iU" for values in by_name.values())
            right &= all(type(count) is int and count >= 0 for _, count in parts)
            right &= sum(count for _, count in parts) == len(names) or not parts
            if not right:
                raise TypeError
            of_terms = tuple((name, count) for name, count in parts)
            design = cls(text, intercept, tuple(numbers), by_name, _of_json(learnt), tuple(names), of_terms)
        except (TypeError, ValueError, KeyError, RecursionError):
            raise ValueError("the formula is not as it was saved") from None
        return design


@dataclass(frozen=True, eq=False)
class Designed(Around):
    """A source of the columns that a formula makes, or indicators.

    Parameters
    ----------
    source : Source
        Of the variables.
    design : Design or Indicators
    missing : mapping of str to value
        What stands for missing values of variables.
    unknown : {"error", "ignore"}
        What is done with unknown levels.
    """

    design: Any
    missing: Mapping[str, Any] = field(default_factory=dict)
    unknown: str = "error"

    def read(self) -> Rows:
        """The rows, with the columns of the model."""
        return self.design.rows(self.source.read(), self.missing, self.unknown, self.source)

    # Where the source has none, its AttributeError is this one's too.
    @property
    def keeping(self) -> Callable[[tuple[str, ...]], "Designed"]:
        """The same rows, with columns that are handed on as they are."""
        keeping = self.source.keeping
        return lambda names: replace(self, source=keeping(names))

    def read_with_kept(self) -> tuple[Rows, Any]:
        """The rows, and the columns that are handed on as they are."""
        rows, kept = self.source.read_with_kept()
        return self.design.rows(rows, self.missing, self.unknown, self.source), kept


def learn_design(
    terms: Terms, intercept: bool, sources: Sequence[Any], in_memory: bool, engine: Any
) -> tuple[Design, int]:
    """What a formula learns of the rows of a fit, and how many reads of them that took.

    Levels are those of all blocks. What else it learns, such as knots of splines, it learns from all rows at once
    where they are in this process's memory; elsewhere each block must teach the same.

    Raises
    ------
    DataError
        A column is not there, or blocks teach different things.
    """
    found = list(engine.map(_LevelsOf(terms), sources))
    numbers = tuple(name for name in terms.variables if all(name not in one for one in found))
    levels = {
        name: _union([one[name] for one in found if name in one], name)
        for name in terms.variables
        if name not in numbers
    }
    design, reads = Design(terms.text, intercept, numbers, levels), 1
    if terms.learn:
        task = _Learn(design)
        answers = (
            [task.of([one.read() for one in sources], str(sources[0]))] if in_memory else engine.map(task, sources)
        )
        learnt = [one for one in answers if one is not None]
        different = [name for name in terms.learn if any(one.get(name) != learnt[0].get(name) for one in learnt[1:])]
        if different:
            raise DataError(
                f"formula {terms.text!r}: {different[0]!r} learns from all rows, which are not in this process's "
                "memory, and blocks of them teach different things. Write down what it learns, as in bs(age, "
                "knots=[30, 50], lower_bound=18, upper_bound=90), or give a data frame"
            )
        design = Design(terms.text, intercept, numbers, levels, learnt[0] if learnt else {})
        reads += 1
    names, parts = next(iter(engine.map(_NamesOf(design), sources[:1])), ((), ()))
    return Design(terms.text, intercept, numbers, levels, design.learnt, names, parts), reads


@dataclass(frozen=True)
class _LevelsOf:
    """Levels of the variables of a block that are categories."""

    terms: Terms

    def __call__(self, index: int, source: Any) -> dict[str, Array]:
        rows = source.read()
        lacking = [name for name in self.terms.variables if name not in rows.names]
        if lacking:
            raise DataError(
                f"{source}: the formula names {shortened(lacking)}, no column there: those are "
                f"{shortened(rows.names) if rows.names else 'without names'}"
            )
        rows = levelled(rows, self.terms.levelled)
        named = zip(rows.names[rows.X.shape[1] :], rows.categories, strict=True)
        return {name: column.levels for name, column in named if name in self.terms.variables}


@dataclass(frozen=True)
class _Learn:
    """What the parts of a formula learn from the rows of a block; None where it has none."""

    design: Design

    def __call__(self, index: int, source: Any) -> dict[str, Any] | None:
        return self.of([source.read()], str(source))

    def of(self, blocks: list[Rows], source: str) -> dict[str, Any] | None:
        """From the rows of several blocks."""
        import pandas as pd
        from formulaic import Formula

        design, terms = self.design, self.design.terms
        frames = [
            design.frame(matched(levelled(rows, terms.levelled), design.features, {}, source), "error", source)
            for rows in blocks
            if rows.X.shape[0]
        ]
        if not frames:
            return None
        made = design.made(pd.concat(frames, ignore_index=True), "numpy", source, Formula([*terms.learn]))
        return dict(_plain(made.model_spec.transform_state))


@dataclass(frozen=True)
class _NamesOf:
    """Names of the columns that a formula makes, and its terms with their numbers of columns."""

    design: Design

    def __call__(self, index: int, source: Any) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
        design = self.design
        rows = matched(levelled(source.read(), design.terms.levelled), design.features, {}, source)
        made = design.made(design.frame(rows, "error", source).iloc[:1], "numpy", source)
        of_terms = [(str(term), len(places)) for term, places in made.model_spec.term_indices.items()]
        first = int(design.intercept)
        return tuple(made.model_spec.column_names[first:]), tuple(of_terms[first:])


def levelled(rows: Rows, names: frozenset[str]) -> Rows:
    """Rows in which columns of numbers of these names are categories, whose levels are whole numbers."""
    p = rows.X.shape[1]
    places = [place for place, name in enumerate(rows.names[:p]) if name in names]
    if not places:
        return rows
    X = rows.X.toarray() if is_sparse(rows.X) else rows.X
    categories = []
    for place in places:
        values = X[:, place] * rows.scale
        if (wrong := np.flatnonzero(values != np.floor(values))).size:
            row = int(wrong[0])
            raise DataError(
                f"row {row}, column {rows.names[place]!r}: {values[row]} is no level: categories are text or whole "
                f"numbers. Correct it, or use the column without C()"
            )
        levels, codes = distinct(values.astype(np.int64))
        categories.append(Category(codes.astype(np.int32), levels))
    kept = [place for place in range(p) if place not in places]
    own = [rows.names[place] for place in places]
    named = (*(rows.names[place] for place in kept), *rows.names[p:], *own)
    return replace(rows, X=X[:, kept], categories=(*rows.categories, *categories), names=named)


def _union(levels: list[Array], name: str) -> Array:
    filled = [one for one in levels if len(one)]
    if len({one.dtype.kind == "U" for one in filled}) > 1:
        raise DataError(f"column {name!r} has text in some blocks and numbers in others: use text or numbers in all")
    return np.unique(np.concatenate(in_one_type(filled, f"levels of column {name!r}")))


def _plain(value: Any) -> Any:
    """Numbers, texts, lists and mappings of Python alone."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _as_json(value: Any) -> Any:
    """With mappings as lists of pairs: JSON's keys are texts alone."""
    if isinstance(value, Mapping):
        return {"pairs": [[key, _as_json(one)] for key, one in value.items()]}
    return [_as_json(one) for one in value] if isinstance(value, list) else value


def _of_json(value: Any) -> Any:
    """The inverse of `_as_json`."""
    if isinstance(value, dict):
        return {key: _of_json(one) for key, one in value["pairs"]}
    return [_of_json(one) for one in value] if isinstance(value, list) else value
