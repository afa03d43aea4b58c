"""Of coefficients that fit equally well, those of least norm: by the pseudo-inverse, in any variables."""

import numpy as np
import pytest

from fullbatch import Draw, Linear, Objective, SerialEngine, Standardized, array_sources
from fullbatch.run.driver import drive
from fullbatch.run.shortest import shortest

N = 90
RNG = np.random.default_rng(2)
A = RNG.standard_normal((N, 2)) * [1.0, 3.0] + [1.0, 2.0]
Y = A @ [1.0, -0.5] + RNG.standard_normal(N)
AWAY = np.array([1.0, 1.0, -1.0])  # changes no prediction of columns the third of which is the sum of the others


def objective_of(X, intercept=True, scale=None, draw=None, loss="squared", y=Y, **penalty):
    model = Linear(loss, intercept)
    blocks = SerialEngine().place(model, array_sources(X, y, blocks=2))
    variables = None if scale is None else Standardized(blocks.schema, 1, intercept, scale)
    return Objective(blocks, variables=variables, draw=draw, **penalty)


def told(objective, coef, intercept):
    """What `shortest` makes of coefficients on the columns as stored."""
    given, constant = np.atleast_2d(coef), np.atleast_1d(np.float64(intercept))
    theta = np.append(coef, constant) if objective.size > len(coef) else np.asarray(coef)
    theta = theta if objective.variables is None else objective.variables.to_solver(theta)
    value = objective.full_loss(theta)
    return given, drive(shortest(given, constant, theta, value, objective), objective)


@pytest.mark.parametrize("draw", [None, Draw("bootstrap", 3, seed=1), Draw("without", 1, 3)], ids=str)
@pytest.mark.parametrize("scale", [None, False, True])
@pytest.mark.parametrize("intercept", [True, False])
def test_what_changes_no_prediction_is_left_out(intercept, scale, draw):
    level = 5.0 if intercept else 0.0  # which the intercept takes
    X = np.column_stack((A, A.sum(axis=1) + level))
    weight = np.ones(N) if draw is None else draw.weights(0, N)
    root = np.sqrt(weight)[:, None]
    mean, center = (weight @ X / weight.sum(), weight @ Y / weight.sum()) if intercept else (np.zeros(3), 0.0)
    coef = np.linalg.pinv(root * (X - mean), rcond=1e-10) @ (root[:, 0] * (Y - center))
    constant = center - mean @ coef
    _, (found, of_found) = told(objective_of(X, intercept, scale, draw), coef + 2.0 * AWAY, constant + 2.0 * level)
    np.testing.assert_allclose(found[0], coef, atol=1e-9)
    assert of_found[0] == pytest.approx(constant, abs=1e-9)


NEARLY = np.column_stack((A, A.sum(axis=1) + 1e-6 * RNG.standard_normal(N)))
PLACES = {
    "a penalty": (objective_of(NEARLY, l2=1e-9), AWAY, 0.0),
    "nearly combinations": (objective_of(NEARLY, y=NEARLY @ (1e5 * AWAY)), 1e5 * AWAY, 0.0),
    "means beyond all numbers": (objective_of(A, loss="poisson", y=np.ones(N)), [0.0, 0.0], 800.0),
    "classes far apart": (objective_of(A, loss="logistic", y=np.arange(N) % 2), [0.0, 0.0], 800.0),
}


@pytest.mark.parametrize("place", PLACES)
def test_where_none_are_shorter_or_nothing_is_known_coefficients_stay(place):
    given, (found, _) = told(*PLACES[place])
    assert found is given
