"""Loss, gradient and Hessian of several models, each of which counts rows in its own way."""

from typing import Any

import numpy as np

from ..protocols.answers import Eval, Matrix
from ..protocols.requests import Curvature, DrawnCurvature, DrawnValueGrad, ValueGrad
from ..protocols.sampling import Draw


def drawn_curvature(block: Any, request: DrawnCurvature) -> Matrix:
    """The answer of a `LinearBlock`: models with the same draw share a block of the rows that it counts.

    Models that ask for no Hessian, and count more rows than those of a fold, share a pass over all rows.
    """
    if request.double and block.parameters.dtype != "float64":
        block = block.in_double
    thetas, size, widened = np.asarray(request.theta, np.float64), block.parameters.size, request.widened
    count = len(thetas)
    if thetas.shape != (len(request.draws), size):
        raise ValueError(f"{len(request.draws)} draws need as many thetas of {size} parameters, got {thetas.shape}")
    matrix = np.zeros((0, size, size))
    in_parts = block.dealt is not None or any(draw.form == "only" for draw in request.draws)
    if not (in_parts or request.matrices or widened != 1.0):
        point = block.evaluate(DrawnValueGrad(thetas, request.draws))
        return Matrix(matrix, point.weight, point)
    value, weight, squares, grad = np.zeros(count), np.zeros(count), np.zeros(count), np.zeros((count, size))
    by_draw: dict[Draw, list[int]] = {}
    for model, draw in enumerate(request.draws):
        by_draw.setdefault(draw, []).append(model)
    together: list[int] = []

    def keep(models: Any, of: Eval) -> None:
        value[models], grad[models], weight[models], squares[models] = of.value, of.grad, of.weight, of.squares

    for draw, models in by_draw.items():
        curved = [model for model in models if model < request.matrices or widened != 1.0]
        others = [model for model in models if model not in set(curved)]
        if draw.form != "only" and block.dealt is None:
            together += others
            others = []
        if not (curved or others):
            continue
        part = block.drawn(draw)
        for model in curved:
            answer = part.evaluate(Curvature(thetas[model], "gram", widened=widened, columns=request.columns))
            keep(model, answer.point)
            if model < request.matrices:
                if not len(matrix):
                    matrix = np.zeros((request.matrices, *answer.matrix.shape))
                matrix[model] = answer.matrix
        if others:
            keep(others, part.evaluate(ValueGrad(thetas[others])))
    if together:
        keep(together, block.evaluate(DrawnValueGrad(thetas[together], tuple(request.draws[m] for m in together))))
    return Matrix(matrix, weight, Eval(value, grad, weight, squares))
