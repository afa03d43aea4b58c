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
    by_draw: dict[Draw, list[int]] = {}
    for model, draw in enumerate(request.draws):
        by_draw.setdefault(draw, []).append(model)
    together: list[int] = []
    found: list[tuple[Any, Eval]] = []
    alone = widened == 1.0 and block.is_some(request.columns)  # Hessians take passes that bring no gradient

    for draw, models in by_draw.items():
        curved = [model for model in models if model < request.matrices or widened != 1.0]
        points = models if alone else [model for model in models if model not in set(curved)]
        if draw.form != "only" and block.dealt is None:
            together += points
            points = []
        if not (curved or points):
            continue
        part = block.drawn(draw)
        for model in curved:
            if alone:
                hessian = part.hessian_of(thetas[model], request.columns)
            else:
                answer = part.evaluate(Curvature(thetas[model], "gram", widened=widened, columns=request.columns))
                found.append((model, answer.point))
                hessian = answer.matrix
            if model < request.matrices:
                if not len(matrix):
                    matrix = np.zeros((request.matrices, *hessian.shape))
                matrix[model] = hessian
        if points:
            found.append((points, part.evaluate(ValueGrad(thetas[points]))))
    if together and len(together) == count:
        point = block.evaluate(DrawnValueGrad(thetas, request.draws))
        return Matrix(matrix, point.weight, point)
    if together:
        draws = tuple(request.draws[model] for model in together)
        found.append((together, block.evaluate(DrawnValueGrad(thetas[together], draws))))
    value, weight, squares, grad = np.zeros(count), np.zeros(count), np.zeros(count), np.zeros((count, size))
    for models, of in found:
        value[models], grad[models], weight[models], squares[models] = of.value, of.grad, of.weight, of.squares
    return Matrix(matrix, weight, Eval(value, grad, weight, squares))
