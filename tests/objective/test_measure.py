"""What a decrease of F is measured by, of made-up states."""

from types import SimpleNamespace

import numpy as np
import pytest

from fullbatch.objective.measure import measure, relative
from fullbatch.protocols.seams import Facts, Parameters


def state(value, first):
    return SimpleNamespace(value=value, first_value=first)


def facts(least, null):
    return Facts(9, Parameters(1, np.zeros(1, bool), least=least, null=null), np.zeros(1), frozenset(), least=least)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5.0 + 1e-3, 0.1),  # a hundred times as far as F stands above its least
        (7.0, 2.0),  # but no more than the null model does
        (4.0, 0.0),  # by rounding below it
    ],
)
def test_small_is_small_beside_the_null_model_and_what_is_left(value, expected):
    assert measure(state(value, 9.0), facts(5.0, 2.0)) == pytest.approx(expected)
    assert measure(state(value - 10.0, 9.0), facts(-5.0, 2.0)) == pytest.approx(expected)  # constants in F do not count


@pytest.mark.parametrize(
    ("value", "first", "decrease", "expected"),
    [
        (1.0, 3.0, 0.1, 0.05),  # of 2 by which F fell
        (1.0, 1.0, 1.0, 1.0),  # nothing has fallen yet: of F
        (-1.5, -1.0, 3.0, 2.0),
        (1e-12, 1.0, 1e-13, 1e-12),  # F is as good as zero: no more than itself, of what has fallen
        (1e-12, 1.0, 1e-11, 1e-11),
    ],
)
def test_of_a_model_of_which_nothing_is_known_it_is_f_and_its_fall(value, first, decrease, expected):
    assert relative(decrease, state(value, first), None) == pytest.approx(expected, rel=1e-9, abs=0.0)
