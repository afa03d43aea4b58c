"""Compiled kernels are found again by other processes, wherever the package lies, and never when sources changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fullbatch
from fullbatch.kernels import cache
from fullbatch.kernels.csr import SparseRows
from fullbatch.kernels.dense import ByteRows, DenseRows, TiledRows
from fullbatch.kernels.mixed import MixedRows
from fullbatch.models.warm_up import STORAGES, block_of, warm_up

PROGRAM = """
import numpy as np
from fullbatch.kernels.cache import cache_dir
from fullbatch.kernels.moments import dense_moments
X, weight = np.ones((3, 2)), np.ones(3)
dense_moments(X, weight)
stats = dense_moments.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), cache_dir())
"""


def run(package, folder):
    env = {**os.environ, "PYTHONPATH": str(package), "FULLBATCH_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
    hits, misses, where = done.stdout.split()
    return int(hits), int(misses), where


def test_a_second_process_compiles_nothing_and_changed_sources_compile_anew(tmp_path):
    installed = Path(fullbatch.__file__).parent
    package = tmp_path / "site" / "fullbatch"
    shutil.copytree(installed, package, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (package, package / "kernels"):
        path.chmod(0o555)  # as a system-wide installation
    hits, misses, first = run(package.parent, tmp_path / "cache")
    assert (hits, misses) == (0, 1)
    assert run(package.parent, tmp_path / "cache") == (1, 0, first)

    for path in (package, package / "kernels"):
        path.chmod(0o755)
    folders = {first}
    for source in ("kernels/losses.py", "kernels/compiled.py", "kernels/_storage.py", "protocols/sampling.py"):
        with open(package / source, "a") as file:
            file.write("# changed\n")
        hits, misses, folder = run(package.parent, tmp_path / "cache")
        assert (hits, misses) == (0, 1), source
        assert folder not in folders, source
        folders.add(folder)


def test_processes_that_start_together_compile_once(tmp_path):
    env = {**os.environ, "FULLBATCH_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    counts = sorted(tuple(map(int, process.communicate()[0].split()[:2])) for process in running)
    assert counts == [(0, 1), (1, 0), (1, 0)]


INTERRUPTED = """
import subprocess, sys
import numpy as np
from numba.core.dispatcher import _FunctionCompiler
from fullbatch.kernels.moments import dense_moments
def interrupt(*_):
    raise KeyboardInterrupt
_FunctionCompiler.compile = interrupt
try:
    dense_moments(np.ones((3, 2)), np.ones(3))
except KeyboardInterrupt:
    print(subprocess.run([sys.executable, "-c", sys.argv[1]], capture_output=True, text=True, timeout=100).stdout)
"""


def test_nobody_waits_for_a_process_that_was_interrupted(tmp_path):
    env = {**os.environ, "FULLBATCH_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", INTERRUPTED, PROGRAM]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[:2] == ["0", "1"], done.stderr


def fit_and_count():
    """Fit sparse rows with weights and offsets, and count the compiled functions that were found, and that were not."""
    import numpy as np
    import scipy.sparse

    from fullbatch import Linear, Objective, SerialEngine, array_sources, minimize
    from fullbatch.kernels import moments, passes
    from fullbatch.protocols import Curvature

    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array((50, 7), density=0.3, format="csr", dtype=np.float32, rng=rng)
    sources = array_sources(X, rng.normal(size=50), rng.random(50), rng.normal(size=50), blocks=3)
    blocks = SerialEngine().place(Linear("huber", passes="compiled"), sources)
    minimize(Objective(blocks, 0.1), np.zeros(8))
    for form in ("diagonal", "gram"):
        blocks.sum(Curvature(np.zeros(8), form))
    kernels = [one for module in (moments, passes) for one in vars(module).values() if hasattr(one, "stats")]
    return tuple(sum(sum(getattr(one.stats, of).values()) for one in kernels) for of in ("cache_hits", "cache_misses"))


HELD = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("free")
    except BlockingIOError:
        print("held")
"""


def test_who_compiles_a_kernel_holds_its_claim_until_it_lets_go(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_dir", lambda: str(tmp_path))
    claims = cache.cache(cache._claims.__wrapped__)
    monkeypatch.setattr(cache, "_claims", claims)

    def told():
        command = [sys.executable, "-S", "-c", HELD, str(tmp_path / "claims")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert cache._claim("kernel")
    assert told() == "held"
    cache._let_go()
    assert told() == "free"
    os.close(claims())
    assert not cache._claim("kernel")  # nobody can know: it is compiled here too
    cache._let_go()
    monkeypatch.setattr(cache, "fcntl", None)  # as on Windows
    assert not cache._claim("kernel")
    cache._let_go()


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FULLBATCH_CACHE_DIR", str(tmp_path / "file"))
    assert cache.cache_dir.__wrapped__() is None
    assert "no writable folder for compiled kernels: every process compiles its own. Set FULLBATCH" in caplog.text
    monkeypatch.setenv("FULLBATCH_CACHE_DIR", str(tmp_path / "own"))
    assert cache.cache_dir.__wrapped__() == str(tmp_path / "own" / f"kernels-{cache.sources_hash()}")
    monkeypatch.setattr(cache, "_is_own", lambda path: path.name != "own")  # somebody else could put code there
    assert cache.cache_dir.__wrapped__() is None
    monkeypatch.delenv("FULLBATCH_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_dir.__wrapped__().startswith(str(tmp_path / "fullbatch"))


def test_nothing_compiles_after_warming_up():
    assert [pair[:2] for pair in warm_up(["huber"], ["csr float32"])] == [("huber", "csr float32")]
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_cache as t\n"
    program += "print(*t.fit_and_count())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    hits, misses = map(int, done.stdout.split())
    assert (hits >= 3, misses) == (True, 0)


@pytest.mark.parametrize(
    ("storage", "form", "dtype"),
    [
        ("float32", DenseRows, "float32"),
        ("float64", DenseRows, "float64"),
        ("uint8", DenseRows, "uint8"),
        ("classes uint8", ByteRows, "uint8"),
        ("tiled float32", TiledRows, "float32"),
        ("tiled uint8", TiledRows, "uint8"),
        ("csr float32", SparseRows, "float32"),
        ("csr float64", SparseRows, "float64"),
        ("mixed float32", MixedRows, "float32"),
        ("mixed float64", MixedRows, "float64"),
    ],
)
def test_what_is_warmed_up_is_what_data_meets(storage, form, dtype):
    rows = block_of("softmax" if storage.startswith("classes") else "logistic", storage)._rows
    assert type(rows) is form
    assert (rows.data if form is SparseRows else rows.X).dtype == dtype
    assert storage in STORAGES
    assert len(STORAGES) == 10


def test_workers_on_ray_compile_nothing(ray_session):
    list(warm_up(["huber"], ["csr float32"]))
    # Variables of its own make it a process of its own, which has loaded nothing yet.
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    own = {"PYTHONPATH": paths, "FULLBATCH_PASSES": "compiled"}
    task = ray_session.remote(runtime_env={"env_vars": own})(fit_and_count)
    hits, misses = ray_session.get(task.remote())
    assert (hits >= 3, misses) == (True, 0)
