"""Estimators with scikit-learn's manners, thin over `minimize`."""

from os import PathLike, fspath

from ..saving.files import read
from ._linear import LinearEstimator
from .elastic_net import ElasticNet, Lasso
from .elastic_net_cv import ElasticNetCV, LassoCV
from .glm import GeneralizedLinearRegressor
from .glm_cv import GeneralizedLinearRegressorCV
from .huber import HuberRegressor
from .least_squares import LinearRegression, Ridge
from .logistic import LogisticRegression
from .logistic_cv import LogisticRegressionCV
from .quantile import QuantileRegressor
from .ridge_cv import RidgeCV
from .svm import LinearSVC
from .tweedie import GammaRegressor, PoissonRegressor, TweedieRegressor

_ALL: tuple[type[LinearEstimator], ...] = (
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    GeneralizedLinearRegressor,
    GeneralizedLinearRegressorCV,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeCV,
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
    "Lasso",
    "LassoCV",
    "LinearEstimator",
    "LinearRegression",
    "LinearSVC",
    "LogisticRegression",
    "LogisticRegressionCV",
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "TweedieRegressor",
    "load_model",
]


def load_model(path: str | PathLike[str]) -> LinearEstimator:
    """A fitted model as its `save` method saved it.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    LinearEstimator
        Of the class that was saved.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, not ours, or of a later version.
    """
    kind, arrays, metadata = read(path, tuple(_KINDS))
    return _KINDS[kind].from_saved(fspath(path), arrays, metadata)
