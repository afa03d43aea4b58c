"""A network that is made for the data: its recipe is known once columns, and classes or targets, are counted."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, ModelError
from ..protocols.rows import Rows
from ..protocols.schema import Description, Problem, Schema
from ..wording.messages import first_line
from .describe import as_numbers, describe, not_finite
from .framework import FrameworkBlock, Recipe
from .linear import Linear, bad_target

Array = npt.NDArray[Any]

# Rows that a new network is tried on, drawn from a normal distribution.
_TRIED = 4


@dataclass(frozen=True)
class SizedNetwork:
    """A network of any framework, for data of any width.

    Parameters
    ----------
    recipe_for : callable
        `recipe_for(n_features, n_outputs)` gives the recipe; it is sent to the workers.
    labels : bool
        Targets are classes: there is an output for each, or one for two. Otherwise numbers, one output for each.
    class_weight : "balanced" or mapping of label to weight, optional
        Multiplies the sample weights of each class, as in `Linear`.
    targets : int
        How many numbers are a row's target.
    loss : str or None
        The loss of numbers by name, as of `Linear`, which tells what targets it takes; None where anything goes.
    """

    recipe_for: Callable[[int, int], Recipe]
    labels: bool
    class_weight: str | Mapping[Any, float] | None = None
    targets: int = 1
    loss: str | None = None

    def __post_init__(self) -> None:
        if self.labels:
            Linear("softmax", class_weight=self.class_weight)  # refuses wrong weights here, not on a worker

    @property
    def _softmax(self) -> Linear:
        """The linear model of the same classes, whose weights are the same."""
        return Linear("softmax", class_weight=self.class_weight)

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        if rows.offset is not None:
            raise DataError(f"{source}: a network has no use for an offset: give it as a column of X")
        if self.labels or rows.y is None:
            return describe(rows, source, self.labels)
        y = as_numbers(rows.y, f"{source}: target y")
        described = describe(replace(rows, y=y if y.ndim == 1 else y[:, 0]), source, labels=False)
        problems = [described.problem]
        if y.ndim > 1 and len(wrong := np.argwhere(~np.isfinite(y))):
            row, column = (int(one) for one in wrong[0])
            what = not_finite(f"target y, column {column},", y[row, column])
            problems.insert(0, Problem(row, None, what, source, row))
        if self.loss is not None:
            problems.append(bad_target(y, self.loss, None, source))
        first = min((one for one in problems if one is not None), key=lambda problem: problem.row, default=None)
        return replace(described, problem=first)

    def outputs(self, schema: Schema) -> int:
        """How many a network is asked to have: one for each class, or for each target."""
        if not self.labels:
            return self.targets
        assert schema.classes is not None
        self._softmax.outputs(schema)  # refuses one class alone
        return len(schema.classes)

    def class_factors(self, schema: Schema) -> Array | None:
        """What the sample weights of each class are multiplied by; None for 1."""
        return self._softmax.class_factors(schema) if self.labels else None

    def recipe(self, schema: Schema) -> Recipe:
        """The recipe for this data, made once in each process."""
        sizes = schema.n_features, self.outputs(schema)
        made: tuple[tuple[int, int], Recipe] | None = self.__dict__.get("_made")
        if made is None or made[0] != sizes:
            recipe = self.recipe_for(*sizes)
            self._try_outputs(recipe, *sizes)
            made = self.__dict__["_made"] = (sizes, recipe)
        return made[1]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_made"}

    def start(self, schema: Schema) -> Array:
        """The parameters that a fit begins with, (size,) float64."""
        return self.recipe(schema)._program(schema.n_features).start()

    def build(self, rows: Rows, schema: Schema, first_row: int) -> FrameworkBlock:
        """The block of these rows."""
        assert rows.y is not None
        recipe = self.recipe(schema)
        factors = self.class_factors(schema)
        if factors is not None:
            of_class = factors[schema.encode(rows.y)]
            rows = replace(rows, weight=of_class if rows.weight is None else of_class * rows.weight)
        return recipe.build(rows, schema, first_row)

    def _try_outputs(self, recipe: Recipe, n_features: int, n_outputs: int) -> None:
        """Refuse a network that does not take these rows, or has other outputs than these targets need."""
        X = np.random.default_rng(0).standard_normal((_TRIED, n_features))
        program = recipe._program(n_features)
        try:
            given = recipe.predict(program.start(), X)
        except Exception as error:  # of the user's own code, of any kind
            raise ModelError(f"the network fails on rows of {n_features} features: {first_line(error)}") from error
        one_logit = self.labels and n_outputs == 2
        wanted = {(_TRIED, n_outputs)} | ({(_TRIED,), (_TRIED, 1)} if one_logit or n_outputs == 1 else set())
        if given.shape not in wanted:
            needed = f"{n_outputs} classes need {n_outputs}" if self.labels else f"{n_outputs} target(s) need as many"
            raise ModelError(
                f"the network gives outputs of shape {given.shape} for {_TRIED} rows: {needed} for each row"
                f"{', or 1' if one_logit else ''}"
            )
        several = self.labels and given.ndim == 2 and given.shape[1] > 1
        if several and (given >= 0).all() and np.allclose(given.sum(axis=1), 1.0, atol=1e-4):
            raise ModelError(
                "the network gives probabilities, and its outputs must be logits, of which the loss and predict_proba "
                "make probabilities: leave out the softmax at its end"
            )


def asked_for(function: Callable[..., Any], what: str, **known: Any) -> dict[str, Any]:
    """Those of the arguments that a user's function asks for by their names.

    Parameters
    ----------
    function : callable
        Of the user.
    what : str
        Its name here, for messages.
    **known
        What it may ask for.

    Raises
    ------
    TypeError
        It needs something else.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of what is not written in Python
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = {one.name: known[one.name] for one in parameters if one.kind in named and one.name in known}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for one in parameters:
        if one.default is inspect.Parameter.empty and one.kind not in variadic and one.name not in taken:
            raise TypeError(
                f"{what} needs an argument {one.name!r}, which nobody gives: it is called with "
                f"{' and '.join(known)}, by name, where it has parameters of these names. Use functools.partial"
            )
    return taken
