"""Linear models of one class against the rest, of several classes: they share the rows, and reads of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..kernels.losses import SquaredHinge
from ..protocols.answers import Each, Eval, Sample
from ..protocols.requests import Curvature, HessVec, OfClasses, RowSample, SampleGrams, ValueGrad
from ..protocols.rows import Rows
from ..protocols.schema import Description, Schema
from ..protocols.seams import Block, Blocks, Parameters
from ._linear_block import LinearBlock
from ._null import null_of
from .linear import Linear, usual_passes

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class OneAgainstRest:
    """The squared hinge loss of each class against the rest; of two classes, of the second against the first.

    Blocks of several classes answer `OfClasses`, for each class to the bit what the `Linear` model of that class and
    the rest answers (losses and gradients of sparse and categorical rows, where passes are compiled, to rounding), and
    the same bits whatever is asked of other classes. Blocks of two classes are those of `Linear`.

    Parameters
    ----------
    intercept : bool
        Whether there is one.
    class_weight : "balanced" or mapping of label to weight, optional
        As of `Linear`; of several classes, of the one, not of the rest against it.
    number : int
        The class whose model `outputs` and `class_factors` tell of; blocks are of all of them.
    passes : str
        As of `Linear`.
    """

    intercept: bool = True
    class_weight: str | Mapping[Any, float] | None = None
    number: int = 0
    passes: str = field(default_factory=usual_passes, kw_only=True)  # of this process, not of a worker

    takes_categories: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Linear("squared_hinge", self.intercept, self.class_weight)  # refuses wrong options here, not on a worker

    def outputs(self, schema: Schema) -> int:
        """One linear predictor; refuses data of one class."""
        Linear("softmax").outputs(schema)
        return 1

    def class_factors(self, schema: Schema) -> Array | None:
        """What each class's sample weights are multiplied by; None for 1."""
        factors = Linear("softmax", self.intercept, self.class_weight).class_factors(schema)
        if factors is None or len(factors) == 2:
            return factors
        return np.where(np.arange(len(factors)) == self.number, factors, 1.0)

    def of_two(self, schema: Schema) -> tuple[Linear, Schema]:
        """The model of the class and the rest, and the schema of the data of these two."""
        assert schema.classes is not None
        assert schema.class_weight is not None
        own = np.arange(len(schema.classes)) == (1 if len(schema.classes) == 2 else self.number)
        factors, weight = self.class_factors(schema), schema.class_weight
        weights = None if factors is None else {0: float(factors[~own][0]), 1: float(factors[own][0])}
        of_two = replace(schema, classes=np.array([0, 1]), class_weight=np.array([weight[~own].sum(), *weight[own]]))
        return Linear("squared_hinge", self.intercept, weights, passes=self.passes), of_two

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        return Linear("softmax", passes=self.passes).describe(rows, source)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> Block:
        """The block of these rows."""
        self.outputs(schema)
        assert schema.classes is not None
        assert rows.y is not None
        linear, of_two = self.of_two(schema)
        codes = schema.encode(rows.y)
        if len(schema.classes) == 2:
            return linear.build(replace(rows, y=codes), of_two, first_row)
        factors = Linear("softmax", self.intercept, self.class_weight).class_factors(schema)
        rows = replace(rows, y=np.zeros(len(codes), np.int64))
        block = replace(linear, class_weight=None).build(rows, of_two, first_row)
        return ClassesBlock(block, codes, np.ones(len(schema.classes)) if factors is None else factors)


class ClassesBlock(Block):
    """Rows whose targets are, for the model of each class, whether they are of it.

    Parameters
    ----------
    block : LinearBlock
        The rows with any targets, and with their own weights.
    codes : (n,) int array
        Number of each row's class.
    factors : (classes,) array
        What the weights of a class's rows are multiplied by in its own model.
    """

    answers = frozenset({OfClasses})

    def __init__(self, block: LinearBlock, codes: Array, factors: Array) -> None:
        self._codes, self._factors = codes.astype(np.float64), factors
        self._block, self.parameters = block.with_targets(self._codes), block.parameters
        self._weight: dict[int, float] = {}
        self._chosen: dict[int, Any] = {}

    def evaluate(self, request: OfClasses) -> Each:
        """Answer for each class with sums over this block's rows."""
        answers: list[Any] = [None] * len(request.classes)
        asked: list[tuple[int, Any]] = list(zip(request.classes, request.requests, strict=True))
        for double in (False, True):
            points = [place for place, (_, one) in enumerate(asked) if _is_point(one) and one.double == double]
            if points:
                numbers, thetas = [asked[place][0] for place in points], [asked[place][1].theta for place in points]
                for place, answer in zip(points, self._points(numbers, np.array(thetas), double), strict=True):
                    answers[place] = answer
        samples: dict[tuple[float, int], Sample] = {}
        for place, (number, one) in enumerate(asked):
            if answers[place] is None:
                answers[place] = self._alone(number, one)
            if isinstance(one, RowSample):  # of the same rows: their features are one array
                sample = samples.setdefault((one.fraction, one.seed), answers[place])
                answers[place] = replace(answers[place], parts=sample.parts)
        return Each(tuple(answers))

    def _points(self, numbers: Sequence[int], thetas: Array, double: bool) -> Iterator[Eval]:
        """Loss and gradient of some classes: one read of the rows."""
        block = self._block.in_double if double and self.parameters.dtype != "float64" else self._block
        found = block.of_classes(thetas, numbers, self._factors[list(numbers)])
        for number, (value, grad, squares) in zip(numbers, found, strict=True):
            if number not in self._weight:
                self._weight[number] = self._of_class(number)._total
            yield Eval(value, grad, self._weight[number], squares)

    def _alone(self, number: int, request: Any) -> Any:
        """What one class is asked for alone; the features that it chose last are kept for it."""
        block = self._of_class(number)
        block._latest_chosen = self._chosen.get(number)
        answer = block.evaluate(request)
        self._chosen[number] = block._latest_chosen
        return answer

    def _of_class(self, number: int) -> LinearBlock:
        own, factor = self._codes == number, self._factors[number]
        return self._block.with_targets(own.astype(np.float64), None if factor == 1.0 else np.where(own, factor, 1.0))


def _is_point(request: Any) -> bool:
    return isinstance(request, ValueGrad) and np.ndim(request.theta) == 1


class OfClass(Blocks):
    """The blocks of a `OneAgainstRest` model of several classes, as those of one of them.

    Parameters
    ----------
    blocks : Blocks
        Of all classes.
    model : OneAgainstRest
        Of the one.
    reads : list of int
        One number, to which each read of the data adds one, whichever classes it is for.
    """

    def __init__(self, blocks: Blocks, model: OneAgainstRest, reads: list[int]) -> None:
        self._blocks, self._reads, self.number, self.schema = blocks, reads, model.number, blocks.schema
        null = null_of(*model.of_two(self.schema), SquaredHinge())
        self.parameters: Parameters = replace(blocks.parameters, least=null.least, null=null.deviance)
        self.answers = frozenset({ValueGrad, HessVec, Curvature, RowSample, SampleGrams})

    def sum(self, request: Any) -> Any:
        """What is asked for of this class alone."""
        return self.sum_each([self.number], [request])[0]

    def sum_each(self, classes: Sequence[int], requests: Sequence[Any]) -> tuple[Any, ...]:
        """What is asked for of several classes: one read of the data."""
        self._reads[0] += 1
        each: Each = self._blocks.sum(OfClasses(tuple(classes), tuple(requests)))
        return each.answers

    def close(self) -> None:
        """Let go of the blocks of all classes."""
        self._blocks.close()
