import numpy as np
import pytest

from fullbatch import Linear, Objective, Standardized, ThreadEngine, minimize
from fullbatch.datasets import load_mnist

OPTIMUM = 0.232117695210  # mean loss + (1/n)/2 ||W||^2, free intercepts; float64, |gradient| 1e-10


@pytest.mark.slow
def test_own_lbfgs_reaches_the_reference_optimum(full_mnist):

    blocks = ThreadEngine().place(Linear("softmax"), load_mnist(full_mnist).train_sources())
    objective = Objective(blocks, 1 / 60_000, Standardized(blocks.schema, outputs=10))
    result = minimize(objective, np.zeros(7850), solver="lbfgs")
    assert result.success
    assert abs(result.value - OPTIMUM) / OPTIMUM < 1e-4
