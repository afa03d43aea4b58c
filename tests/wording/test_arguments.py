"""Wrong arguments outside the estimators: refused by name, with what was given, before the first pass."""

from dataclasses import fields

import numpy as np
import pytest
from nonsense import Nothing

from fullbatch import (
    LBFGS,
    Checkpoint,
    History,
    LeastSquares,
    Linear,
    Newton,
    NewtonCG,
    Objective,
    SampledLBFGS,
    ScipyLBFGSB,
    SerialEngine,
    Standardized,
    array_sources,
    minimize,
    ridge_path,
)

NO_COUNT = [None, "9", True, np.True_, 2.5, np.float64(3), np.nan, np.inf, [3], -1, np.int64(-1), Nothing()]
NO_NUMBER = [None, "1", False, np.nan, -1, -1e-300, [1.0], np.ones(1), 1j, Nothing()]
NO_FLAG = [None, 0, 1, "no", [], Nothing(), np.ones(1)]
NO_PRECISION = ["float16", "single", 64, np.float32, ["float32"], np.array(["float32", "float64"])]


def least(least, values=NO_COUNT):
    return [*values, *range(least)]


@pytest.fixture(scope="module")
def blocks():
    rng = np.random.default_rng(0)
    return SerialEngine().place(Linear("squared"), array_sources(rng.standard_normal((30, 2)), rng.standard_normal(30)))


ANY_SIGN = [value for value in NO_COUNT if not (isinstance(value, int | np.integer) and value < 0)]
OPTIONS = {
    LBFGS: {"memory": least(1), "precision": NO_PRECISION},
    Newton: {"max_bytes": [*NO_NUMBER, np.inf], "precision": NO_PRECISION},
    NewtonCG: {"max_products": least(1), "precision": NO_PRECISION},
    LeastSquares: {"max_bytes": [*NO_NUMBER, np.inf]},
    ScipyLBFGSB: {"memory": least(1), "max_line_search": least(1), "pgtol": NO_NUMBER},
    SampledLBFGS: {
        "memory": least(1),
        "rows_per_column": [*(value for value in NO_NUMBER if value is not None), 0],
        "rank": [value for value in NO_COUNT if value is not None],
        "most_builds": least(1),
        "plain_iterations": NO_COUNT,
        "every_step": NO_FLAG,
        "coupled": NO_FLAG,
        "on_workers": NO_FLAG,
        "inner_steps": NO_COUNT,
        "max_bytes": [*NO_NUMBER, np.inf],
        "seed": ANY_SIGN,
        "precision": NO_PRECISION,
    },
    Checkpoint: {"every": NO_NUMBER, "keep": least(1), "path": [None, 3, b"run", ["run"], Nothing()]},
}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for kind, options in OPTIONS.items() for name, values in options.items() for value in values],
    ids=repr,
)
def test_a_wrong_option_is_named(kind, name, value):
    options = {"path": "run", name: value} if kind is Checkpoint else {name: value}
    with pytest.raises(ValueError, match=rf"^{name} must be ") as caught:
        kind(**options)
    assert repr(value) in str(caught.value)


def test_every_option_of_every_solver_is_tried():
    for kind, options in OPTIONS.items():
        public = {field.name for field in fields(kind) if not field.name.startswith("_")} - {"facts"}
        assert set(options) == public, kind


@pytest.mark.parametrize("kind", [LBFGS, SampledLBFGS, ScipyLBFGSB])
def test_numbers_of_numpy_are_options(kind):
    assert kind(memory=np.int64(7)) == kind(memory=7)


ARGUMENTS = {
    "solver": [None, 3, True, "", b"lbfgs", [], Nothing(), print, LBFGS, [LBFGS()], History()],
    "tol": NO_NUMBER,
    "max_iter": NO_COUNT,
    "callbacks": [None, 3, "", "print", [print, None], [3], {print}, Nothing()],
    "checkpoint": [3, True, b"run", ["run"], Nothing(), Checkpoint],
    "check_gradient": NO_FLAG,
    "theta0": [None, "here", Nothing(), [1.0, "a", 2.0], [[1.0], [1.0, 2.0]], {}],
    "objective": [None, "F", 3, Objective],
}


