"""Estimators with scikit-learn's manners, thin over `minimize`."""

from os import PathLike, fspath

from ..saving.files import read
from ._linear import LinearEstimator
from .glm import GeneralizedLinearRegressor
from .logistic import LogisticRegression

__all__ = ["GeneralizedLinearRegressor", "LinearEstimator", "LogisticRegression", "load_model"]

_KINDS = {kind.__name__: kind for kind in (GeneralizedLinearRegressor, LogisticRegression)}


def load_model(path: str | PathLike[str]) -> GeneralizedLinearRegressor | LogisticRegression:
    """A fitted model as its `save` method saved it.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    GeneralizedLinearRegressor or LogisticRegression

    Raises
    ------
    ModelFileError
        The file is missing, damaged, not ours, or of a later version.
    """
    kind, arrays, metadata = read(path, tuple(_KINDS))
    return _KINDS[kind].from_saved(fspath(path), arrays, metadata)
