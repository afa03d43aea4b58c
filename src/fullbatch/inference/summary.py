"""The text of a summary, 80 columns wide."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from .table import as_text

WIDTH = 80

_KINDS = {
    "classical": "classical (expected information)",
    "observed": "observed information",
    "HC0": "HC0: heteroscedasticity-robust sandwich",
    "HC1": "HC1: robust sandwich, N / (N - K)",
    "HC2": "HC2: robust sandwich, by leverages",
    "HC3": "HC3: robust sandwich, by squared leverages",
    "cluster": "by cluster, G / (G - 1) (N - 1) / (N - K)",
    "CRV2": "by cluster, CRV2: Bell and McCaffrey's",
    "CRV3": "by cluster, CRV3: jackknife of clusters",
}
_WEIGHTS = {"frequency": "frequency: numbers of rows", "precision": "precision: of one row, such as its trials"}


def summary_of(inference: Any, columns: Mapping[str, Any], level: float) -> str:
    """What `Inference.summary` says."""
    family = inference.information.design.fitted.family
    lines = [
        pair(f"Family: {family.words}", f"Rows: {inference.n_rows:,}"),
        pair(f"Errors: {_KINDS[inference.kind]}", f"Residual df: {inference.df_residual:,.6g}"),
    ]
    if inference.information.sums.weighed:
        lines.append(f"Weights: {_WEIGHTS[inference.weights]}")
    if inference.clusters:
        names = inference.information.data.beside
        told = ", ".join(f"{count:,} of {name}" for name, count in zip(names, inference.clusters, strict=True))
        lines.append(f"Clusters: {told}")
    references = inference.information.design.reference
    lines += [f"Reference: {name}={value}" for name, value in references.items()]
    if inference.information.design.outputs > 1:
        lines.append(f"Reference: class {inference.information.design.fitted.classes.tolist()[0]}")
    lines += [bar(), *as_text(columns, WIDTH), bar()]
    lines += _of_the_fit(inference)
    lines.append(f"Intervals: {100 * level:g} %, by {_distribution(inference.df)}")
    for note in inference.notes:
        lines += textwrap.wrap(f"Note: {note}", WIDTH, subsequent_indent="  ")
    return "\n".join(line[:WIDTH].rstrip() for line in lines)


def facts_of(inference: Any) -> dict[str, float]:
    """What is known of the fit as a whole; what its loss, penalty or weights do not tell is left out."""
    fitted, information = inference.information.design.fitted, inference.information
    family = fitted.family
    told: dict[str, float] = {}
    if not family.likelihood:
        return {}
    told["deviance"] = inference.deviance
    if is_maximum(inference):
        told["null_deviance"], told["d2"] = inference.null_deviance, inference.d2
    if family.density and fitted.class_weight is None and (family.takes_precision or not information.weights.precision):
        told["log_likelihood"] = inference.log_likelihood()
        told |= {"aic": inference.aic, "aicc": inference.aicc, "bic": inference.bic}
    return told


def is_maximum(inference: Any) -> bool:
    """Whether the estimate is the maximum of the rows' likelihood, and others can be compared with it."""
    fitted = inference.information.design.fitted
    return (
        inference.information.whole
        and fitted.family.likelihood
        and not inference.information.penalised
        and fitted.class_weight is None
    )


_TITLES = {
    "deviance": "Deviance",
    "null_deviance": "Null deviance",
    "d2": "D^2",
    "log_likelihood": "Log-likelihood",
    "aic": "AIC",
    "aicc": "AICc",
    "bic": "BIC",
    "dispersion": "Dispersion",
}


def _of_the_fit(inference: Any) -> list[str]:
    """Two columns of what is known of the fit as a whole."""
    told = facts_of(inference)
    if told:
        told["dispersion"] = inference.dispersion
    shown = [f"{_TITLES[name] + ':':<16}{value:>18.8g}" for name, value in told.items()]
    if len(shown) % 2:
        shown.append("")
    lines = [f"{one:<42}{other}".rstrip() for one, other in zip(shown[::2], shown[1::2], strict=True)]
    if is_maximum(inference) and len(inference.names) > inference.information.design.outputs:
        test = inference.test_all()
        of = f"F({test.df}, {test.df_residual:g})" if test.distribution == "F" else f"chi2({test.df})"
        lines.append(f"All coefficients zero: {of} = {test.statistic:.6g}, p = {test.p_value:.4g}")
    return lines


def _distribution(df: float) -> str:
    return f"t with {df:g} degrees" if np.isfinite(df) else "the normal distribution"


def pair(left: str, right: str) -> str:
    """A line with something at both ends."""
    return f"{left}{right:>{max(WIDTH - len(left), len(right) + 1)}}"


def bar() -> str:
    """A line across."""
    return "-" * WIDTH
