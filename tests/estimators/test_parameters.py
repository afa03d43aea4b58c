"""Wrong parameters of the estimators: refused before any data is read, by name, with what was given."""

import re
from inspect import Parameter, isabstract, signature

import numpy as np
import pytest
from nonsense import Nothing
from sklearn import linear_model, svm

import fullbatch
from fullbatch import (
    Checkpoint,
    GeneralizedLinearRegressor,
    History,
    LogisticRegression,
    SerialEngine,
    ThreadEngine,
    array_sources,
)
from fullbatch.estimators import LinearEstimator, NetworkEstimator
from fullbatch.solvers.lbfgs import LBFGS

X = np.random.default_rng(0).standard_normal((40, 2))
Y = (X[:, 0] > 0.1).astype(int)

KINDS = [
    kind
    for kind in (getattr(fullbatch, name) for name in fullbatch.__all__)
    if isinstance(kind, type) and issubclass(kind, LinearEstimator | NetworkEstimator) and not isabstract(kind)
]


def _of_sklearn(kind):
    """The estimator of that name."""
    return getattr(linear_model, kind.__name__, None) or getattr(svm, kind.__name__, None)


class Unread:
    def read(self):
        raise AssertionError("the data was read")


NOTHING = [None, "no", b"yes", [], {}, Nothing(), np.zeros(2), 1j]
NO_FLAG = [*NOTHING, 0, 1, 1.0, "True", np.int64(1), np.array(True)]
NO_NUMBER = [*NOTHING, "1", True, np.True_, np.nan, -1, -1e-9, -np.inf, [1.0], np.array([1.0])]
NO_COUNT = [*NOTHING, "9", True, np.False_, -1, 2.0, np.float64(3), 1.5, np.inf, np.nan, [3]]
NO_OBJECT = [None, 3, True, "", "adam", b"lbfgs", [], {}, Nothing(), print, np.array(["lbfgs"])]

NO_RULE = [value for value in NOTHING if not isinstance(value, dict)]

NO_COLUMNS = [
    "no",
    b"yes",
    Nothing(),
    1j,
    True,
    np.True_,
    "1",
    np.nan,
    [np.nan],
    [[1.0]],
    ["a"],
    {"x": "1"},
    {"x": None},
]

SHARED = {
    "l1_ratio": [*NO_NUMBER, 1.5, np.inf],
    "lower_bounds": NO_COLUMNS,
    "upper_bounds": NO_COLUMNS,
    "tol": [*NO_NUMBER, np.inf],
    "fit_intercept": NO_FLAG,
    "warm_start": NO_FLAG,
    "standardize": NO_FLAG,
    "max_iter": NO_COUNT,
    "verbose": [value for value in NO_COUNT if value is not True and value is not np.False_],
    "missing": [*NO_RULE, "guess", True, 0, ["mean"], {"x": None}, {"x": np.nan}, {"x": [1]}],
    "missing_indicator": [*NO_FLAG, True],
    "formula": [*NOTHING[2:], True, 3],
    "base": [*NO_RULE[1:], True, 0, "last", ["a"], {"x": None}, {"x": 1.5}, {0: "a"}],
    "unknown": [*NOTHING, "guess", True, 0, "ERROR", ["error"]],
    "solver": [*NO_OBJECT, "Newton", LBFGS, [LBFGS()], History()],
    "engine": [*NO_OBJECT, "spark", "Threads", SerialEngine, [SerialEngine()], LBFGS()],
    "checkpoint": [3, True, b"run", ["run"], {"path": "run"}, Nothing(), print, Checkpoint, History()],
    "callbacks": [
        None,
        print,
        History(),
        "",
        "print",
        b"print",
        3,
        [None],
        [print, "print"],
        [3],
        {},
        {print},
        Nothing(),
    ],
}
NO_GROUPS = ["column", "", b"columns", 3, 2.5, True, [], {}, Nothing(), [1.5, 2.5], [True, False], [[1], [2]],
    {"x": None}, {"x": 1.5}, {3: "a"}]  # fmt: skip
