"""Estimators with scikit-learn's manners, thin over `minimize`."""

from os import PathLike, fspath
from typing import Any

from ..saving.files import read
from ._linear import LinearEstimator
from ._network_kinds import NetworkClassifier, NetworkRegressor
from ._networks import NetworkEstimator
from .elastic_net import ElasticNet, Lasso
from .elastic_net_cv import ElasticNetCV, LassoCV
from .glm import GeneralizedLinearRegressor
from .glm_cv import GeneralizedLinearRegressorCV
from .huber import HuberRegressor
from .jax_ import JaxClassifier, JaxRegressor
from .keras_ import KerasClassifier, KerasRegressor
from .least_squares import LinearRegression, Ridge
from .logistic import LogisticRegression
from .logistic_cv import LogisticRegressionCV
from .ordinal import OrdinalLogisticRegression
from .quantile import QuantileRegressor
from .ridge_cv import RidgeCV
from .svm import LinearSVC
from .torch_ import TorchClassifier, TorchRegressor
from .tweedie import GammaRegressor, PoissonRegressor, TweedieRegressor

_ALL: tuple[type[LinearEstimator] | type[NetworkEstimator], ...] = (
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    GeneralizedLinearRegressor,
    GeneralizedLinearRegressorCV,
    HuberRegressor,
    JaxClassifier,
    JaxRegressor,
    KerasClassifier,
    KerasRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    LogisticRegressionCV,
    OrdinalLogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeCV,
    TorchClassifier,
    TorchRegressor,
    TweedieRegressor,
)
_KINDS = {kind.__name__: kind for kind in _ALL}

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
    "GammaRegressor",
    "GeneralizedLinearRegressor",
    "GeneralizedLinearRegressorCV",
    "HuberRegressor",
    "JaxClassifier",
    "JaxRegressor",
    "KerasClassifier",
    "KerasRegressor",
    "Lasso",
    "LassoCV",
    "LinearEstimator",
    "LinearRegression",
    "LinearSVC",
    "LogisticRegression",
    "LogisticRegressionCV",
    "NetworkClassifier",
    "NetworkEstimator",
    "NetworkRegressor",
    "OrdinalLogisticRegression",
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "TorchClassifier",
    "TorchRegressor",
    "TweedieRegressor",
    "load_model",
    "read_model",
]


def read_model(path: str | PathLike[str]) -> tuple[str, Any, dict[str, Any]]:
    """What the file of a model holds, of a network too, whose code is then not needed: kind, arrays and metadata.

    Raises
    ------
    ModelFileError
        As `load_model`.
    """
    kind, arrays, metadata = read(path, tuple(_KINDS))
    _KINDS[kind]._contents().check(fspath(path), metadata, arrays)
    return kind, arrays, metadata


def load_model(path: str | PathLike[str], **code: Any) -> Any:
    """A fitted model as its `save` method saved it.

    Parameters
    ----------
    path : path
        The file.
    **code
        Of a network what is code, and so in no file: `module=` as it was given to the estimator (`parameters=` and
        `apply=` of JAX, `model=` of Keras), and `loss=` and `penalized=` where these were functions. Where its weights
        have other names or shapes than those of the file, or where it holds other arrays that are not trained, it is
        refused.

    Returns
    -------
    LinearEstimator or NetworkEstimator
        Of the class that was saved.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, not ours, or of a later version.
    """
    kind, arrays, metadata = read(path, tuple(_KINDS))
    return _KINDS[kind].from_saved(fspath(path), arrays, metadata, code)
