"""The MLflow flavour of fitted linear models: our own saved file inside, so that nothing is pickled.

``from fullbatch.estimators import mlflow_``, then `mlflow_.log_model(model, name="claims")`. What it logs or saves is
read by `mlflow.pyfunc.load_model`, as any model that is served, or by `mlflow_.load_model` as the estimator it was.
"""

from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import MissingExtraError
from ..export.formula import Formula
from . import LinearEstimator
from . import load_model as read_model

FLAVOR = "fullbatch"

_FILE = "model.fb"
_METHODS = ("predict", "predict_proba", "decision_function")


def save_model(
    model: LinearEstimator | None = None,
    path: str | PathLike[str] = "model",
    mlflow_model: Any = None,
    *,
    fullbatch_model: LinearEstimator | None = None,
    predict: str = "predict",
    offset: str | None = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: list[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Save a fitted model as a folder of MLflow.

    Parameters
    ----------
    model : LinearEstimator
        A fitted estimator; `fullbatch_model` is the same by the name that MLflow hands it over by.
    path : path
        The folder, which must not be there.
    mlflow_model : mlflow.models.Model, optional
        What is added to; MLflow's own.
    predict : {"predict", "predict_proba", "decision_function"}
        What a served model answers with.
    offset : str, optional
        Name of the column of offsets, if the model has them; default: its name in the fit, where it was told, else
        "offset".
    signature : mlflow.models.ModelSignature, optional
        Default: columns and their types as the model knows them.
    input_example : optional
        Saved beside it.
    pip_requirements : list of str, optional
        Default: this version of fullbatch.
    metadata : dict, optional
        Kept by MLflow.

    Raises
    ------
    MissingExtraError
        MLflow is not installed.
    ValueError
        `predict` is no method of the model.
    """
    mlflow = _mlflow()
    from mlflow.models import Model
    from mlflow.models.utils import _save_example
    from mlflow.utils.environment import _mlflow_conda_env, _PythonEnv

    fitted: Any = model if fullbatch_model is None else fullbatch_model
    if predict not in _METHODS or not hasattr(fitted, predict):
        have = [name for name in _METHODS if hasattr(fitted, name)]
        raise ValueError(f"predict must be one of {', '.join(have)} for {type(fitted).__name__}, got {predict!r}")
    offset = fitted._offset_called(offset)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=False)
    fitted.save(folder / _FILE)
    made = Model() if mlflow_model is None else mlflow_model
    made.signature = signature_of(fitted, predict=predict, offset=offset) if signature is None else signature
    if input_example is not None:
        _save_example(made, input_example, fspath(folder))
    if metadata is not None:
        made.metadata = metadata
    requirements = [f"fullbatch=={__version__}"] if pip_requirements is None else list(pip_requirements)
    mlflow.pyfunc.add_to_model(
        made,
        loader_module=__name__,
        data=_FILE,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        model_config={"predict": predict, "offset": offset},
    )
    made.add_flavor(FLAVOR, fullbatch_version=__version__, data=_FILE, kind=type(fitted).__name__)
    made.save(fspath(folder / "MLmodel"))
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    _mlflow_conda_env(fspath(folder / "conda.yaml"), additional_pip_deps=requirements)
    _PythonEnv.current().to_yaml(fspath(folder / "python_env.yaml"))


def log_model(model: LinearEstimator, name: str, **options: Any) -> Any:
    """Log a fitted model to the active run, or to one that is begun.

    Parameters
    ----------
    model : LinearEstimator
        A fitted estimator.
    name : str
        Its name.
    **options
        Those of `save_model`, and of `mlflow.models.Model.log`, such as `registered_model_name`.

    Returns
    -------
    mlflow.models.model.ModelInfo
        Its `model_uri` is what `load_model` takes.
    """
    _mlflow()
    import sys

    from mlflow.models import Model

    return Model.log(artifact_path=None, name=name, flavor=sys.modules[__name__], fullbatch_model=model, **options)


def load_model(model_uri: str) -> LinearEstimator:
    """The estimator that was logged or saved, from a path or a URI of MLflow."""
    mlflow = _mlflow()
    return read_model(Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri)) / _FILE)


def signature_of(model: LinearEstimator, *, predict: str = "predict", offset: str | None = None) -> Any:
    """What the model takes and answers, as `mlflow.models.ModelSignature`.

    A model without names, categories and offset takes a matrix; of others each column is named: numbers as double, text
    as string; levels that are whole numbers as long, or as double where they may be missing.
    """
    _mlflow()
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    formula: Formula = model._formula(offset)
    if formula.named or formula.categories or formula.offset:
        columns = [ColSpec("double", one.name) for one in formula.numbers]
        for category in formula.categories:
            whole = "long" if category.missing is None else "double"
            kinds = {"U": "string", "i": whole, "u": whole, "b": "boolean", "f": "double"}
            kind = kinds[category.levels.dtype.kind]
            columns.append(ColSpec(kind, category.name, required=category.missing is None or kind != "string"))
        if formula.offset:
            columns.append(ColSpec("double", formula.offset))
        inputs = Schema(columns)
    else:
        inputs = Schema([TensorSpec(np.dtype(np.float64), (-1, len(formula.numbers)))])
    labels: Any = np.dtype(np.float64)
    shape: tuple[int, ...] = (-1,)
    if predict == "predict" and formula.classes is not None:
        labels = formula.classes.dtype if formula.classes.dtype.kind != "U" else np.dtype(object)
    several = formula.outputs > 1 or (formula.cuts is not None and len(formula.cuts) > 1)
    if formula.classes is not None and predict != "predict" and (predict == "predict_proba" or several):
        shape = (-1, len(formula.classes))
    return ModelSignature(inputs=inputs, outputs=Schema([TensorSpec(np.dtype(labels), shape)]))


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> "_Served":
    """What `mlflow.pyfunc.load_model` calls."""
    return _Served(read_model(path), **(model_config or {}))


class _Served:
    """A model as MLflow serves it."""

    def __init__(self, model: LinearEstimator, predict: str = "predict", offset: str = "offset") -> None:
        self._model, self._method, self._offset = model, predict, offset

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Predictions for a frame of named columns, the offset among them, or a matrix."""
        rows, offset = model_input, None
        if self._model.has_offset_:
            offset = np.asarray(rows[self._offset], np.float64)
            rows = rows.drop(columns=[self._offset])
        return getattr(self._model, self._method)(rows, offset=offset)


def _mlflow() -> Any:
    try:
        import mlflow.artifacts
        import mlflow.pyfunc
    except ImportError:
        raise MissingExtraError("mlflow", "mlflow") from None
    return mlflow