@pytest.mark.parametrize(("name", "value"), [(name, one) for name, all_ in ARGUMENTS.items() for one in all_], ids=repr)
def test_a_wrong_argument_of_minimize_is_named(blocks, name, value):
    objective = Objective(blocks)
    arguments = {"objective": objective, "theta0": np.zeros(objective.size), name: value}
    with pytest.raises(ValueError, match=rf"^(unknown )?{name} ") as caught:
        minimize(**arguments)
    assert (value.__name__ if isinstance(value, type) else repr(value)) in str(caught.value) or name == "theta0"
    assert objective.num_passes == 0


def test_what_minimize_takes(blocks):
    objective = Objective(blocks)
    history = History()
    for callbacks in (history, [history], (history,)):  # a single one needs no list
        result = minimize(
            objective, [0, 0, 0], solver="lbfgs", tol=np.float32(0.0), max_iter=np.int64(2), callbacks=callbacks
        )
        assert result.iterations == 2
    assert len(history.value) == 9
    assert minimize(objective, np.zeros(3), tol=np.inf, check_gradient=np.True_).success


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("l2", value) for value in ("a", None, np.nan, -1.0, [1.0, "a", 2.0], [1.0, -1.0, 0.0], Nothing(), {}, 1j)),
        *(("variables", value) for value in ("scaled", 3, Nothing(), Objective)),
        *(("draw", value) for value in ("all", 3, Nothing(), {})),
        *(("blocks", value) for value in (None, "blocks", 3, np.eye(3))),
    ],
    ids=repr,
)
def test_a_wrong_argument_of_an_objective_is_named(blocks, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be ") as caught:
        Objective(**{"blocks": blocks, name: value})
    assert repr(value) in str(caught.value)


def test_what_an_objective_takes(blocks):
    schema = blocks.schema
    for l2 in (0, 1, np.float32(0.5), [1.0, 0.0, 2.0], np.ones(3, int)):
        objective = Objective(blocks, l2, Standardized(schema, 1))
        wanted = np.where([True, True, False], l2, 0.0) if np.ndim(l2) == 0 else l2
        assert objective.l2.tolist() == list(wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(({"loss": loss}, "unknown loss .*: choose from squared") for loss in (None, 3, ["huber"], {}, b"huber")),
        *(({"loss": "softmax", "intercept": flag}, "intercept must be True or False, got") for flag in NO_FLAG),
        *(
            ({"loss": "softmax", "class_weight": weight}, "class_weight must be 'balanced' or a mapping, got")
            for weight in ("other", 3, [1.0], np.ones(2), np.array("balanced"), Nothing())
        ),
        *(
            ({"loss": "softmax", "class_weight": {"b": weight}}, "class_weight of 'b' is .*, it must be a number")
            for weight in (None, "a", "1", True, -1.0, np.nan, np.inf, [1.0], np.ones(2))
        ),
        *(
            ({"loss": "huber", "options": options}, "options of the loss must be a mapping of names to numbers")
            for options in ("delta", 3, ["delta"], np.ones(1), Nothing())
        ),
        ({"loss": "huber", "options": {"delta": True}}, "its option 'delta' must be a number, got True"),
        ({"loss": "huber", "options": {"delta": [1.0]}}, r"its option 'delta' must be a number, got \[1.0\]"),
        ({"loss": "huber", "options": {None: 1.0}}, "the huber loss has no option None: it has delta"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_wrong_argument_of_a_linear_model_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Linear(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"l2": "a"}, "l2 must be numbers that are finite and not negative, got 'a'"),
        ({"l2": [1.0, -2.0]}, r"l2 must be .*, got \[1.0, -2.0\]"),
        ({"folds": "5"}, "folds must be a whole number of 0 or more, got '5'"),
        ({"folds": -1}, "folds must be 0 or more, got -1"),
        ({"folds": 1}, "folds must be 0, or 2 or more, got 1"),
        ({"folds": 2, "seed": 0.5}, "seed must be a whole number, got 0.5"),
    ],
)
def test_a_wrong_argument_of_a_ridge_path_is_named(blocks, arguments, message):
    with pytest.raises(ValueError, match=message):
        ridge_path(Objective(blocks), **{"l2": [1.0], **arguments})
