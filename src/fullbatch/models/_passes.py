"""Which passes answer for a block: compiled ones, or plain NumPy where data is so small that compiling takes longer.

Small is told by shapes alone, and by those of all the data where there is a schema, so that it depends neither on
workers nor on what is compiled already: the bits of a fit would.
"""

import os
from importlib import import_module
from typing import Any

from ..kernels.wide import LEAST_COLUMNS
from ..protocols.schema import Schema

CHOICES = ("auto", "plain", "compiled")
VARIABLE = "FULLBATCH_PASSES"

# Up to so many rows, values of them, and products with coefficients, which take a few milliseconds on one thread. Of
# more rows the losses cost NumPy several times what they cost a compiled loop; of wide rows, whose products are nearly
# all, it is about as fast.
_ROWS, _VALUES, _PRODUCTS = 2**13, 2**23, 2**26
# Values of a block that NumPy describes: it copies them as float64.
_DESCRIBED = 2**19


def usual_passes() -> str:
    """The choice where none is made: that of the environment, else "auto"."""
    return os.environ.get(VARIABLE) or "auto"


def check(choice: Any) -> None:
    """Refuse what is no choice."""
    if choice not in CHOICES:
        raise ValueError(f"passes must be one of {', '.join(CHOICES)}, got {choice!r} (see also {VARIABLE})")


def named(name: str) -> Any:
    """The module of passes, "plain" or "compiled"; imported when it is needed, since kernels load slowly."""
    return import_module(f"._{name}", __package__)


def of_block(choice: str, rows: int, values: float) -> Any:
    """The passes that describe a block of so many rows and values."""
    small = rows <= _ROWS and values <= _DESCRIBED
    return named(("plain" if small else "compiled") if choice == "auto" else choice)


def of_all(choice: str, loss: Any, outputs: int, schema: Schema) -> Any:
    """The passes of all blocks: compiled ones for losses that NumPy has no formulas for, and for very many columns."""
    from . import _plain

    if choice == "compiled" or type(loss) not in _plain.FORMULAS or schema.n_features > LEAST_COLUMNS:
        return named("compiled")
    values = schema.n_rows * (schema.dense_columns + schema.looked_up)
    small = schema.n_rows <= _ROWS and values <= _VALUES and values * outputs <= _PRODUCTS
    return _plain if small or choice == "plain" else named("compiled")
