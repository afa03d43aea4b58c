"""A fitted model handed over: files and objects for those who do not have fullbatch."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from ..data.design_ import Design
from ..data.indicators import Indicators
from ..errors import DataError
from ..export import ENDINGS
from ..protocols.rows import is_sparse
from ..protocols.schema import Features
from ._base_levels import unknown_to
from ._runs import in_a_card

Array = npt.NDArray[Any]


class HandedOver:
    """A fitted linear model that others can use."""

    features_: Features
    missing_: dict[str, Any]
    has_offset_: bool
    target_name_: str | list[str] | None
    offset_name_: str | None
    base_: dict[str, Any]
    formula_: Design | None
    indicators_: tuple[int, ...]
    unknown: str

    @abstractmethod
    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
        """Name and options of the loss of one linear predictor."""

    @abstractmethod
    def _matrix(self) -> tuple[Array, Array]:
        """`coef_` and `intercept_` as (outputs, p) and (outputs,) arrays."""

    def _formula(self, offset: str | None = None) -> Any:
        """What formats are written from."""
        check_is_fitted(self)
        self._refuse_hand_over()
        return self._as_formula(offset)

    def _refuse_hand_over(self) -> None:
        """Refuse a model that other packages have no words for."""
        if self.formula_ is not None:
            raise ValueError(
                f"a model of the formula {self.formula_.text!r} cannot be handed over: other packages have no words "
                "for what it makes of its columns. Make these columns before the fit, or save the model; model_card() "
                "tells what it is"
            )

    def _as_formula(self, offset: str | None) -> Any:
        """The linear predictors, whatever makes their columns."""
        from ..export.formula import Formula

        coef: Any
        coef, intercept = self._matrix()
        coef = coef.toarray() if is_sparse(coef) else coef
        loss, options = self._loss()
        features = Indicators.of_model(self.features_, self.indicators_).features
        beside = features.numeric + np.arange(len(self.indicators_))  # columns of indicators
        return Formula.of(
            features,
            np.delete(coef, beside, axis=1),
            intercept,
            offset=self._offset_called(offset) if self.has_offset_ else None,
            classes=getattr(self, "classes_", None),
            missing=self.missing_,
            ignore_unknown=unknown_to(self.unknown, self.base_, self.features_) == "ignore",
            base=self.base_,
            absent=dict(zip(self.indicators_, coef[:, beside].T, strict=True)),
            loss=loss,
            options=dict(options or {}),
            names=tuple(getattr(self, "feature_names_in_", ())),
            ranks=getattr(self, "ranks_", None),
        )

    def _offset_called(self, name: str | None) -> str:
        """The column of offsets: as told here, or as in the fit."""
        return name or self.offset_name_ or "offset"

    def to_sklearn(self, *, offset: str | None = None) -> Any:
        """The model as a plain, fitted estimator of scikit-learn.

        Parameters
        ----------
        offset : str, optional
            Name of the column of offsets, if the model has them: it is a column of X with the coefficient 1. Default:
            its name in the fit, where it was told, else "offset".

        Returns
        -------
        LogisticRegression, LinearSVC, LinearRegression, PoissonRegressor, GammaRegressor or TweedieRegressor
            Of scikit-learn; the last step of a `Pipeline` where there are categories, values for missing ones, or an
            offset, which takes a frame with the names of the columns and needs pandas here. Of the quantile and Huber
            losses a `LinearRegression`, which predicts the same; of the binomial and negative binomial families with
            the logarithmic link a `PoissonRegressor`.

        Raises
        ------
        ValueError
            scikit-learn has no regressor with the link: it has the identity and the logarithm.
        """
        from ..export.sklearn_ import as_sklearn

        return as_sklearn(self._formula(offset))

    def to_sql(self, table: str, *, dialect: str = "duckdb", view: str | None = None, offset: str | None = None) -> str:
        """A query that adds linear predictors and predictions to the rows of a table, in double precision.

        Parameters
        ----------
        table : str
            Its name, as it stands behind FROM; it has the columns of the fit.
        dialect : str
            "duckdb", or another that sqlglot writes: "postgres", "bigquery", "snowflake", "spark", "tsql", ...
        view : str, optional
            Make a view of this name instead.
        offset : str, optional
            Name of the column of offsets, if the model has them; default: as for `to_sklearn`.

        Returns
        -------
        str
            Adds "prediction", "probability_<label>" of classes, and "fullbatch_eta", the linear predictor, or one for
            each class and "fullbatch_eta_top"; of ordered classes one without the thresholds, and the largest
            probability, "fullbatch_likeliest". NULL is predicted where a value is missing (NULL or NaN) that the fit
            had no value for, and for an unknown level unless `unknown` is "ignore" or "base".

        Raises
        ------
        ValueError
            The link is probit, which SQL has no function for; a column of the model has the name of one that is added,
            or two differ only by their case and the dialect takes them as one.
        """
        from ..export.sql import query

        return query(self._formula(offset), table, dialect, view)

    def to_onnx(self, *, offset: str | None = None) -> Any:
        """The model as an ONNX graph in double precision, an `onnx.ModelProto`.

        The input is one matrix "X" (rows, p) where columns have neither names nor categories nor an offset, else one
        input (rows, 1) for each column: numbers as double, levels as text or int64; double where whole numbers may be
        missing. NaN, or empty text, is missing. Outputs are "prediction", or "label" and "probabilities", or of
        `LinearSVC` "label" and "decision"; NaN stands for what the model refuses.

        Parameters
        ----------
        offset : str, optional
            Name of the input of offsets, if the model has them; default: as for `to_sklearn`.

        Raises
        ------
        ValueError
            The link is probit; a column has the name of an output; or something stands for missing text in a column
            that has the empty text as a level, from which it cannot be told.
        """
        from ..export.onnx_ import onnx_model

        return onnx_model(self._formula(offset))

    def to_pmml(self, *, offset: str | None = None) -> str:
        """The model as a PMML 4.4 document, a `GeneralRegressionModel`; `offset` as for `to_sql`.

        Its readers must be given truth values as 0 and 1: PMML4S takes others for missing values.
        """
        from ..export.pmml import pmml

        return pmml(self._formula(offset))

    def relativities(self, inference: Any = None) -> Any:
        """What each unit of a number, and each level compared with the reference, multiplies the prediction by.

        Parameters
        ----------
        inference : Inference, optional
            What `inference(...)` of this model gave: adds standard errors, and chooses the reference levels.

        Returns
        -------
        pyarrow.Table
            Columns "term", "level", "coefficient", "relativity" (with a logarithmic link, or of odds), "std_err".

        Raises
        ------
        ValueError
            The inference is of another model.
        """
        from ..export.tables import relativities

        return relativities(self._formula(), inference)

    def model_card(self, measures: Mapping[str, Any] | None = None, *, offset: str | None = None) -> dict[str, Any]:
        """What the model takes, how it was fitted and how good it is, ready for JSON.

        Parameters
        ----------
        measures : mapping of str to float, optional
            Such as those of `evaluate` on rows that the fit has not seen.
        offset : str, optional
            Name of the column of offsets, if the model has them; default: as for `to_sklearn`.

        Returns
        -------
        dict
            Of a loaded model too, but for the solver, passes and seconds of its fit, which its file does not tell.
        """
        from ..export.card import card

        check_is_fitted(self)
        formula = self._as_formula(offset)
        parameters = {name: getattr(self, name) for name in self._saved_parameters if name != "unknown"}  # type: ignore[attr-defined]
        objective = {name: _said(value) for name, value in parameters.items() if value is not None}
        for name in ("l2_", "l1_", "l21_"):
            if hasattr(self, name) and (name != "l21_" or np.any(getattr(self, name))):
                objective[name] = getattr(self, name)
        iterations = np.ravel(self.n_iter_).tolist()  # type: ignore[attr-defined]
        fit: dict[str, Any] = {"iterations": iterations if len(iterations) > 1 else iterations[0]}
        if hasattr(self, "status_"):
            fit |= {"rows": self.n_samples_fit_, "status": self.status_}  # type: ignore[attr-defined]
        runs = [in_a_card(told) for told in self._told_runs()]  # type: ignore[attr-defined]
        for told, result in zip(runs, self._results(), strict=False):  # type: ignore[attr-defined]
            told |= {name: getattr(result, name) for name in ("solver", "passes", "setup_passes", "seconds")}
        fit |= {"targets": runs} if len(runs) > 1 else runs[0] if runs else {}
        return card(
            formula,
            type(self).__name__,
            objective,
            fit,
            measures or {},
            target=self.target_name_,
            design=self.formula_,
            missing=self.missing_,
        )

    def export(self, path: str | PathLike[str], *, format: str | None = None, **options: Any) -> None:
        """Write the model for others, in a format that the path's ending tells.

        Parameters
        ----------
        path : path
            Ends in ".sql", ".onnx", ".pmml", ".skops" (what `to_sklearn` gives), ".csv" or ".xlsx" (relativities),
            ".md" or ".json" (model card).
        format : {"sql", "onnx", "pmml", "skops", "relativities", "relativities-excel", "card", "card-json"}, optional
            Where the ending says nothing.
        **options
            Of the method: `table` (default "data"), `dialect`, `view` for SQL; `offset`; `inference`; `measures`.
        """
        path = Path(path)
        kind = format or ENDINGS.get(path.suffix.lower())
        if kind is None or kind not in ENDINGS.values():
            raise ValueError(
                f"{path}: unknown format {kind or path.suffix!r}: end the path in {', '.join(ENDINGS)}, or tell it "
                f"with format: {', '.join(ENDINGS.values())}"
            )
        content = self._written(kind, options)
        try:
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content, encoding="utf-8")
        except OSError as error:
            raise DataError(f"cannot write to {path}: {error.strerror or error}") from None

    def _written(self, kind: str, options: dict[str, Any]) -> str | bytes:
        if kind == "sql":
            return self.to_sql(options.pop("table", "data"), **options)
        if kind == "onnx":
            return bytes(self.to_onnx(**options).SerializeToString())
        if kind == "pmml":
            return self.to_pmml(**options)
        if kind == "skops":
            from ..export.sklearn_ import as_sklearn
            from ..export.skops_ import skops_file

            return skops_file(as_sklearn(self._formula(**options), nullable_text=False))
        if kind == "relativities-excel":
            from ..export.excel_ import workbook

            return workbook(self.relativities(**options), "relativities")
        if kind == "relativities":
            import pyarrow as pa
            from pyarrow import csv

            sink = pa.BufferOutputStream()
            csv.write_csv(self.relativities(**options), sink)
            return bytes(sink.getvalue().to_pybytes())
        from ..export.card import as_markdown

        told = self.model_card(**options)
        return json.dumps(told, indent=1) + "\n" if kind == "card-json" else as_markdown(told)


def _said(value: Any) -> Any:
    """A parameter as JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): _said(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_said(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
