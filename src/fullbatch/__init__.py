"""fullbatch: distributed full-batch training.

Data is cut into blocks; each block lives with a worker and answers loss and gradient at a given theta; a driver sums
the answers and moves theta.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public names and where they live. Resolved on first use, so that `import fullbatch` loads nothing heavy.
_HOMES = {
    "LogisticRegression": "estimators.logistic",
    "GeneralizedLinearRegressor": "estimators.glm",
    "Linear": "models.linear",
    "TorchModel": "models.torch_",
    "JaxModel": "models.jax_",
    "KerasModel": "models.keras_",
    "SerialEngine": "engines.local",
    "ThreadEngine": "engines.local",
    "RayEngine": "engines.ray_",
    "DaskEngine": "engines.dask_",
    "Objective": "objective",
    "Draw": "sampling",
    "Standardized": "variables",
    "minimize": "driver",
    "Checkpoint": "checkpoints",
    "check_gradient": "gradient_check",
    "Result": "result",
    "Status": "result",
    "LBFGS": "solvers.lbfgs",
    "SampledLBFGS": "solvers.sampled",
    "Newton": "solvers.newton",
    "NewtonCG": "solvers.newton_cg",
    "LeastSquares": "solvers.least_squares",
    "ridge_path": "solvers.least_squares",
    "ScipyLBFGSB": "solvers.scipy_",
    "Progress": "callbacks",
    "History": "callbacks",
    "TimeLimit": "callbacks",
    "StopWhen": "callbacks",
    "array_sources": "data.arrays",
    "csv_sources": "data.csv_",
    "file_sources": "data.files",
    "idx_sources": "data.idx",
    "libsvm_sources": "data.libsvm",
    "npy_sources": "data.npy",
    "parquet_sources": "data.parquet",
    "table_sources": "data.frames",
    "load_model": "estimators",
    "load_state": "saved",
    "save_state": "saved",
    "DataError": "errors",
    "FitWarning": "errors",
    "BlockError": "errors",
    "EngineError": "errors",
    "ModelError": "errors",
    "ModelFileError": "errors",
    "MissingExtraError": "errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fullbatch' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
