"""fullbatch: distributed full-batch training.

Data is cut into blocks; each block lives with a worker and answers loss and gradient at a given theta; a driver sums
the answers and moves theta.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

# Public names and where they live. Resolved on first use, so that `import fullbatch` loads nothing heavy.
_HOMES = {
    "LogisticRegression": "estimators.logistic",
    "LogisticRegressionCV": "estimators.logistic_cv",
    "LinearRegression": "estimators.least_squares",
    "Ridge": "estimators.least_squares",
    "RidgeCV": "estimators.ridge_cv",
    "Lasso": "estimators.elastic_net",
    "ElasticNet": "estimators.elastic_net",
    "LassoCV": "estimators.elastic_net_cv",
    "ElasticNetCV": "estimators.elastic_net_cv",
    "GeneralizedLinearRegressor": "estimators.glm",
    "GeneralizedLinearRegressorCV": "estimators.glm_cv",
    "PoissonRegressor": "estimators.tweedie",
    "GammaRegressor": "estimators.tweedie",
    "TweedieRegressor": "estimators.tweedie",
    "HuberRegressor": "estimators.huber",
    "QuantileRegressor": "estimators.quantile",
    "LinearSVC": "estimators.svm",
    "OrdinalLogisticRegression": "estimators.ordinal",
    "TorchClassifier": "estimators.torch_",
    "TorchRegressor": "estimators.torch_",
    "JaxEstimator": "estimators.jax_",
    "JaxClassifier": "estimators.jax_",
    "JaxRegressor": "estimators.jax_",
    "KerasEstimator": "estimators.keras_",
    "KerasClassifier": "estimators.keras_",
    "KerasRegressor": "estimators.keras_",
    "EarlyStopping": "estimators.early_stopping",
    "fit_path": "estimators.paths",
    "Path": "estimators.paths",
    "cross_validate": "estimators.cross_validation",
    "CrossValidation": "estimators.cross_validation",
    "bootstrap": "estimators.bootstrap",
    "Bootstrap": "estimators.bootstrap",
    "Linear": "models.linear",
    "TorchModel": "models.torch_",
    "JaxModel": "models.jax_",
    "KerasModel": "models.keras_",
    "SerialEngine": "engines.local",
    "ThreadEngine": "engines.local",
    "RayEngine": "engines.ray_",
    "DaskEngine": "engines.dask_",
    "Objective": "objective",
    "Draw": "protocols.sampling",
    "Standardized": "objective.variables",
    "minimize": "run.driver",
    "Checkpoint": "run.checkpoints",
    "check_gradient": "run.gradient_check",
    "Result": "run.result",
    "Status": "run.result",
    "LBFGS": "solvers.lbfgs",
    "SampledLBFGS": "solvers.sampled",
    "Newton": "solvers.newton",
    "NewtonCG": "solvers.newton_cg",
    "LeastSquares": "solvers.least_squares",
    "ridge_path": "solvers.ridge_path",
    "ProximalNewton": "solvers.proximal",
    "OWLQN": "solvers.owlqn",
    "ScipyLBFGSB": "solvers.scipy_",
    "Progress": "run.callbacks",
    "History": "run.callbacks",
    "TimeLimit": "run.callbacks",
    "StopWhen": "run.callbacks",
    "array_sources": "data.arrays",
    "csv_sources": "data.csv_",
    "file_sources": "data.files",
    "idx_sources": "data.idx",
    "json_sources": "data.json_",
    "libsvm_sources": "data.libsvm",
    "npy_sources": "data.npy",
    "parquet_sources": "data.parquet",
    "table_sources": "data.frames",
    "load_model": "estimators",
    "load_state": "run.saved",
    "save_state": "run.saved",
    "DataError": "errors",
    "FitWarning": "errors",
    "BlockError": "errors",
    "EngineError": "errors",
    "ModelError": "errors",
    "ModelFileError": "errors",
    "MissingExtraError": "errors",
}

__all__ = ["__version__", *_HOMES]

# Modules that moved after people had been told of them: they can still be imported by their old names.
_MOVED = {
    "callbacks": "run.callbacks",
    "callbacks_ray_": "run.callbacks_ray_",
    "certificates": "run.certificates",
    "checkpoints": "run.checkpoints",
    "driver": "run.driver",
    "gradient_check": "run.gradient_check",
    "lockstep": "run.lockstep",
    "losses": "kernels.losses",
    "models._framework": "models.framework",
    "result": "run.result",
    "sampling": "protocols.sampling",
    "saved": "run.saved",
    "schema": "protocols.schema",
    "variables": "objective.variables",
}


class _Moved(ModuleType):
    """Stands where a module was, and loads it where it is now as soon as something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what looks through all modules must not load them
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MOVED[self.__name__.removeprefix(f'{__name__}.')]}"), name)


sys.modules.update({module.__name__: module for module in (_Moved(f"{__name__}.{name}") for name in _MOVED)})


def __getattr__(name: str) -> Any:
    if name in _MOVED:
        return sys.modules[f"{__name__}.{name}"]
    if name not in _HOMES:
        raise AttributeError(f"module 'fullbatch' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
