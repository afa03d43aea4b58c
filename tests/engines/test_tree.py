import itertools

import numpy as np
import pytest

from fullbatch.engines.tree import Part, TreeSum


def tree_sum(values, order, shares=1):
    """Add `values` leaf by leaf in `order`, first within each of `shares` workers, then over them."""
    driver = TreeSum(len(values))
    for share in np.array_split(np.arange(len(values)), shares):
        worker = TreeSum(len(values))
        for leaf in (leaf for leaf in order if leaf in share):
            worker.add(Part(0, int(leaf), values[leaf]))
        for part in reversed(worker.parts()):
            driver.add(part)
    return driver.total()


@pytest.mark.parametrize("leaves", range(1, 18))
def test_same_bits_in_any_order_and_on_any_number_of_workers(leaves):
    rng = np.random.default_rng(leaves)
    values = list(rng.standard_normal(leaves) * 10.0 ** rng.integers(-8, 8, leaves))
    expected = tree_sum(values, range(leaves))
    assert expected == pytest.approx(sum(values), rel=1e-9)
    for shares in range(1, leaves + 1):
        assert tree_sum(values, rng.permutation(leaves), shares) == expected


def test_left_operand_is_left():
    for order in itertools.permutations(range(5)):
        assert tree_sum(["a", "b", "c", "d", "e"], order) == "abcde"


def test_worker_hands_on_few_parts():
    tree = TreeSum(64)
    for leaf in range(16, 32):
        tree.add(Part(0, leaf, 1.0))
    assert tree.parts() == [Part(4, 1, 16.0)]


def test_incomplete_sum_is_an_error():
    tree = TreeSum(3)
    tree.add(Part(0, 0, 1.0))
    with pytest.raises(AssertionError, match="not complete"):
        tree.total()
