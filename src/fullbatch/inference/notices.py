"""What the reader of standard errors must know."""

from collections.abc import Iterator
from typing import Any

from ..run.result import Notice
from .covariance import are_trials

# Fewer clusters than these leave errors too small; a dispersion that is more than chance.
_FEW, OVER_DISPERSED = 40, 1.5


def notices_of(inference: Any) -> tuple[Notice, ...]:
    """Those of an `Inference`."""
    return tuple(_found(inference))


def _found(inference: Any) -> Iterator[Notice]:
    information, fitted, kind = inference.information, inference.information.design.fitted, inference.kind
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
