"""Where the code can be made wrong, and how: operators of cosmic-ray on the tree of a file."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from functools import cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

# Pure Python of these rooms; clusters and frameworks that run elsewhere or for minutes are left out by name.
ROOMS = ("solvers", "objective", "run", "data", "models", "estimators", "engines")
_LEFT_OUT = ("ray", "dask")

# Of cosmic-ray's operators those whose faults a person could make: `a << b` for `a + b` ends at once, and would only
# flatter the share of faults that is noticed.
_SWAPS = {
    "BinaryOperator": "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul FloorDiv_Div Mod_FloorDiv Mod_Mul Pow_Mul Pow_Div "
    "LShift_RShift RShift_LShift BitOr_BitAnd BitAnd_BitOr BitXor_BitOr",
    "ComparisonOperator": "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is",
    "UnaryOperator": "USub_UAdd Delete_Not Delete_Invert",
}
OPERATORS = (
    *(f"core/Replace{kind}_{swap}" for kind, swaps in _SWAPS.items() for swap in swaps.split()),
    *("core/AddNot", "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue"),
    *("core/ReplaceAndWithOr", "core/ReplaceOrWithAnd"),
    *("core/ReplaceBreakWithContinue", "core/ReplaceContinueWithBreak"),
    *("core/ExceptionReplacer", "core/NumberReplacer", "core/RemoveDecorator", "core/ZeroIterationForLoop"),
)


class Mutant(NamedTuple):
    """A fault that can be made.

    Parameters
    ----------
    file : str
        Below `src/fullbatch`.
    operator : str
        Its name in cosmic-ray.
    occurrence : int
        Which of the file's places for this operator, from 0.
    line, column : int
        Where it stands; lines are counted from 1, columns from 0.
    """

    file: str
    operator: str
    occurrence: int
    line: int
    column: int

    def text(self, source: str) -> str:
        """The file with the fault in it."""
        changed = mutate_code(source, _operator(self.operator), self.occurrence)
        assert changed is not None, f"{self} is not of this text"
        return changed

    def lines(self, source: str) -> tuple[str, str]:
        """The lines that differ, without and with the fault."""
        old, new = source.splitlines(), self.text(source).splitlines()
        if self.operator == "core/RemoveDecorator":
            return old[self.line - 1].strip(), ""
        changes = [
            change[1:] for change in SequenceMatcher(None, old, new, False).get_opcodes() if change[0] != "equal"
        ]
        before = [line.strip() for first, last, _, _ in changes for line in old[first:last]]
        after = [line.strip() for _, _, first, last in changes for line in new[first:last]]
        return " ".join(before), " ".join(after)


@cache
def _operator(name: str) -> Any:
    return get_operator(name)()


def files(package: Path) -> list[str]:
    """The files that are made wrong, below the package's folder."""
    found = (path.relative_to(package) for room in ROOMS for path in (package / room).glob("*.py"))
    return sorted(str(path) for path in found if not any(word in path.stem.split("_") for word in _LEFT_OUT))


def sample(package: Path, seed: int, count: int, only: Iterable[str] = ()) -> list[Mutant]:
    """`count` of all faults, by a seed; of these rooms and files alone if any are named.

    A fault is drawn by what it says, not by where it stands: where the code changes, the others stay in the sample.
    """
    names = set(only)
    chosen = [name for name in files(package) if not names or names & {name, name.partition("/")[0]}]
    found = [place for name in chosen for place in _drawn(name, (package / name).read_text(), seed)]
    differing = (mutant for _, mutant in sorted(found) if _differs(mutant, (package / mutant.file).read_text()))
    return list(islice(differing, count))


def _drawn(file: str, source: str, seed: int) -> Iterator[tuple[bytes, Mutant]]:
    """A file's faults, each with a number drawn for it: by the seed, the line, and the how-manieth alike it is."""
    lines, alike = source.splitlines(), Counter[str]()
    for mutant in mutants(file, source):
        said = f"{file} {mutant.operator} {lines[mutant.line - 1].strip()}"
        yield sha256(f"{seed} {said} {alike[said]}".encode()).digest(), mutant
        alike[said] += 1


def _differs(mutant: Mutant, source: str) -> bool:
    """Whether Python sees another program, and one it can read."""
    try:
        return ast.dump(ast.parse(mutant.text(source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False
    except AttributeError:  # cosmic-ray does not know how to replace an exception whose name has dots
        return False


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """Every fault of a file, but for those in what only type checkers read."""
    tree = get_ast(source)
    nodes = list(ast_nodes(tree))
    unread = {id(part) for node in nodes for hint in _hints(node) for part in ast_nodes(hint)}
    for name in OPERATORS:
        operator, occurrence = _operator(name), 0
        for node in nodes:
            for (line, column), _ in operator.mutation_positions(node):
                if id(node) not in unread:
                    yield Mutant(file, name, occurrence, line, column)
                occurrence += 1


def _hints(node: Any) -> list[Any]:
    """Type hints at a node, what is imported for them, and decorators of what is declared alone."""
    if node.type in ("param", "funcdef"):
        return [node.annotation] if node.annotation is not None else []
    if node.type == "decorated" and node.children[1].type == "funcdef" and _is_declared(node.children[1]):
        return [node.children[0]]
    if node.type == "annassign":
        return [node.children[1]]
    if node.type == "if_stmt" and node.children[1].get_code().strip() == "TYPE_CHECKING":
        return [node]
    return []


def _is_declared(function: Any) -> bool:
    """Whether all that a function does is `...`, as of a protocol."""
    return bool(function.get_suite().children[-1].get_code().strip() == "...")
