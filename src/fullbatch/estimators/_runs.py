"""What a saved model, and a card, tell of the runs that found it: one, or one for each target."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..run.result import Result
from ..saving.contents import Each, Either, Null, Number, Parts, Row, Rule, Text

# Of each run; numbers that are not finite, which JSON has not, are null.
RUNS = Each(
    Parts(
        {
            "value": Either(Null(), Number()),
            "remaining_r2": Either(Null(), Number()),
            "known_by": Text(),
            "message": Text(),
            "notices": Each(Row(Text(), Text())),
            "bound": Either(Null(), Number()),
            "bound_by": Text(),
            "certificate": Text(),
        }
    )
)

# Names of columns beside the features: of one target, or of several.
NAMED: dict[str, Rule] = {"target": Either(Null(), Text(), Each(Text())), "offset": Either(Null(), Text())}


def told_of(result: Result) -> dict[str, Any]:
    """What is kept of how a run ended."""
    bound, words, name = result.certificate
    return {
        "value": _finite(result.value),
        "remaining_r2": _finite(result.remaining_r2),
        "known_by": result.known_by,
        "message": result.message,
        "notices": [[notice.code, notice.words] for notice in result.notices],
        "bound": _finite(bound),
        "bound_by": name,
        "certificate": words,
    }


def in_a_card(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same for those who read it."""
    rest = ("notices", "bound", "bound_by", "certificate")
    return {
        **{name: value for name, value in told.items() if name not in rest},
        "notices": [f"[{code}] {words}" for code, words in told["notices"]],
        "certificate": {"bound": told["bound"], "name": told["bound_by"], "words": told["certificate"]},
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