GROUPED = {
    "groups": NO_GROUPS,
    "group_ratio": ["1", True, np.nan, -0.1, 1.5, [0.5], {}, Nothing()],
    "group_weights": ["columns", 3, 1.5, True, [1.0], {"x": -1.0}, {"x": np.inf}, {"x": "1"}, {"x": None}, Nothing()],
}
OF_CLASSES = {
    **SHARED,
    **GROUPED,
    "C": [*NO_NUMBER, 0, 0.0],
    "penalty": ["l3", "L2", b"l2", True, 3, ["l2"], Nothing()],
    "dual": ["no", 2, [True], Nothing()],
    "intercept_scaling": ["1", 0, 2.0, True, [1.0]],
    "random_state": ["0", 1.5, True, [0], Nothing()],
    "n_jobs": ["2", 1.5, True, [2]],
    "l2": [*(value for value in NO_NUMBER if value is not None), np.inf],
    "class_weight": [
        "other", "", b"balanced", 3, 2.5, True, [1.0, 2.0], {0}, Nothing(), np.ones(2), np.array("balanced"),
        {0: None}, {0: "a"}, {0: "1"}, {0: True}, {0: -1.0}, {0: np.nan}, {1: np.inf}, {0: 1.0, 1: [2.0]},
        {0: np.ones(2)},
    ],
}  # fmt: skip
OF_NUMBERS = {
    **SHARED,
    **GROUPED,
    "alpha": [*NO_NUMBER, np.inf],
    "P1": [*NO_COLUMNS, -1.0, [1.0, -1.0]],
    "P2": [*NO_COLUMNS, -1.0, {"x": -1}],
    "loss": [*NOTHING, "logistic", "Squared", "softmax", 3, True, ("squared",)],
    "family": [*NOTHING[1:], "squared", "Poisson", 3, True, ("poisson",)],
    "link": [*NOTHING, "softmax", "Log", 3, True],
    "loss_options": ["delta", 3, True, ["delta"], [("delta", 1.0)], {1.0}, Nothing(), np.ones(1)],
}


def refused(parameters):
    return [(name, value) for name, values in parameters.items() for value in values]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(LogisticRegression, *wrong) for wrong in refused(OF_CLASSES)]
    + [(GeneralizedLinearRegressor, *wrong) for wrong in refused(OF_NUMBERS)],
    ids=repr,
)
def test_a_wrong_parameter_is_named(kind, name, value):
    model = kind(**{name: value})
    before = dict(vars(model))
    with pytest.raises(ValueError, match=rf"\b{name}\b|unknown {name} ") as caught:
        model.fit([Unread()])
    got = value
    if isinstance(value, dict) and value and name == "class_weight":
        got = list(value.values())[-1]
    assert (value.__name__ if isinstance(value, type) else repr(got)) in str(caught.value)
    assert type(caught.value) is ValueError
    assert vars(model) == before or all(vars(model)[key] is before[key] for key in before)


@pytest.mark.parametrize("kind", [LogisticRegression, GeneralizedLinearRegressor])
def test_every_parameter_is_tried(kind):
    tried = OF_CLASSES if kind is LogisticRegression else OF_NUMBERS
    assert set(kind().get_params()) == set(tried)


@pytest.mark.parametrize("kind", [LogisticRegression, GeneralizedLinearRegressor])
def test_shared_parameters_are_in_the_signature_as_they_are_defined_once(kind):
    shared = {name: parameter.default for name, parameter in signature(LinearEstimator).parameters.items()}
    assert set(shared) == set(SHARED)
    parameters = signature(kind).parameters
    assert {name: parameters[name].default for name in shared} == shared
    by_place = [name for name, parameter in parameters.items() if parameter.kind is not Parameter.KEYWORD_ONLY]
    assert by_place == (["loss"] if kind is GeneralizedLinearRegressor else ["penalty"])
    assert not set(vars(kind)) & set(shared), "a subclass defines a shared parameter anew"


