"""Is the gradient that of the loss? Differences of the loss along a few random directions, before a run is wasted."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..machine.vectors import norm
from ..objective.objective import Objective
from ..protocols.answers import Eval
from ..protocols.requests import ValueGrad

Array = npt.NDArray[Any]

# By the precision of the blocks: first step along a direction of length 1, relative error of the loss, and the
# error of a slope, relative to what a slope in a random direction has by nature, |gradient| / sqrt(size).
_PRECISIONS = {"float64": (1e-4, 1e-14, 1e-4), "float32": (1e-1, 1e-8, 3e-2)}
_STEPS = 4  # each a tenth of the one before: a loss may bend much, or be flat and noisy


def check_gradient(objective: Objective, theta: Array, *, directions: int = 3, seed: int = 0) -> None:
    """Check the gradient that the blocks answer against central differences of their loss, over all rows.

    The penalty is left out: it is not the model's. Passes are added to `objective.num_setup_passes`: one, and for
    each direction from two, where the first step agrees, to eight.

    Parameters
    ----------
    objective : Objective
        Whose blocks are asked.
    theta : (size,) array
        Where, in the variables of the objective.
    directions : int
        Random directions. An error in a share of the gradient that is small against the whole may stay unseen.
    seed : int
        Of the directions.

    Raises
    ------
    ModelError
        The gradient is not that of the loss.
    ValueError
        Loss or gradient are not finite at theta.
    """
    theta = np.array(theta, np.float64) if objective.variables is None else objective.variables.to_blocks(theta)
    dtype = objective.blocks.parameters.dtype
    first_step, noise, tolerance = _PRECISIONS[dtype]
    here = _ask(objective, theta)
    if not (np.isfinite(here.value) and np.isfinite(here.grad).all()):
        raise ValueError(f"the loss or its gradient is not finite where it is checked: {here.value}; check elsewhere")
    natural = norm(here.grad) / np.sqrt(theta.size)
    random = np.random.default_rng(seed)
    for _ in range(directions):
        direction = random.standard_normal(theta.size)
        direction /= norm(direction)
        slope = float((here.grad * direction).sum())
        differences = []
        for step in first_step * 10.0 ** -np.arange(_STEPS):
            ahead, behind = (_ask(objective, theta + sign * step * direction).value for sign in (1, -1))
            differences.append(float(ahead - behind) / (2 * step))
            allowed = tolerance * max(abs(slope), natural) + noise * abs(float(here.value)) / step
            if abs(differences[-1] - slope) <= allowed:
                break
        else:
            nearest = min(differences, key=lambda one: abs(one - slope))
            raise ModelError(
                f"the gradient is not that of the loss: along a random direction it says {slope:.8g}, differences of "
                f"the {dtype} loss say {nearest:.8g} (sums over all rows; nearest of {len(differences)} step sizes). "
                "Likely causes: a backward of your own (torch.autograd.Function, jax.custom_vjp, tf.custom_gradient), "
                "a part cut off from the gradient (detach, item, stop_gradient), or a loss that jumps"
            )


def _ask(objective: Objective, theta: Array) -> Eval:
    objective.num_setup_passes += 1
    with np.errstate(over="ignore", invalid="ignore"):
        answer: Eval = objective.blocks.sum(ValueGrad(theta))
    return answer
