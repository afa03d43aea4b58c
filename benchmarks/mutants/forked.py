"""Tests of one fault, in a process of its own that has the large packages imported already.

The fault is written into a copy of the project, and that copy is what the process, and whatever its tests start,
imports: nothing of fullbatch is imported before the fork.
"""

import compileall
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any, NamedTuple, NoReturn

import pytest

_COPIED = ("src", "tests", "docs", "examples", "benchmarks", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")
_COPIED += ("Makefile", "mkdocs.yml", "CONTRIBUTING.md")
_IMPORTED = (
    "numpy",
    "scipy.optimize",
    "scipy.sparse",
    "numba",
    "sklearn.linear_model",
    "pyarrow",
    "pandas",
    "hypothesis",
)
_COMMAND = ("-q", "-n", "0", "-p", "no:cacheprovider")
_CLUSTERS = {"ray_session", "dask_client"}  # fixtures that start what is not of this process
_TO_COLLECT = 120.0  # seconds of the process
_WAITING = 10.0  # so many times as long is too long for what waits
_TIMED_OUT = 99


Tests = dict[str, list[str]]  # by file


class Outcome(NamedTuple):
    """What the tests said: "survived", "failed", "timed out" or "no start" (fullbatch or its tests do not import), and
    the test that said so.
    """

    word: str
    test: str = ""


def prepare() -> None:
    """Import what all tests need and no fault is in."""
    for name in _IMPORTED:
        import_module(name)
    assert not any(name.partition(".")[0] == "fullbatch" for name in sys.modules), "imported before any fault is made"


def copy(root: Path, tree: Path) -> None:
    """The project as it stands; compiled code is told from changed code by its content, not by its time."""
    left_out = shutil.ignore_patterns("__pycache__", "results")
    for name in _COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, tree / name, ignore=left_out)
        else:
            shutil.copy(root / name, tree / name)
    compileall.compile_dir(tree / "src", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """A file with another text in it."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def run(tree: Path, tests: Tests, limit: Callable[[str], float]) -> Outcome:
    """The tests of each file in turn, until one fails or takes longer than its limit in seconds."""
    code, told = _in_a_fork(tree, tests, limit, ["-x"])
    last = told[-1] if told else ""
    if code == _TIMED_OUT:
        return Outcome("timed out", last)
    if code == pytest.ExitCode.OK:
        return Outcome("survived")
    return Outcome("failed", last) if last else Outcome("no start")


def prove(tree: Path) -> None:
    """That what runs is what was changed: no fault passes, a fatal one is noticed, an endless one is told apart."""
    path, file = tree / "src" / "fullbatch" / "engines" / "tree.py", "tests/engines/test_tree.py"
    source, tests = path.read_text(), {file: [f"{file}::test_worker_hands_on_few_parts"]}
    for old, new, word in (
        ("other + value", "other + value", "survived"),
        ("other + value", "other - value", "failed"),
        ("        level, index, value = part\n", "        while True:\n            pass\n", "timed out"),
        ("import threading", "import treading", "no start"),
    ):
        with changed(path, source.replace(old, new)):
            found = run(tree, tests, lambda test: 5.0)
        if found.word != word or old not in source:
            raise AssertionError(
                f"{new!r} in {path.name}: {found.word!r} instead of {word!r}\n{(tree / 'out').read_text()}"
            )


def failing(tree: Path, tests: Tests) -> set[str]:
    """Those of the tests that fail as the copy stands."""
    found: set[str] = set()
    for file, names in tests.items():
        code, told = _in_a_fork(tree, {file: names}, lambda test: 600.0, [])
        found.update(told)
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            found.update(names)
    return found


def _in_a_fork(tree: Path, tests: Tests, limit: Callable[[str], float], options: list[str]) -> tuple[int, list[str]]:
    """How pytest ended, and the tests that failed."""
    told = tree / "told"
    told.write_text("")
    child = os.fork()
    if child == 0:
        _here(tree, tests, limit, options, told)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(ProcessLookupError):  # what tests have started and a fault or a time-out has left
        os.killpg(child, signal.SIGKILL)
    return code, told.read_text().splitlines()


def _here(tree: Path, tests: Tests, limit: Callable[[str], float], options: list[str], told: Path) -> NoReturn:
    code: int = pytest.ExitCode.INTERNAL_ERROR
    try:
        os.setsid()
        os.chdir(tree)
        out = os.open(tree / "out", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.path[:0] = [str(tree / "src"), str(tree)]
        os.environ |= {"PYTHONPATH": os.pathsep.join(sys.path[:2]), "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        for module in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
            del sys.modules[module]  # tests of the copy import its own
        for file, names in tests.items():
            code = pytest.main([*_COMMAND, *options, f"--rootdir={tree}", file], plugins=[_Watch(names, limit, told)])
            if code == pytest.ExitCode.NO_TESTS_COLLECTED:  # all of them start clusters
                code = pytest.ExitCode.OK
            if code != pytest.ExitCode.OK:
                break
    finally:
        sys.stdout.flush()
        os._exit(code)


class _Watch:
    """Chooses tests, says which fails, ends the process where one does not end."""

    def __init__(self, tests: list[str], limit: Callable[[str], float], told: Path) -> None:
        self._rank = {test: i for i, test in enumerate(tests)}
        self._limit, self._told = limit, told
        self._collecting = self._started("", _TO_COLLECT)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        self._collecting.set()
        here = [one for one in items if one.nodeid in self._rank and not _CLUSTERS & set(one.fixturenames)]
        items[:] = sorted(here, key=lambda item: self._rank[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, Any, Any]:
        done = self._started(item.nodeid, self._limit(item.nodeid))
        try:
            return (yield)
        finally:
            done.set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._tell(report.nodeid)

    def _started(self, test: str, seconds: float) -> threading.Event:
        """End the process after so many seconds of its own, however busy the machine is; set what this returns to stop
        the clock.
        """
        done = threading.Event()

        def watch() -> None:
            busy, begun = time.process_time(), time.monotonic()
            while not done.wait(0.1):
                if time.process_time() - busy > seconds or time.monotonic() - begun > _WAITING * seconds:
                    self._end(test)

        threading.Thread(target=watch, daemon=True).start()
        return done

    def _end(self, test: str) -> None:
        self._tell(test)
        os._exit(_TIMED_OUT)

    def _tell(self, test: str) -> None:
        with self._told.open("a") as file:
            file.write(f"{test}\n")
