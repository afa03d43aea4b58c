"""Weights of the rows of a tile under a `sampling.Draw`: the numbers of `Draw.weights`, with no array of all rows."""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"

import numpy as np

from ..protocols.sampling import DRAWS, POISSON
from .compiled import inlined

_ALL, _WITHOUT, _BOOTSTRAP = DRAWS.index("all"), DRAWS.index("without"), DRAWS.index("bootstrap")


@inlined
def draw_tile(draws, m, row, weight, uniform, drawn):
    """Fill `drawn` with the weights of the m-th model, of rows from global number `row` on.

    Parameters
    ----------
    draws : (models, 4) int64 array
        Their `Draw.code`.
    m, row : int
        Model, and number of the tile's first row.
    weight : (rows,) float64 array
        Sample weights.
    uniform : (rows,) float64 array
        Numbers of the rows; those of the model before are kept where they are the same.
    drawn : (rows,) float64 array
        Result.
    """
    form, number, folds, start = draws[m, 0], draws[m, 1], draws[m, 2], draws[m, 3]
    if form == _ALL:
        for i in range(weight.size):
            drawn[i] = weight[i]
        return
    if m == 0 or draws[m - 1, 3] != start or draws[m - 1, 0] == _ALL:
        for i in range(weight.size):
            z = np.uint64(row + i) + np.uint64(start) + np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            uniform[i] = np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    if form == _BOOTSTRAP:
        for i in range(weight.size):
            times = 0.0
            for share in POISSON:
                times += 1.0 if uniform[i] >= share else 0.0
            drawn[i] = weight[i] * times
        return
    for i in range(weight.size):
        in_fold = np.int64(uniform[i] * folds) == number
        drawn[i] = 0.0 if in_fold == (form == _WITHOUT) else weight[i]
