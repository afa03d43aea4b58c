"""What formulas say, such as "claims ~ C(region) + bs(age, df=4) + power:age": their words are formulaic's.

A formula is no program: of Python it may have columns, numbers, and functions of a list, each of which makes of a row
what does not depend on other rows, but for what it has learnt before.
"""

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import MissingExtraError
from ..wording.messages import first_line

# Functions that learn from all rows, and others.
_LEARN = frozenset({"bs", "cc", "cr", "cs", "poly", "center", "scale"})
_PLAIN = frozenset({"C", "I", "log", "log2", "log10", "exp", "exp2", "exp10"})
_OF_NUMPY = frozenset(
    {"abs", "cbrt", "clip", "cos", "exp", "expm1", "floor", "log", "log10", "log1p", "log2", "maximum", "minimum"}
    | {"sign", "sin", "sqrt", "square", "tan", "tanh"}
)
_CONTRASTS = frozenset({"SAS", "diff", "helmert", "poly", "sum", "treatment"})
_PARTS: tuple[type[ast.AST], ...] = (ast.Expression, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.List)
_PARTS += (ast.Tuple, ast.keyword, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context)


@dataclass(frozen=True)
class Terms:
    """What a formula says.

    Parameters
    ----------
    text : str
        As it was given.
    target : str or None
        The column on its left side.
    variables : tuple of str
        Columns on its right side.
    levelled : frozenset of str
        Those that `C()` makes categories of.
    learn : tuple of str
        Its parts that learn from the rows.
    right : formula of formulaic
        Its right side.
    """

    text: str
    target: str | None
    variables: tuple[str, ...]
    levelled: frozenset[str]
    learn: tuple[str, ...]
    right: Any


@lru_cache(maxsize=64)
def terms_of(text: str, intercept: bool) -> Terms:
    """Read a formula.

    Parameters
    ----------
    text : str
        "target ~ terms", or "terms".
    intercept : bool
        Whether the model has an intercept, which is its own: a formula may say so too.

    Raises
    ------
    MissingExtraError
        formulaic is not installed.
    ValueError
        It cannot be read, or has what no formula may have.
    """
    try:
        from formulaic import Formula
        from formulaic.errors import FormulaicError
        from formulaic.parser.types import Term
    except ImportError:
        raise MissingExtraError("formulaic", "formula") from None
    try:
        whole = Formula(text)
    except (FormulaicError, SyntaxError, ValueError, TypeError, KeyError, IndexError) as error:
        if "`.` operator" in str(error):
            raise ValueError(
                f"formula {text!r}: '.' stands for no columns here: name them, as in 'y ~ a + b'"
            ) from None
        raise ValueError(f"formula {text!r} cannot be read: {first_line(error)}") from None
    left, right = getattr(whole, "lhs", None), getattr(whole, "rhs", whole)
    if not all(isinstance(term, Term) for side in (left or (), right) for term in side):
        raise ValueError(f"formula {text!r} has several parts: give one side of terms, or target ~ terms")
    target = None
    if left is not None:
        factors = [factor for term in left for factor in term.factors]
        if len(factors) != 1 or factors[0].eval_method.value != "lookup":
            raise ValueError(f"formula {text!r}: what stands before ~ must be the name of a column, the target")
        target = factors[0].expr
    constant = [term for term in right if str(term) == "1"]
    if intercept and not constant:
        raise ValueError(f"formula {text!r} leaves the intercept out: say so to the model, with fit_intercept=False")
    variables: dict[str, None] = {}
    levelled: set[str] = set()
    learn: dict[str, None] = {}
    for term in right:
        for factor in term.factors:
            how = factor.eval_method.value
            if how == "lookup":
                variables[factor.expr] = None
            elif how == "python":
                found = _checked(factor.expr, text)
                variables |= dict.fromkeys(found.variables)
                levelled |= found.levelled
                learn |= {factor.expr: None} if found.learns else {}
    if not variables:
        raise ValueError(f"formula {text!r} names no column: a model needs one at least")
    if target in variables:
        raise ValueError(f"formula {text!r} has the target {target!r} on both sides of ~: leave it out on the right")
    if not intercept:
        right = Formula([term for term in right if str(term) != "1"])
    return Terms(text, target, tuple(variables), frozenset(levelled), tuple(learn), right)


class _Names(ast.NodeVisitor):
    """Columns of a piece of Python, which is refused if it has anything but what a formula may have."""

    def __init__(self, piece: str, text: str) -> None:
        self._where = f"formula {text!r}: {piece!r}"
        self.variables: dict[str, None] = {}
        self.levelled: set[str] = set()
        self.learns = False

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, _PARTS):
            self._refuse(ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__)
        super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.variables[node.id] = None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id == "contr" and node.attr in _CONTRASTS):
            self._refuse(ast.unparse(node))

    def visit_Call(self, node: ast.Call) -> None:
        called, arguments = node.func, node.args
        if isinstance(called, ast.Attribute):
            of_numpy = isinstance(called.value, ast.Name) and called.value.id in ("np", "numpy")
            if not (of_numpy and called.attr in _OF_NUMPY):
                self.visit_Attribute(called)
        elif not (isinstance(called, ast.Name) and called.id in _LEARN | _PLAIN):
            self._refuse(ast.unparse(called) + "()")
        elif called.id == "C":
            if not (arguments and isinstance(arguments[0], ast.Name)):
                raise ValueError(f"{self._where}: C() makes categories of a column: name it first, as in C(region)")
            self.levelled.add(arguments[0].id)
        elif called.id in _LEARN:
            self.learns = True
        for one in (*arguments, *(keyword.value for keyword in node.keywords)):
            self.visit(one)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if not any(isinstance(one, ast.Name) for one in ast.walk(node)):  # 9**9**9 would never end
            self._refuse(f"the sum {ast.unparse(node)} of numbers alone")
        self.generic_visit(node)

    def _refuse(self, what: str) -> None:
        known = sorted(_LEARN | _PLAIN)
        raise ValueError(
            f"{self._where}: {what} is nothing that a formula may have: columns, numbers, {', '.join(known)}, "
            f"contr.{', contr.'.join(sorted(_CONTRASTS))}, and of numpy {', '.join(sorted(_OF_NUMPY))}. Make a column "
            "of it first"
        )


def _checked(piece: str, text: str) -> _Names:
    try:
        tree = ast.parse(piece, mode="eval")
    except SyntaxError:
        raise ValueError(
            f"formula {text!r}: {piece!r} cannot be read. In functions, columns have names of letters, digits and _"
        ) from None
    names = _Names(piece, text)
    names.visit(tree)
    return names
