import numpy as np
import pytest
from problems import digits, objective

from fullbatch.protocols import Facts, Parameters


def test_the_shape_of_a_linear_model():
    facts = objective(*digits(), "softmax").facts
    assert (facts.outputs, facts.width, facts.predictors.shape) == (10, 65, (10, 65))
    other = Facts(3, Parameters(2, np.ones(2, bool)), np.zeros(2), frozenset())
    for name in ("predictors", "outputs", "width"):
        with pytest.raises(TypeError, match="the model is not linear"):
            getattr(other, name)
