"""A model as a file of skops: a plain estimator of scikit-learn without any type that its reader must trust."""

from typing import Any

from ..errors import MissingExtraError


def skops_file(estimator: Any) -> bytes:
    """The file's content.

    Parameters
    ----------
    estimator : estimator or pipeline of scikit-learn
        As `as_sklearn` makes it.

    Raises
    ------
    MissingExtraError
        skops is not installed.
    """
    try:
        from skops.io import dumps
    except ImportError:
        raise MissingExtraError("skops", "skops") from None
    return bytes(dumps(estimator))
