"""A model as an ONNX graph in double precision: columns in, prediction and probabilities out.

Without names, categories, missing values and an offset the input is one matrix, "X". Otherwise each column is an input
of its own, (rows, 1): numbers as double; levels as text or int64, double where whole numbers may be missing (NaN). Text
that is missing is the empty text.
"""

from typing import Any

import numpy as np

from ..errors import MissingExtraError
from ..models.links import LARGEST_ETA
from .formula import SMALL_CLOGLOG, Formula, Levels, plain, refuse_bytes

# Of the standard's operators, and of those for machine learning.
_OPSET, _ML_OPSET = 17, 4


def onnx_model(formula: Formula) -> Any:
    """The graph, as `onnx.ModelProto`.

    Raises
    ------
    MissingExtraError
        onnx is not installed.
    ValueError
        A column has the name of an output, labels are bytes, the link is probit, or missing text cannot be told from a
        level.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx") from None
    refuse_bytes(formula, "ONNX")
    if taken := {"prediction", "label", "probabilities", "decision"}.intersection(formula.columns):
        raise ValueError(f"a column is named {min(taken)!r}, as the graph's output is: rename it")
    graph = _Graph(onnx, formula.columns)
    eta = graph.predictors(formula)
    # NaN of what is infinite, which the model refuses: the difference is 0 otherwise.
    eta = graph.add("Add", eta, graph.add("Sub", eta, eta))
    if formula.classes is None:
        mean = graph.mean(formula.link, eta)
        graph.output(graph.add("Reshape", mean, graph.constant(np.array([-1]))), "prediction", np.float64, [None])
    else:
        graph.labels(formula, eta)
    made = onnx.helper.make_graph(graph.nodes, "fullbatch", graph.inputs, graph.outputs, graph.constants)
    opsets = [onnx.helper.make_opsetid("", _OPSET), onnx.helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = onnx.helper.make_model(made, opset_imports=opsets, producer_name="fullbatch", ir_version=8)
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Nodes as they are added, each behind those that it takes; none has the name of a column."""

    def __init__(self, onnx: Any, columns: list[str]) -> None:
        self._onnx, self._count, self._columns = onnx, 0, frozenset(columns)
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = self._name(kind)
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, values: Any) -> str:
        name = self._name("constant")
        values = np.asarray(values)
        if values.dtype.kind == "U":
            texts = [text.encode() for text in values.ravel().tolist()]
            tensor = self._onnx.helper.make_tensor(name, self._onnx.TensorProto.STRING, values.shape, texts)
        else:
            tensor = self._onnx.numpy_helper.from_array(values, name)
        self.constants.append(tensor)
        return name

    def _name(self, kind: str) -> str:
        while True:
            self._count += 1
            if (name := f"{kind}_{self._count}") not in self._columns:
                return name

    def input(self, name: str, kind: Any, shape: list[Any]) -> str:
        self.inputs.append(self._onnx.helper.make_tensor_value_info(name, self._type(kind), shape))
        return name

    def output(self, value: str, name: str, kind: Any, shape: list[Any]) -> None:
        self.nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self._onnx.helper.make_tensor_value_info(name, self._type(kind), shape))

    def _type(self, kind: Any) -> int:
        types = self._onnx.TensorProto
        return {np.float64: types.DOUBLE, np.int64: types.INT64, np.str_: types.STRING, np.bool_: types.BOOL}[kind]

    def predictors(self, formula: Formula) -> str:
        """(rows, K) linear predictors."""
        weights = np.array([one.weights for one in formula.numbers]).reshape(len(formula.numbers), formula.outputs)
        parts = []
        if formula.of_matrix:
            matrix = self.input("X", np.float64, [None, len(formula.numbers)])
            parts.append(self.add("MatMul", matrix, self.constant(weights)))
        elif formula.numbers:
            columns = []
            for one in formula.numbers:
                column = self.input(one.name, np.float64, [None, 1])
                columns.append(column if one.missing is None else self._filled(column, one.missing))
                if one.absent is not None:
                    absent = self.add("Cast", self.add("IsNaN", column), to=self._type(np.float64))
                    parts.append(self.add("MatMul", absent, self.constant(one.absent[None])))
            joined = self.add("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]
            parts.append(self.add("MatMul", joined, self.constant(weights)))
        parts += [self._of_levels(one, formula.ignore_unknown) for one in formula.categories]
        if formula.offset is not None:
            parts.append(self.input(formula.offset, np.float64, [None, 1]))
        total = self.constant(formula.intercept[None])
        for part in parts:
            total = self.add("Add", total, part)
        return total

    def _filled(self, column: str, value: float) -> str:
        return self.add("Where", self.add("IsNaN", column), self.constant(np.array(float(value))), column)

    def _of_levels(self, one: Levels, ignore_unknown: bool) -> str:
        """A row of the table of coefficients: of an unknown level the last one, of NaN unless it is ignored."""
        last = np.full((1, one.weights.shape[1]), 0.0 if ignore_unknown else np.nan)
        table = np.concatenate((one.weights, last))
        levels = one.levels.tolist()
        places = list(range(len(levels)))
        if one.levels.dtype.kind == "U":
            if "" in levels and one.missing not in (None, ""):
                raise ValueError(
                    f"column {one.name!r}: the empty text is a level, and it is what missing text is in ONNX, which "
                    f"counts as {one.missing!r} here: fit with another name for the level, or use SQL or scikit-learn"
                )
            if one.missing is not None and "" not in levels:
                place = levels.index(str(one.missing)) if one.missing in levels else len(one.levels)
                levels, places = [*levels, ""], [*places, place]
            elif one.missing is None and "" not in levels:
                table = np.concatenate((table, np.full_like(last, np.nan)))
                levels, places = [*levels, ""], [*places, len(table) - 1]
            column, keys = self.input(one.name, np.str_, [None, 1]), {"keys_strings": levels}
        else:
            if one.missing is None:
                column = self.input(one.name, np.int64, [None, 1])
            else:
                filled = self._filled(self.input(one.name, np.float64, [None, 1]), float(one.missing))
                column = self.add("Cast", filled, to=self._type(np.int64))
            keys = {"keys_int64s": levels}
        place = self.add(
            "LabelEncoder",
            column,
            domain="ai.onnx.ml",
            values_int64s=places,
            default_int64=len(one.levels),
            **keys,
        )
        flat = self.add("Reshape", place, self.constant(np.array([-1])))
        return self.add("Gather", self.constant(table), flat, axis=0)

    def mean(self, link: str, eta: str) -> str:
        """(rows, 1) means of linear predictors."""
        if link == "identity":
            return eta
        if link == "inverse":
            return self.add("Reciprocal", eta)
        if link == "logit":
            return self._logistic(eta)
        if link == "probit":
            raise ValueError("ONNX in double precision has no error function, which the probit link needs: use PMML")
        rate = self.add("Exp", self.add("Min", eta, self.constant(np.array(LARGEST_ETA))))
        if link == "log":
            return rate
        one = self.constant(np.array(1.0))
        large = self.add("Sub", one, self.add("Exp", self.add("Neg", rate)))
        # Of a small rate t that has lost digits: t (1 - t / 2 (1 - t / 3 (1 - t / 4))) has them.
        small = one
        for divisor in (4.0, 3.0, 2.0):
            part = self.add("Mul", self.add("Div", rate, self.constant(np.array(divisor))), small)
            small = self.add("Sub", one, part)
        is_small = self.add("Less", eta, self.constant(np.array(SMALL_CLOGLOG)))
        return self.add("Where", is_small, self.add("Mul", rate, small), large)

    def _logistic(self, eta: str) -> str:
        """Not by the operator Sigmoid, by which onnxruntime takes small values for the rest of 1: they become 0."""
        one = self.constant(np.array(1.0))
        return self.add("Reciprocal", self.add("Add", one, self.add("Exp", self.add("Neg", eta))))

    def labels(self, formula: Formula, eta: str) -> None:
        assert formula.classes is not None
        classes = formula.classes
        if formula.cuts is not None:
            probabilities = self._of_ordered(formula, eta)
            place = self.add("ArgMax", probabilities, axis=1, keepdims=0)
        elif formula.outputs == 1:
            positive = self.add("Greater", eta, self.constant(np.array(0.0)))
            place = self.add("Reshape", self.add("Cast", positive, to=self._type(np.int64)), self.constant([-1]))
        else:
            place = self.add("ArgMax", eta, axis=1, keepdims=0)
        kind: Any = np.str_ if classes.dtype.kind == "U" else np.float64 if classes.dtype.kind == "f" else np.int64
        if classes.dtype.kind == "b":
            kind = np.bool_
        values = classes if kind is np.str_ else classes.astype(kind)
        self.output(self.add("Gather", self.constant(values), place, axis=0), "label", kind, [None])
        if formula.cuts is not None:
            self.output(probabilities, "probabilities", np.float64, [None, len(classes)])
        elif formula.link == "margin":
            flat = self.add("Reshape", eta, self.constant([-1])) if formula.outputs == 1 else eta
            self.output(flat, "decision", np.float64, [None] + [formula.outputs] * (formula.outputs > 1))
        elif formula.outputs == 1:
            both = self.add("Concat", self.add("Neg", eta), eta, axis=1)
            self.output(self._logistic(both), "probabilities", np.float64, [None, 2])
        else:
            self.output(self.add("Softmax", eta, axis=1), "probabilities", np.float64, [None, len(classes)])

    def _of_ordered(self, formula: Formula, eta: str) -> str:
        """(rows, C) probabilities in the order of the labels: P(y > c - 1) P(y <= c) times what is between."""
        assert formula.cuts is not None
        assert formula.ranks is not None
        above = np.concatenate(([np.inf], formula.cuts))[formula.ranks]
        not_above = np.concatenate((-formula.cuts, [np.inf]))[formula.ranks]
        first = self._logistic(self.add("Add", eta, self.constant(above[None])))
        second = self._logistic(self.add("Sub", self.constant(not_above[None]), eta))
        between = self.constant(formula.between[formula.ranks][None])
        return self.add("Mul", self.add("Mul", first, second), between)


def feeds(formula: Formula, table: Any) -> dict[str, Any]:
    """Inputs of the graph from a frame of pandas, for `onnxruntime.InferenceSession.run`.

    Parameters
    ----------
    table : frame with the columns of the model, or matrix without names

    Raises
    ------
    ValueError
        Text is missing where the empty text, which stands for it, is a level.
    """
    if formula.of_matrix:
        return {"X": np.asarray(table, np.float64)}
    if isinstance(table, np.ndarray):
        table = dict(zip(formula.columns, table.T, strict=True))
    given: dict[str, Any] = {}
    for one in formula.numbers:
        given[one.name] = np.asarray(table[one.name], np.float64)[:, None]
    for category in formula.categories:
        column = np.asarray(table[category.name])
        if category.levels.dtype.kind == "U":
            holes = [value is None or value != value for value in column.tolist()]
            if any(holes) and category.missing is None and "" in category.levels.tolist():
                raise ValueError(f"column {category.name!r}: text is missing, and the empty text is a level")
            texts = ["" if hole else str(plain(value)) for hole, value in zip(holes, column.tolist(), strict=True)]
            given[category.name] = np.array(texts, object)[:, None]
        else:
            given[category.name] = column.astype(np.int64 if category.missing is None else np.float64)[:, None]
    if formula.offset is not None:
        given[formula.offset] = np.asarray(table[formula.offset], np.float64)[:, None]
    return given
