"""Cells that depend on the values alone, and hold what was added up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from fullbatch.checks.histogram import Histogram, numbered, valued

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(arrays(np.float64, st.integers(1, 40), elements=NUMBERS))
def test_numbers_of_floats_have_their_order(values):
    keys = numbered(values)
    assert_array_equal(keys[:, None] < keys, values[:, None] < values)
    assert_array_equal(valued(keys), values)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(arrays(np.float64, st.integers(1, 60), elements=NUMBERS), st.integers(2, 20), st.integers(0, 2**32 - 1))
def test_cells_depend_on_values_alone(values, most, seed):
    rng = np.random.default_rng(seed)
    sums = np.column_stack((np.ones(len(values)), rng.integers(0, 9, len(values))))  # whole: added without rounding
    whole = Histogram.of(values, sums, most)
    assert len(whole.keys) <= most
    parts = np.array_split(rng.permutation(len(values)), 4)
    added = None
    for part in parts:
        one = Histogram.of(values[part], sums[part], most)
        added = one if added is None else added + one
    assert added.dropped == whole.dropped
    assert_array_equal(added.keys, whole.keys)
    assert_array_equal(added.sums, whole.sums)
    # Each value is in the cell that says so, with what was added to it.
    cell = np.searchsorted(whole.lower, values, side="right") - 1
    assert (values <= whole.upper[cell]).all()
    assert_array_equal(whole.sums[:, 1], np.bincount(cell, sums[:, 1], len(whole.keys)))


@pytest.mark.parametrize("count", [1, 7, 8, 63, 64, 65])
def test_as_few_bits_are_dropped_as_can_be(count):
    rng = np.random.default_rng(0)
    values = np.concatenate((rng.standard_normal(200), -np.exp(rng.uniform(-600, 600, 200)), [0.0, -0.0]))
    cells = Histogram.of(values, np.ones((402, 1)), count + 1)
    finer = numbered(values) >> (cells.dropped - 1)
    assert len(np.unique(finer)) > count + 1 >= len(cells.keys)


def test_as_many_distinct_values_as_cells_have_one_each():
    values = np.repeat([0.0, -0.0, 1e-300, 3.5, -1e308, 1e308], 3)
    cells = Histogram.of(values, np.ones((18, 1)), 5)
    assert cells.exact
    assert_array_equal(cells.lower, [-1e308, 0.0, 1e-300, 3.5, 1e308])
    assert_array_equal(cells.upper, cells.lower)
    assert_array_equal(cells.sums[:, 0], [3, 6, 3, 3, 3])


def test_parts_of_equal_weight():
    values, weight = np.arange(10.0), np.array([1, 1, 1, 1, 6, 1, 1, 1, 1, 6.0])
    cells = Histogram.of(values, weight[:, None], 100)
    # Middles of the weights: 0.5, 1.5, 2.5, 3.5, 7, 10.5, 11.5, 12.5, 13.5, 17 of 20.
    assert_array_equal(cells.parts(4), [0, 0, 0, 0, 1, 2, 2, 2, 2, 3])
