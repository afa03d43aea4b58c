"""The tool behind `make mutants`: what runs is what was changed."""

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.mutants.equivalent import EQUIVALENT

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_no_fault_passes_a_fatal_one_is_noticed_and_an_endless_one_is_told_apart(tmp_path):
    program = """
import sys
from pathlib import Path
from benchmarks.mutants import forked
forked.prepare()
forked.copy(Path.cwd(), Path(sys.argv[1]))
forked.prove(Path(sys.argv[1]))
print("proved")
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "proved\n", done.stderr


def test_what_is_declared_alone_is_left_as_it_is():
    places = pytest.importorskip("benchmarks.mutants.places", reason="cosmic-ray", exc_type=ImportError)
    source = """
class Declared(Protocol):
    @property
    def size(self) -> int:
        "How many."
        ...

    @property
    def twice(self) -> int:
        return self.size + self.size
"""
    found = [one.line for one in places.mutants("file.py", source) if one.operator == "core/RemoveDecorator"]
    assert found == [8]


def test_faults_that_change_nothing_are_listed_once_and_stand_in_the_code():
    faults = [(fault.file, fault.old, fault.new) for fault in EQUIVALENT]
    assert len(set(faults)) == len(faults)
    for file, old, _ in faults:
        source = (ROOT / "src" / "fullbatch" / file).read_text()
        assert old in " ".join(line.strip() for line in source.splitlines()), (file, old)
