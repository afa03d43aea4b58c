"""What estimators are told of columns, missing values, formulas and base levels, as far as it can be checked alone."""

from collections.abc import Mapping
from typing import Any

from ..data.missing import check_missing
from ..wording.arguments import check_flag
from ._base_levels import check_base


def check_columns(estimator: Any) -> None:
    """Refuse what cannot be said of columns, whatever the data.

    Raises
    ------
    ValueError
        A parameter is none, or does not go with another one.
    """
    missing, indicates, formula = estimator.missing, estimator.missing_indicator, estimator.formula
    check_missing(missing)
    check_flag("missing_indicator", indicates)
    if indicates and isinstance(missing, str) and missing in ("error", "drop"):
        raise ValueError(f'missing_indicator=True needs a missing that fills, such as "mean", got {missing!r}')
    if not (formula is None or isinstance(formula, str)):
        raise ValueError(f"formula must be a text such as 'y ~ a + C(b)', or None, got {formula!r}")
    check_base(estimator.base, estimator.unknown)
    if formula is None:
        return
    if indicates:
        raise ValueError(
            "missing_indicator=True does not go with a formula: leave it out, and make a column that tells what is "
            "missing"
        )
    if isinstance(estimator.base, Mapping):
        raise ValueError(
            "base names levels of columns, and a formula makes its own: leave base out, and say it in the formula, as "
            "in C(region, contr.treatment(base='south'))"
        )
