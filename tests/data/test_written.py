"""Tables that are written are whole or not there."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from fullbatch.data.written import write


def a_block_that_fails(make):
    yield pa.table({"a": [1, 2]})
    raise RuntimeError("the second block")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed by Linux alone")
@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_an_error_between_blocks_leaves_neither_a_file_nor_an_open_one(name, tmp_path):
    with pytest.raises(RuntimeError, match="the second block"):
        write(tmp_path / name, None, a_block_that_fails)
    # As long as the error is looked at, nothing of its frames is collected.
    is_open = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not [path for path in is_open if str(tmp_path) in path]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "parts"])
def test_what_is_written_is_on_the_disk_before_it_has_its_name(name, tmp_path, monkeypatch):
    acts = []
    for act, done in (("fsync", os.fsync), ("replace", os.replace), ("rename", os.rename)):

        def noted(*arguments, act=act, done=done, **options):
            acts.append(act)
            return done(*arguments, **options)

        monkeypatch.setattr(os, act, noted)
    rows = write(tmp_path / name, lambda index, source: pa.table({"a": [1, 2]}), lambda make: [make(0, None)])
    assert rows == 2
    named = ["fsync", "replace", "fsync"]  # the file, and the directory that has its name
    assert acts == (named if "." in name else ["fsync", "replace", "fsync", "rename", "fsync"])
