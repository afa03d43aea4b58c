"""How fitted models are saved, and what a file of one may hold."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from itertools import pairwise
from os import PathLike
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from ..data.arrow import plain_value
from ..data.design_ import Design
from ..errors import DamagedError, ModelFileError
from ..protocols.rows import is_sparse
from ..protocols.schema import Features
from ..run.result import Result, Status
from ..saving import files
from ..saving.contents import Contents, Each, Either, Flag, Member, Named, Null, Number, Parts, Rule, Text
from ._base_levels import BASE, LEVELS
from ._per_column import PER_COLUMN, as_text, of_text
from ._runs import NAMED, RUNS, told_of

Array = npt.NDArray[Any]

NO_CODE: Mapping[str, Any] = MappingProxyType({})


# What stands for missing values, by column.
VALUES = Named(Either(Flag(), Number(), Text()))


class Saved:
    """A fitted linear model that can be saved: what the files of all of them have in common."""

    # Parameters a saved model keeps: what it is and how exactly it was fitted, not by which machine and solver.
    _saved_parameters: ClassVar[Mapping[str, Rule]] = {
        "tol": Number(0),
        "fit_intercept": Flag(),
        "max_iter": Number(0, whole=True),
        "standardize": Flag(),
        "l1_ratio": Number(0, 1),
        "lower_bounds": PER_COLUMN,
        "upper_bounds": PER_COLUMN,
        "missing": Either(Text(("error", "drop", "mean", "median")), VALUES),
        "missing_indicator": Flag(),
        "formula": Either(Null(), Text()),
        "base": BASE,
        "unknown": Text(("error", "ignore", "base")),
    }
    # Arrays that a saved model of any kind holds.
    _saved_members: ClassVar[Mapping[str, Member]] = {
        "n_iter": Member("iu", (1,), least=0),
        "levels_*": Member("iU", (None,), increasing=True),
        "names": Member("U", ("data columns",), optional=True),
        "feature_names_in": Member("U", ("columns given",), optional=True),
    }

    coef_: Any
    intercept_: Any
    features_: Features
    feature_names_in_: Array
    n_features_in_: int
    n_iter_: Any
    has_offset_: bool
    zero_based_: bool | None
    target_name_: str | list[str] | None
    offset_name_: str | None
    missing_: dict[str, Any]
    base_: dict[str, Any]
    formula_: Design | None
    indicators_: tuple[int, ...]
    n_samples_fit_: int
    weight_sum_: float
    l2_: float
    l1_: float
    status_: str
    separable_: bool
    result_: Result
    _runs_of_file: list[dict[str, Any]]

    def save(self, path: str | PathLike[str]) -> None:
        """Save the fitted model; `fullbatch.load_model` reads it.

        Parameters
        ----------
        path : path
            Where; an existing file of fullbatch is replaced in one step, any other is an error.
        """
        check_is_fitted(self)
        arrays = {**self._parameters_found(), "n_iter": np.atleast_1d(self.n_iter_)}
        arrays |= {f"levels_{number}": levels for number, levels in enumerate(self.features_.levels)}
        if self.features_.names:
            arrays["names"] = np.array(self.features_.names)
        if hasattr(self, "feature_names_in_") and self.formula_ is None:
            arrays["feature_names_in"] = self.feature_names_in_.astype(str)
        parameters = {name: getattr(self, name) for name in self._saved_parameters}
        for name, rule in self._saved_parameters.items():
            if isinstance(rule, Flag):
                parameters[name] = bool(parameters[name])  # 1 will do in a constructor
            if rule is PER_COLUMN:
                parameters[name] = as_text(parameters[name])
            if name in ("missing", "base") and isinstance(parameters[name], Mapping):
                parameters[name] = {column: plain_value(value) for column, value in parameters[name].items()}
        metadata: dict[str, Any] = {"parameters": parameters}
        metadata |= {"numeric_features": self.features_.numeric, "offset": self.has_offset_}
        metadata |= {"zero_based": self.zero_based_, "missing": self.missing_, "base": self.base_}
        metadata["indicators"] = list(self.indicators_)
        metadata["named"] = {"target": self.target_name_, "offset": self.offset_name_}
        metadata["runs"] = self._told_runs()
        metadata["formula"] = None if self.formula_ is None else self.formula_.saved()
        # Not of models that an earlier fullbatch has saved, nor of several targets that are penalised differently.
        if hasattr(self, "status_") and not (np.ndim(self.l2_) or np.ndim(self.l1_)):
            kept = {name: _attribute(name) for name in _OF_FIT}
            metadata["fit"] = {name: getattr(self, one) for name, one in kept.items() if hasattr(self, one)}
        self._add_saved(arrays, metadata)
        metadata = files.plain(metadata)
        for name, problem in self._contents().problems(metadata, arrays):
            raise ModelFileError(f"cannot save to {path}: {name} {problem}")
        files.write(path, type(self).__name__, arrays, metadata)

    def _results(self) -> tuple[Result, ...]:
        """Of the runs of the fit: one, or one for each target; none of a model that was loaded."""
        return (self.result_,) if hasattr(self, "result_") else ()

    def _told_runs(self) -> list[dict[str, Any]]:
        """What is known of these runs, also of a model that was loaded, unless its file is an older one."""
        return [told_of(result) for result in self._results()] or getattr(self, "_runs_of_file", [])

    def _parameters_found(self) -> dict[str, Array]:
        """The arrays that the fit has found."""
        coef = self.coef_.toarray() if is_sparse(self.coef_) else self.coef_
        return {"coef": coef, "intercept": np.asarray(self.intercept_)}

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        """Add what the subclass must keep."""

    @classmethod
    def _contents(cls) -> Contents:
        """What a saved model holds."""
        values = {
            "parameters": Parts(cls._saved_parameters, optional=_LATER),
            "numeric_features": Number(0, whole=True),
            "offset": Flag(),
            "zero_based": Either(Flag(), Null()),
            "missing": VALUES,
            "base": LEVELS,
            "formula": Either(Null(), Text()),
            "indicators": Each(Number(0, whole=True)),
            "named": Parts(NAMED),
            "runs": RUNS,
            "fit": Parts(_OF_FIT, optional=frozenset({"l21", "separable", "weight_sum"})),
        }
        return Contents(
            values,
            cls._saved_members,
            _sizes,
            _TOLD_BY,
            defaults={"missing": {}, "base": {}, "formula": None, "indicators": [], "fit": None, **LATER_VALUES},
        )

    @classmethod
    def from_saved(
        cls, path: str, arrays: Mapping[str, Array], metadata: Mapping[str, Any], code: Mapping[str, Any] = NO_CODE
    ) -> Self:
        """The model of a file's contents, and of code that no file holds; see `fullbatch.load_model`."""
        cls._contents().check(path, metadata, arrays)
        cls._check_code(path, metadata, code)
        parameters = {
            name: of_text(value) if cls._saved_parameters[name] is PER_COLUMN else value
            for name, value in metadata["parameters"].items()
        }
        try:
            model = cls._loaded(arrays, {**metadata, "parameters": {**parameters, **code}})
            model._check_parameters()
            model._model()
        except ValueError as error:  # parameters that do not fit together
            raise DamagedError(f"{path} is damaged: parameters: {error}") from None
        levels = tuple(arrays[f"levels_{number}"] for number in range(_count_levels(arrays)))
        names = tuple(arrays["names"].tolist()) if "names" in arrays else ()
        model.features_ = Features(metadata["numeric_features"], levels, names)
        model.n_features_in_ = model.features_.numeric + len(levels)
        model.n_iter_ = model._counted(int(arrays["n_iter"][0]))
        model.has_offset_, model.zero_based_ = metadata["offset"], metadata["zero_based"]
        named = metadata.get("named", {})
        model.target_name_, model.offset_name_ = named.get("target"), named.get("offset")
        model._runs_of_file = metadata.get("runs", [])
        model.missing_, model.base_ = dict(metadata.get("missing", {})), dict(metadata.get("base", {}))
        model.formula_, model.indicators_ = None, tuple(metadata.get("indicators", ()))
        model.n_features_in_ -= len(model.indicators_)
        count = model.features_.numeric - len(model.indicators_)
        if any(not one < other for one, other in pairwise((*model.indicators_, count))):
            raise DamagedError(f"{path} is damaged: indicators: they are no numbers of columns, in growing order")
        if (told := metadata.get("formula")) is not None:
            model._set_formula(path, told)
        if "fit" in metadata:
            for name, value in metadata["fit"].items():
                setattr(model, _attribute(name), value)
        if "feature_names_in" in arrays:
            model.feature_names_in_ = arrays["feature_names_in"].astype(object)
        return model

    def _set_formula(self, path: str, saved: str) -> None:
        """Set a formula as it was saved, and the names of its variables."""
        try:
            self.formula_ = Design.of_saved(saved)
        except ValueError as error:
            raise DamagedError(f"{path} is damaged: {error}") from None
        names = self.formula_.features.names
        self.n_features_in_, self.feature_names_in_ = len(names), np.array(names, object)

    @classmethod
    def _check_code(cls, path: str, metadata: Mapping[str, Any], code: Mapping[str, Any]) -> None:
        """Refuse code that the model does not have."""
        for name in code:
            raise ValueError(f"{path} holds a {cls.__name__}, all of which is in the file: leave {name} out")

    @classmethod
    @abstractmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        """A model with the parameters, `coef_`, `intercept_` and whatever else the subclass keeps."""

    @abstractmethod
    def _counted(self, iterations: int) -> Any:
        """`n_iter_` of so many iterations."""

    @abstractmethod
    def _model(self) -> Any:
        """What the workers compute."""

    @abstractmethod
    def _check_parameters(self) -> None:
        """Refuse parameters that cannot be."""


