"""What the reader of standard errors must know."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..run.result import Notice
from .covariance import are_trials
from .weights import NO_COUNTS

# Fewer clusters than these leave errors too small; a dispersion that is more than chance.
_FEW, OVER_DISPERSED = 40, 1.5

# By how much sums of the same weights differ at the most, relative to them.
_SAME = 1e-6


def notices_of(inference: Any) -> tuple[Notice, ...]:
    """Those of an `Inference`."""
    return tuple(_found(inference))


def _found(inference: Any) -> Iterator[Notice]:
    information, fitted, kind = inference.information, inference.information.design.fitted, inference.kind
    if others := other_rows(inference):
        yield Notice("other-rows", others)
    if information.penalised:
        yield Notice(
            "penalised",
            "L2 penalty: errors are those of penalised estimates about their own mean, which is drawn to zero; "
            "that bias is not in them, and intervals do not cover the unpenalised coefficients as often as "
            "they say",
        )
    if fitted.class_weight is not None:
        words = "class_weight: the rows count otherwise than they were drawn, above all in the intercept"
        yield Notice("class-weight", words)
    if of_means := fractional(fitted.family.loss, information.sums, information.weights.precision):
        yield Notice("weights-of-means", of_means)
    elif not information.weights.precision and information.sums.weight < (1.0 - _SAME) * information.sums.rows:
        words = (
            f"the weights of {information.sums.rows:,} rows add up to {information.sums.weight:.6g}, less than one "
            f"each, and were taken as numbers of rows: {NO_COUNTS}"
        )
        yield Notice("weights-below-one", words)
    if inference.clusters and min(inference.clusters) < _FEW and kind == "cluster":
        words = (
            f"{min(inference.clusters)} clusters: with fewer than about {_FEW}, or few large ones, such errors are too "
            'small on average; covariance="CRV3" is made for few'
        )
        yield Notice("few-clusters", words)
    trials = information.weights.precision and are_trials(information.design, information.sums)
    known = fitted.family.loss == "poisson" or trials
    if known and not inference._estimated and kind in ("classical", "observed") and inference.df_residual > 0:
        ratio = inference.dispersions["pearson"]
        if ratio > OVER_DISPERSED:
            yield Notice(
                "over-dispersed",
                f"Pearson's dispersion is {ratio:.3g}: {over_dispersed(trials)}, and these errors are too small; ask "
                'for covariance="HC1" or dispersion="pearson"',
            )


def other_rows(inference: Any) -> str | None:
    """What is to be said of rows that cannot be all of the fit's, or have other weights, whose gradient may be small
    all the same.
    """
    information = inference.information
    sums, fitted = information.sums, information.design.fitted
    of_fit, advice = fitted.weight_sum, "give all rows of the fit, with the weights they had there"
    if of_fit is None:  # of a file of an earlier fullbatch
        if fitted.n_rows is None or sums.rows == fitted.n_rows:
            return None
        return (
            f"{sums.rows:,} rows of a positive weight, and {fitted.n_rows:,} rows in the fit: unless the others had no "
            f"weight there, these errors are not those of the fit; {advice}"
        )
    if abs(sums.weight - of_fit) <= _SAME * of_fit:
        return None
    size = ""
    if not (information.weights.precision or information.penalised):
        size = f", about {np.sqrt(of_fit / sums.weight):.3g} times as large"
    return (
        f"{sums.rows:,} rows with a total weight of {sums.weight:,.6g}, and {fitted.n_rows or 0:,} with one of "
        f"{of_fit:,.6g} in the fit: these errors are not those of the fit{size}; {advice}"
    )


def over_dispersed(trials: bool) -> str:
    """What a large dispersion says."""
    return "the shares vary more than those of independent trials" if trials else "the counts vary more than Poisson's"


def fractional(loss: str, sums: Any, precision: bool) -> str | None:
    """What is to be said of weights that count rows whose targets look like means of several.

    Parameters
    ----------
    loss : str
    sums : object
        With `fractions`, how many such targets there are, and `weighed`, whether there are weights.
    precision : bool
        Whether the weights were taken as those of means.
    """
    if precision or not sums.fractions or not sums.weighed:
        return None
    what, of = ("shares", "numbers of trials") if loss == "binomial" else ("no whole numbers", "exposures")
    return (
        f"targets are {what}, and each weight was taken as the number of rows that have this very target: if weights "
        f'are {of}, ask for weights="precision"; robust errors and dispersions are wrong otherwise'
    )
