"""Every field of the fingerprint: a run that differs in it alone is told apart by its name."""

from dataclasses import replace

import numpy as np
import pytest

from fullbatch import LBFGS, Draw, Linear, Objective, SerialEngine, Standardized, array_sources
from fullbatch.protocols import Category, Rows
from fullbatch.run.fingerprint import Fingerprint


class InMemory:
    def __init__(self, rows):
        self.rows = rows

    def read(self):
        return self.rows


def rows(**changes):
    rng = np.random.default_rng(0)
    levels = (Category(np.arange(30, dtype=np.int32) % 3, np.array(["a", "b", "c"])),)
    return replace(
        Rows(rng.standard_normal((30, 2)), np.arange(30) % 2, categories=levels, names=("u", "v", "w")), **changes
    )


def objective(
    data=None, cut=12, loss="logistic", intercept=True, scale=False, variables=True, l2=0.1, draw=None, sparse=None
):
    data, model = rows() if data is None else data, Linear(loss, intercept)
    if sparse is None:
        parts = [slice(cut), slice(cut, None)]
        sources = [InMemory(part_of(data, part)) for part in parts]
    else:
        from scipy.sparse import csr_array

        X = np.zeros((30, 3))
        X[np.arange(sparse), 0] = 1.0
        sources = array_sources(csr_array(X), np.arange(30) % 2, blocks=2)
    blocks = SerialEngine().place(model, sources)
    of_columns = Standardized(blocks.schema, model.outputs(blocks.schema), intercept, scale)
    return Objective(blocks, l2, of_columns if variables else None, draw)


def part_of(data, part):
    y, weight, offset = (None if one is None else one[part] for one in (data.y, data.weight, data.offset))
    categories = tuple(replace(one, codes=one.codes[part]) for one in data.categories)
    return replace(data, X=data.X[part], y=y, weight=weight, offset=offset, categories=categories)


def moved(column, by):
    X = rows().X.copy()
    X[:, column] = by(X[:, column])
    return X


class Own:
    """A solver that is no dataclass: it is known by its name."""


class Other:
    """Another."""


NUMBERS = rows(categories=(), names=())
LABELS = np.repeat([0, 1], [10, 20])

# Name of the field, what is changed of the objective, and the solvers there and here.
DIFFERENCES = {
    "rows": ({"data": part_of(rows(), slice(29))}, None),
    "numeric columns": ({"data": rows(X=rows().X[:, :1], names=("u", "w"))}, None),
    "names of the columns": ({"data": rows(names=("u", "v", "W"))}, None),
    "levels of the categorical columns": (
        {"data": rows(categories=(replace(rows().categories[0], levels=np.array(["a", "b", "d"])),))},
        None,
    ),
    "entries of the sparse rows": ({"sparse": 20}, {"sparse": 21}),
    "offsets": ({"data": rows(offset=np.zeros(30))}, None),
    "sum of the sample weights": ({"data": rows(weight=np.full(30, 2.0))}, None),
    "model": ({"loss": "squared_hinge"}, None),
    "parameters": ({"intercept": False}, None),
    "precision": ({"data": replace(NUMBERS, X=NUMBERS.X.astype(np.float32))}, {"data": NUMBERS}),
    "change of variables": ({"variables": False}, None),
    "scale of the variables": ({"scale": True}, None),
    "rows that count": ({"draw": Draw("without", 1, folds=3)}, {"draw": Draw("without", 2, folds=3)}),
    "solver": (Own(), Other()),
    "rows of the blocks": ({"cut": 13}, None),
    "means of the columns": ({"data": rows(X=moved(1, lambda x: x + 1e-3))}, None),
    "variances of the columns": ({"data": rows(X=moved(1, lambda x: (x - x.mean()) * 1.01 + x.mean()))}, None),
    "classes": ({"data": rows(y=np.arange(30) % 2 + 1)}, None),
    "weights of the classes": ({"data": rows(y=LABELS)}, {"data": rows(y=1 - LABELS)}),
    "l2 of the parameters": ({"l2": 0.2}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_differs_is_named(name):
    there, here = DIFFERENCES[name]
    solvers = [LBFGS(), LBFGS()]
    if name == "solver":
        solvers, there, here = [there, here], {}, {}
    there, here = (
        Fingerprint.of(objective(**(changes or {})), solver)
        for changes, solver in zip((there, here), solvers, strict=True)
    )
    found = here.differences(there)
    assert any(one.startswith((f"{name}: ", f"{name}[", f"the {name} differ")) for one in found), found
    assert not here.differences(here)
    assert not there.differences(there)


@pytest.mark.parametrize(("by", "differs"), [(1e-11, False), (1e-8, True)])
def test_moments_are_known_to_some_digits(by, differs):
    """Other processors round otherwise; means are known to digits of the spread, not of themselves."""
    there = Fingerprint.of(objective(), LBFGS())
    for changed in (
        {"X": moved(0, lambda x: x + by)},
        {"X": moved(0, lambda x: (x - x.mean()) * (1 + by) + x.mean())},
        {"weight": np.full(30, 1.0 + by)},
    ):
        assert bool(Fingerprint.of(objective(rows(**changed)), LBFGS()).differences(there)) is differs


def test_no_field_is_without_a_test():
    fingerprint = Fingerprint.of(objective(), LBFGS())
    assert DIFFERENCES.keys() == {*fingerprint.told, *fingerprint.arrays}


def test_the_options_of_a_solver_count():
    mine, other = (Fingerprint.of(objective(), LBFGS(memory=memory)) for memory in (5, 6))
    (told,) = other.differences(mine)
    assert told.startswith("solver: LBFGS(memory=5, ")