# Parameters that files of the first versions do not have.
_LATER = frozenset({"penalty", "l1_ratio", "lower_bounds", "upper_bounds", "P1", "P2", "family", "link"})
_LATER |= {"missing", "missing_indicator", "formula", "base", "groups", "group_ratio", "group_weights"}
_LATER |= {"intercept_scaling"}

# Values that older files of any kind of model do not have.
LATER_VALUES: dict[str, Any] = {"named": None, "runs": None}

# What a saved model tells of its fit.
_OF_FIT: dict[str, Rule] = {
    "rows": Number(0, whole=True),
    "weight_sum": Number(0),
    "l2": Number(0),
    "l1": Number(0),
    "l21": Number(0),
    "status": Text(tuple(status.value for status in Status)),
    "separable": Flag(),
}


def _attribute(name: str) -> str:
    """Where a fitted model has what is saved of its fit."""
    return "n_samples_fit_" if name == "rows" else f"{name}_"


# What tells the lengths of a saved model's arrays.
_TOLD_BY = {
    "data columns": "numeric_features and levels_*",
    "columns given": "numeric_features, indicators and levels_*",
    "columns": "numeric_features and levels_*",
    "outputs": "classes",
}


def _count_levels(names: Iterable[str]) -> int:
    return sum(name.startswith("levels_") for name in names)


def _sizes(values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Lengths of a saved model's arrays, by the names that `Member` calls them."""
    numeric, count = values["numeric_features"], _count_levels(shapes)
    indicators = values.get("indicators") or []
    classes = shapes.get("classes", (0,))[0]
    return {
        "data columns": numeric + count,
        "columns given": numeric + count - len(indicators),
        "columns": numeric + sum(shape[0] for name, shape in shapes.items() if name.startswith("levels_")),
        "classes": classes,
        "targets": shapes.get("coefs", (0,))[0],
        "outputs": classes if classes > 2 else 1,
    }
