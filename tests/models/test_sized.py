"""Networks that are made for the data: what is refused of blocks, and what travels to the workers."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fullbatch import SerialEngine, array_sources
from fullbatch.models.sized import SizedNetwork, asked_for
from fullbatch.models.torch_ import TorchModel
from fullbatch.protocols.rows import Rows

X = np.random.default_rng(0).standard_normal((6, 3))


def recipe_for(n_features, n_outputs):
    return TorchModel(lambda: torch.nn.Linear(n_features, n_outputs), loss=torch.nn.MSELoss(reduction="none"))


def described(y, **more):
    network = SizedNetwork(recipe_for, labels=False, targets=2, **more)
    return network.describe(Rows(X, y, None, 1.0, None), "part 3")


def test_the_first_number_of_any_target_that_is_none_is_told():
    y = np.ones((6, 2))
    assert described(y).problem is None
    y[4, 0], y[2, 1] = np.nan, np.inf
    problem = described(y).problem
    assert problem.row == 2
    assert "target y, column 1," in problem.what
    assert "infinity" in problem.what
    y[1, 0] = -1.0
    assert described(np.abs(y), loss="poisson").problem.row == 2
    assert described(y, loss="poisson").problem.row == 1


def test_a_row_has_one_target_where_no_more_are_told():
    blocks = SerialEngine().place(SizedNetwork(recipe_for, labels=False), array_sources(X, np.ones(6), blocks=1))
    assert blocks.parameters.size == 3 + 1


@pytest.mark.parametrize("function", [dict, min])
def test_what_tells_no_arguments_is_given_none(function):
    assert asked_for(function, "module", n_features=3) == {}


def test_what_was_made_for_some_data_stays_where_it_was_made():
    network = SizedNetwork(asked_for, labels=False)
    network.__dict__["_made"] = ((3, 1), "made")
    assert pickle.loads(pickle.dumps(network)) == network
    assert "_made" not in vars(pickle.loads(pickle.dumps(network)))


def test_a_recipe_is_made_once_for_data_of_a_width_and_anew_for_another():
    asked = []
    network = SizedNetwork(lambda *sizes: asked.append(sizes) or recipe_for(*sizes), labels=False)
    narrow, wide = (SimpleNamespace(n_features=width, classes=None) for width in (3, 5))
    first = network.recipe(narrow)
    assert network.recipe(narrow) is first
    assert network.recipe(wide) is not first
    assert asked == [(3, 1), (5, 1)]
