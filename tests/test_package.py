import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import fullbatch

ROOT = Path(__file__).parents[1]
HEAVY = ("numba", "scipy", "sklearn", "ray", "dask", "torch", "jax", "tensorflow", "keras", "pyarrow", "pandas", "rich")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_import_loads_nothing_heavy():
    program = "import sys, fullbatch; dir(fullbatch); print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", program).split())
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


@pytest.mark.parametrize(
    "module", ["fullbatch.protocols", "fullbatch.protocols.schema", "fullbatch.objective", "fullbatch.errors"]
)
def test_the_core_needs_numpy_only(module):
    loaded = set(run(sys.executable, "-c", f"import sys, {module}; print(*sys.modules)").split())
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


OPTIONAL = ("ray", "dask", "distributed", "torch", "jax", "tensorflow", "keras", "pandas", "polars", "fsspec", "pooch")


@pytest.mark.parametrize(
    "look",
    [
        "exec('from fullbatch import *', names := {}); assert set(names) >= set(fullbatch.__all__)",
        "assert 'RayEngine' in pydoc.render_doc(fullbatch)",
        "assert dict(inspect.getmembers(fullbatch)).keys() == set(fullbatch.__all__)",
        "assert all(hasattr(fullbatch, name) for name in dir(fullbatch))",
        "assert rlcompleter.Completer(vars()).complete('fullbatch.KerasM', 0).startswith('fullbatch.KerasModel')",
        "assert all(inspect.signature(getattr(fullbatch, name)) for name in ('RayEngine', 'DaskEngine', 'TorchModel'))",
        "doctest.DocTestFinder().find(fullbatch)",
        "import fullbatch.run.callbacks_ray_; assert pydoc.render_doc(fullbatch.run.callbacks_ray_.TuneReport)",
        "fullbatch.LogisticRegression(engine='ray'), fullbatch.GeneralizedLinearRegressor(engine='dask')",
    ],
)
def test_looking_around_needs_no_extra(look):
    """What is missing is told when an engine or a model is made, not when somebody looks what there is."""
    program = f"""
import doctest, inspect, pydoc, rlcompleter, sys
from importlib.machinery import PathFinder

class WithoutExtras(PathFinder):
    @classmethod
    def find_spec(cls, name, *where):
        return None if name.partition(".")[0] in {OPTIONAL!r} else super().find_spec(name, *where)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtras
import fullbatch
{look}
assert not set({OPTIONAL!r}).intersection(sys.modules)
"""
    run(sys.executable, "-c", program)


def test_looking_around_loads_no_extra():
    there = [name for name in OPTIONAL if find_spec(name)]
    assert {"ray", "dask", "torch"} <= set(there)
    program = "import inspect, sys, fullbatch; inspect.getmembers(fullbatch); print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", program).split())
    assert "fullbatch.engines.ray_" in loaded
    assert loaded.isdisjoint(set(OPTIONAL) - {"pandas"}), loaded.intersection(OPTIONAL)  # others load pandas


@pytest.mark.parametrize(
    ("package", "made", "extra"),
    [
        ("ray", "fullbatch.RayEngine()", "ray"),
        ("ray", "fullbatch.RayEngine.from_config()", "ray"),
        ("ray", "make_engine('ray')", "ray"),
        ("ray", "callbacks_ray_.RayMetrics()", "ray"),
        ("ray", "callbacks_ray_.TuneReport()", "ray"),
        ("ray.tune", "callbacks_ray_.TuneReport()", "ray"),
        ("dask", "fullbatch.DaskEngine()", "dask"),
        ("distributed", "make_engine('dask')", "dask"),
        ("ray", "fullbatch.LogisticRegression(engine='ray').fit(np.eye(2), [0, 1])", "ray"),
        ("dask", "fullbatch.LogisticRegression().fit(np.eye(2), [0, 1]).set_params(engine='dask')"
                 ".predict(fullbatch.array_sources(np.eye(2)))", "dask"),
        ("torch", "fullbatch.TorchModel(factory=list, loss=max)", "torch"),
        ("jax", "fullbatch.JaxModel(factory=list, apply=max, loss=max)", "jax"),
        ("tensorflow", "fullbatch.KerasModel(factory=list, loss=max)", "tensorflow"),
        ("keras", "fullbatch.KerasModel(factory=list, loss=max)", "tensorflow"),
    ],
)  # fmt: skip
def test_what_needs_a_missing_extra_says_so_when_it_is_made(package, made, extra):
    program = f"""
import sys
sys.modules[{package!r}] = None
import numpy as np, fullbatch
from fullbatch import callbacks_ray_
from fullbatch.engines import make_engine
try:
    {made}
except fullbatch.MissingExtraError as error:
    print(error)
"""
    assert f'pip install "fullbatch[{extra}]"' in run(sys.executable, "-c", program)