@pytest.mark.parametrize("kind", [LogisticRegression, GeneralizedLinearRegressor])
def test_every_parameter_is_described_where_it_is_defined(kind):
    described = [set(re.findall(r"^    (\w+) : ", cls.__doc__, re.MULTILINE)) for cls in (LinearEstimator, kind)]
    own = set(signature(kind).parameters) - set(SHARED)
    assert set(SHARED) <= described[0]
    assert own <= described[1]
    assert all(name in kind.__doc__ for name in SHARED)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_estimators_are_themselves_alone_and_may_be_keys(kind):
    code = [one.name for one in signature(kind).parameters.values() if one.default is Parameter.empty]
    one, other = (kind(*code) for _ in range(2))
    assert len({one, other}) == 2
    assert one != other


# How long fits may take, and by what: ours need not be theirs.
OUR_OWN = {"max_iter", "solver"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if _of_sklearn(kind)], ids=lambda kind: kind.__name__)
def test_defaults_are_those_of_the_estimator_of_that_name(kind):
    ours, theirs = signature(kind).parameters, signature(_of_sklearn(kind)).parameters
    shared = (set(ours) & set(theirs)) - OUR_OWN
    assert shared >= {"fit_intercept"}
    assert {name: ours[name].default for name in shared} == {name: theirs[name].default for name in shared}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": None}, "its option 'delta' must be a number, got None"),
        ({"delta": "1"}, "its option 'delta' must be a number, got '1'"),
        ({"delta": True}, "its option 'delta' must be a number, got True"),
        ({"delta": np.nan}, "its option 'delta' must be a number, got nan"),
        ({"delta": -1.0}, "its option 'delta' must be above 0, got -1.0"),
        ({3: 1.0}, "the huber loss has no option 3: it has delta"),
    ],
)
def test_a_wrong_option_of_the_loss_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        GeneralizedLinearRegressor("huber", loss_options=options).fit([Unread()])


@pytest.mark.parametrize(
    "parameters",
    [
        {"fit_intercept": np.True_, "warm_start": np.False_, "standardize": np.False_},
        {"max_iter": np.int32(500), "tol": np.float32(1e-4), "verbose": False},
        {"verbose": np.int64(0), "callbacks": [History()], "solver": "auto"},
        {"callbacks": (History(), lambda iterate: None), "engine": ThreadEngine(1)},
        {"checkpoint": None, "unknown": "ignore"},
    ],
    ids=["flags", "numbers", "lists", "objects", "nothing"],
)
@pytest.mark.parametrize(
    "plain",
    [LogisticRegression(), GeneralizedLinearRegressor()],
    ids=["classes", "numbers"],
)
def test_what_numpy_has_of_the_same_kind_is_taken(plain, parameters):
    kind = type(plain)
    wanted = kind(**{"tol": parameters.get("tol", 1e-4)}).fit(X, Y)
    assert kind(**parameters).fit(X, Y).coef_.tobytes() == wanted.coef_.tobytes()


def test_numbers_of_numpy_are_taken():
    wanted = LogisticRegression(C=2, class_weight={0: 2.0, 1: 0.5}).fit(X, Y).coef_
    given = LogisticRegression(C=np.float32(2), class_weight={0: np.int64(2), np.int64(1): np.float32(0.5)}).fit(X, Y)
    assert given.coef_.tobytes() == wanted.tobytes()
    ridge = GeneralizedLinearRegressor("huber", alpha=np.int64(1), loss_options={"delta": np.float64(1.5)}).fit(X, Y)
    wanted = GeneralizedLinearRegressor("huber", alpha=1.0, loss_options={"delta": 1.5}).fit(X, Y).coef_
    assert ridge.coef_.tobytes() == wanted.tobytes()


def test_an_engine_set_after_the_fit_is_checked_when_it_is_used():
    model = LogisticRegression().fit(X, Y).set_params(engine=SerialEngine)
    with pytest.raises(ValueError, match="engine must be a name or an engine object, got <class"):
        model.predict(array_sources(X))
