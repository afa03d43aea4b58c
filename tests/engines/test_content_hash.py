"""Hashes tell other contents, and nothing else."""

import numpy as np
import pytest
from scipy import sparse

from fullbatch import SerialEngine
from fullbatch.data import digest
from fullbatch.data.arrays import array_sources
from fullbatch.engines import _remote_worker
from fullbatch.engines._content_hash import content_hash
from fullbatch.models.linear import Linear
from fullbatch.protocols import Category, Rows

X = np.random.default_rng(0).random((40, 3))
PARTS = {
    "X": X,
    "y": np.arange(40),
    "weight": np.ones(40),
    "scale": 0.5,
    "offset": np.zeros(40),
    "categories": (Category(np.arange(40, dtype=np.int32) % 2, np.array(["no", "yes"])),),
    "names": ("a", "b", "c", "d"),
}


def other(array, place):
    changed = array.copy()
    changed[place] = 1 - changed[place]
    return changed


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(digest, "_CHUNK", 64)


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("X", other(X, (39, 2))),
        ("X", X[:39]),
        ("X", X.reshape(20, 6)),
        ("X", X.astype(np.float32)),
        ("y", other(PARTS["y"], 39)),
        ("y", None),
        ("weight", None),
        ("weight", other(PARTS["weight"], 0)),
        ("scale", 1.0),
        ("offset", other(PARTS["offset"], 20)),
        ("categories", ()),
        ("categories", (Category(PARTS["categories"][0].codes, np.array(["no", "yea"])),)),
        ("categories", (Category(other(PARTS["categories"][0].codes, 5), np.array(["no", "yes"])),)),
        ("names", ("a", "b", "c", "e")),
    ],
)
def test_every_part_counts(part, changed):
    assert content_hash(Rows(**PARTS)) != content_hash(Rows(**{**PARTS, part: changed}))


def test_memory_order_does_not_count():
    strided = np.repeat(X, 2, axis=1)[:, ::2]
    assert (
        len({content_hash(Rows(**{**PARTS, "X": same})) for same in (X, X.copy(), np.asfortranarray(X), strided)}) == 1
    )


def test_sparse_rows():
    rows = sparse.random_array((40, 50), density=0.2, rng=np.random.default_rng(0), format="csr")
    changed = rows.copy()
    changed.indices[-1] = 49 if changed.indices[-1] < 49 else 48
    wider = sparse.csr_array((rows.data, rows.indices, rows.indptr), (40, 51))
    assert content_hash(Rows(rows)) == content_hash(Rows(rows.copy()))
    assert len({content_hash(Rows(one)) for one in (rows, changed, wider, rows.toarray())}) == 4


def test_objects_count_by_value():
    def labels(*ends):
        return Rows(X, np.array([f"label {i}" for i in range(38)] + list(ends), object))

    assert content_hash(labels("a", "b")) == content_hash(labels("".join(["a"]), chr(98)))
    assert content_hash(labels("a", "b")) != content_hash(labels("a", "c"))
    assert content_hash(labels("a", 1)) != content_hash(labels("a", "1"))


def test_engines_of_this_process_make_none(monkeypatch):
    monkeypatch.setattr(_remote_worker, "content_hash", None)
    SerialEngine().place(Linear("squared"), array_sources(X, X[:, 0])).close()
