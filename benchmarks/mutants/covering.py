"""Which tests run through a line, and how long each takes: what `make coverage` has left."""

import ast
import itertools
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from coverage import CoverageData

from .forked import Tests
from .places import Mutant


class Covering:
    """The tests of each line.

    Parameters
    ----------
    folder : Path
        Where `coverage` and `tests*.xml` lie: coverage's data with a context for each test, pytest's times.
    """

    def __init__(self, folder: Path) -> None:
        self._data = CoverageData(str(folder / "coverage"))
        self._data.read()
        self._files = {re.sub(r".*src/fullbatch/", "", name): name for name in self._data.measured_files()}
        self._seconds = {
            (case.get("classname", ""), case.get("name", "")): float(case.get("time", 0))
            for path in sorted(folder.glob("tests*.xml"))
            for case in ElementTree.parse(path).iter("testcase")
        }

    def seconds(self, test: str) -> float:
        """What a test took; one second where it is not known."""
        path, *classes, name = re.split("::(?![^[]*])", test)
        return self._seconds.get((".".join([path.removesuffix(".py").replace("/", "."), *classes]), name), 1.0)

    def limit(self, test: str) -> float:
        """Seconds after which a test is taken for one that does not end."""
        return 20.0 + 10.0 * self.seconds(test)

    def tests(self, mutant: Mutant, source: str, most: float) -> Tests:
        """Those that run through a fault, for `most` seconds in all: for half of them the quickest of its own room,
        then those of the files that have most.
        """
        by_line = self._by_line(mutant.file)
        first, last = lines_of(source, mutant.line)
        reached = filter(
            _without_a_cluster, {test for line in range(first, last + 1) for test in by_line.get(line, ())}
        )
        quickest = sorted(reached, key=lambda test: (self.seconds(test), test))
        room = f"tests/{mutant.file.partition('/')[0]}/"
        own, others = [test for test in quickest if room in test], [test for test in quickest if room not in test]
        chosen = self._within(own, most / 2 if others else most)
        in_file = Counter(map(_file_of, others))
        others.sort(key=lambda test: (-in_file[_file_of(test)], _file_of(test)))
        chosen += self._within(others, most - sum(map(self.seconds, chosen)))
        files: Tests = {}
        for test in chosen:
            files.setdefault(_file_of(test), []).append(test)
        return dict(sorted(files.items(), key=lambda item: (room not in item[0], -len(item[1]), item[0])))

    def _within(self, tests: list[str], most: float) -> list[str]:
        """The first of them that take no longer; at least one."""
        ends = itertools.accumulate(map(self.seconds, tests))
        return [test for i, (test, end) in enumerate(zip(tests, ends, strict=True)) if end <= most or not i]

    @cache
    def _by_line(self, file: str) -> dict[int, set[str]]:
        if file not in self._files:
            return {}
        found = self._data.contexts_by_lineno(self._files[file])
        return {
            line: {context.rpartition("|")[0] for context in contexts if context} for line, contexts in found.items()
        }


def lines_of(source: str, line: int) -> tuple[int, int]:
    """First and last line of what runs a line's code: its statement within a function; the whole function, class or
    file where it runs once, when that is defined.
    """
    first, last, inside = 1, len(source.splitlines()), False
    node: ast.AST | None = ast.parse(source)
    while node is not None:
        inside = inside or (isinstance(node, ast.FunctionDef) and line >= node.body[0].lineno)
        node = next((child for child in _statements(node) if _first(child) <= line <= _last(child)), None)
        if node is not None and (inside or isinstance(node, ast.FunctionDef | ast.ClassDef)):
            first, last = _first(node), _last(node)
            body = [child.lineno for child in _statements(node)] if inside else []
            if body and line < min(body):  # the head of an if, a for, a with
                last = min(body) - 1
    return first, last


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def _without_a_cluster(test: str) -> bool:
    """Whether it may be one that needs no cluster: by its file, for what is left the process of the tests looks."""
    return not {"ray", "dask", "clusters", "hosts", "bytes", "docs", "examples"} & set(
        Path(_file_of(test)).stem.split("_")
    )


def _statements(node: ast.AST) -> list[Any]:
    return [
        child
        for name in ("body", "orelse", "handlers", "finalbody")
        for child in getattr(node, name, ())
        if isinstance(child, ast.stmt | ast.excepthandler)
    ]


def _first(node: Any) -> int:
    return min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))


def _last(node: Any) -> int:
    return int(node.end_lineno)