@pytest.mark.parametrize("package", ["ray", "dask", "torch", "jax", "tensorflow"])
def test_a_missing_extra_says_what_to_install(package):
    program = f"""
import sys
sys.modules[{package!r}] = None
import numpy as np, fullbatch
try:
    if {package!r} == "ray":
        fullbatch.RayEngine()
    elif {package!r} == "dask":
        fullbatch.DaskEngine()
    else:
        both = dict(factory=lambda: None, loss=lambda y, p: p)
        model = {{
            "torch": lambda: fullbatch.TorchModel(**both),
            "jax": lambda: fullbatch.JaxModel(apply=lambda p, X: X, **both),
            "tensorflow": lambda: fullbatch.KerasModel(**both),
        }}[{package!r}]()
        fullbatch.SerialEngine().place(model, fullbatch.array_sources(np.zeros((2, 1)), [0, 1]))
except fullbatch.MissingExtraError as error:
    print(error)
"""
    assert f'pip install "fullbatch[{package}]"' in run(sys.executable, "-c", program)


def test_nothing_but_errors_stands_outside_of_a_room():
    files = {path.name for path in (ROOT / "src" / "fullbatch").iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "errors.py", "py.typed"}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("callbacks", "Iterate"),
        ("callbacks_ray_", "TuneReport"),
        ("certificates", "Certificate"),
        ("checkpoints", "Checkpoint"),
        ("driver", "drive"),
        ("gradient_check", "check_gradient"),
        ("lockstep", "lockstep"),
        ("losses", "LOSSES"),
        ("models._framework", "Recipe"),
        ("objective", "Objective"),
        ("protocols", "ValueGrad"),
        ("result", "Notice"),
        ("sampling", "Draw"),
        ("saved", "save_state"),
        ("schema", "Schema"),
        ("testing", "check_block"),
        ("variables", "Standardized"),
    ],
)
def test_names_are_found_where_they_were_before_they_moved(module, name):
    program = f"""
from importlib import import_module
from fullbatch.{module} import {name}
import fullbatch.{module} as whole
assert whole.{name} is {name} is import_module("fullbatch.{module}").{name}
print(getattr({name}, "__module__", "fullbatch.kernels.losses"))
"""
    assert run(sys.executable, "-c", program).count(".") == 2  # in a room


def test_modules_that_moved_lack_what_they_never_had():
    with pytest.raises(ImportError, match=r"cannot import name 'nothing' from 'fullbatch\.driver'"):
        from fullbatch.driver import nothing  # noqa: F401
    assert fullbatch.driver.drive is sys.modules["fullbatch.run.driver"].drive


def test_every_public_name_is_there_and_documented():
    for name in fullbatch.__all__:
        if name == "__version__":
            continue
        assert getattr(fullbatch, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fullbatch.nothing  # noqa: B018


def test_no_print_outside_the_command_line():
    for path in (ROOT / "src").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printed = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printed, f"{path}: {printed}"


def test_version_stands_in_the_changelog():
    assert re.search(rf"^## .*{re.escape(fullbatch.__version__)}", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_wheel_installs_and_runs_in_an_empty_environment(tmp_path):
    """The wheel, in an environment of its own. Its dependencies are lent by this one: installing them again would
    fetch the same files, and what they are is read from the wheel's own metadata."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("fullbatch/py.typed", "fullbatch/datasets/mnist/NOTICE.md", "fullbatch/cli/__init__.py"):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "examples", "docs"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    lent = next(path for path in map(Path, sys.path) if (path / "numba").is_dir())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[>=<]", requirement)[0] for requirement in project["dependencies"]}
    metadata = run(python, "-c", "from importlib.metadata import requires; print(*requires('fullbatch'), sep='\\n')")
    assert wanted == {re.split(r"[>=<]", line)[0] for line in metadata.splitlines() if "extra ==" not in line}
    environment = {**os.environ, "PYTHONPATH": ""}
    program = (
        f"import sys; sys.path.append({str(lent)!r}); from fullbatch.cli import main; sys.argv[0] = 'fullbatch'; main()"
    )
    assert fullbatch.__version__ in run(python, "-c", program, "--version", env=environment, cwd=tmp_path)
    where = run(python, "-c", "import fullbatch; print(fullbatch.__file__)", env=environment, cwd=tmp_path)
    assert where.startswith(str(tmp_path / "venv"))
    run(python, "-c", program, "fit", "mnist", "--max-iter", "60", "--tol", "1e-3", "-q", "--save", "m.fb",
        env=environment, cwd=tmp_path)  # fmt: skip
    told = json.loads(run(python, "-c", program, "evaluate", "m.fb", "--json", env=environment, cwd=tmp_path))
    assert told["accuracy"] >= 0.88
