"""Every Python block of the documentation runs, page by page, in the order in which it is read.

A page's blocks share one namespace and an empty working directory. After "```python" may stand what a block needs:
"ray" or "dask" (it runs in the session's Ray or Dask), "torch", "jax" or "tensorflow".
"""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md") if path.exists()]
FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,}) *(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=fence) *$", re.MULTILINE | re.DOTALL)
FRAMEWORKS = {"torch", "jax", "tensorflow"}
MARKS = {"ray", "dask", *FRAMEWORKS}


class Snippet(NamedTuple):
    line: int  # where its code begins, counted from 1
    marks: set[str]
    code: str


def snippets(text):
    """The Python blocks of a page."""
    found = []
    for match in FENCE.finditer(text):
        language, *marks = match["info"].split() or [""]
        if language == "python":
            found.append(Snippet(text.count("\n", 0, match.start("code")) + 1, set(marks), match["code"]))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page, request, tmp_path, monkeypatch):
    text = page.read_text()
    blocks = snippets(text)
    assert len(blocks) == text.count("```python"), "a Python block is indented, or not closed: it would not be run"
    needed = set().union(*(block.marks for block in blocks))
    assert needed <= MARKS, f"unknown marks {needed - MARKS}: use {MARKS}"
    if "ray" in needed:
        request.getfixturevalue("ray_session")
    if "dask" in needed:
        request.getfixturevalue("dask_client")
    without = {name for name in FRAMEWORKS if importlib.util.find_spec(name) is None}
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}  # as in a script: Ray sends classes that are defined here by value
    for block in blocks:
        if not block.marks & without:
            # Line numbers of tracebacks are those of the page.
            exec(compile("\n" * (block.line - 1) + block.code, page, "exec"), namespace)
    if needed & without:
        pytest.skip(f"all blocks ran but those that need {', '.join(needed & without)}, which is not installed")


def test_blocks_are_found_with_their_line_and_marks():
    text = "Text\n\n```python ray\na = 1\n```\n\n```text\nno\n```\n~~~~ python\nb\n~~~~\n"
    assert snippets(text) == [Snippet(4, {"ray"}, "a = 1\n"), Snippet(11, set(), "b\n")]


def test_every_dependency_is_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in project["dependencies"]:
        assert f"| `{requirement}` |" in explained, f"docs/dependencies.md does not say why {requirement} is there"
    for extra in project["optional-dependencies"]:
        assert f"| `{extra}` |" in explained, f"docs/dependencies.md does not say what the extra {extra} is for"


def test_every_public_name_is_on_the_api_page():
    import fullbatch

    described = (ROOT / "docs" / "api.md").read_text()
    for name, home in fullbatch._HOMES.items():
        module = f"fullbatch.{home}"
        assert f"::: {module}.{name}\n" in described or f"::: {module}\n" in described, f"{name} is not in docs/api.md"


def test_the_loss_that_is_shown_is_the_one_in_the_source():
    shown = [match["code"] for match in FENCE.finditer((ROOT / "docs" / "inside" / "loss.md").read_text())]
    source = (ROOT / "src" / "fullbatch" / "kernels" / "losses.py").read_text()
    assert len(shown) == 1
    assert shown[0] in source


def test_every_page_is_reached_from_one_of_the_two_doors():
    """MkDocs would only say so in passing."""
    listed = re.findall(r"^ +- .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md"))
