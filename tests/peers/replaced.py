"""A plugin of pytest: scikit-learn's own tests, as installed, against the estimators here.

It stands in a process of its own, `python -m pytest -p replaced --pyargs sklearn.linear_model.tests.test_ridge`, where
the classes that the tests import are replaced. A test applies if one of ours is fitted in it, or refuses to be. What
came of each is written to the file that $REPLACED_REPORT names, as JSON lines.
"""

import functools
import json
import os

import pytest
import sklearn.linear_model
import sklearn.svm

import fullbatch
from fullbatch.estimators import LinearEstimator

THERE = {
    sklearn.linear_model: (
        "LinearRegression",
        "Ridge",
        "RidgeCV",
        "Lasso",
        "LassoCV",
        "ElasticNet",
        "ElasticNetCV",
        "LogisticRegression",
        "LogisticRegressionCV",
        "PoissonRegressor",
        "GammaRegressor",
        "TweedieRegressor",
        "HuberRegressor",
        "QuantileRegressor",
    ),
    sklearn.svm: ("LinearSVC",),
}

for room, names in THERE.items():
    for name in names:
        setattr(room, name, getattr(fullbatch, name))

fits = []
_fit = LinearEstimator._fit


@functools.wraps(_fit)
def fit(self, *args, **kwargs):
    fits.append(type(self).__name__)
    return _fit(self, *args, **kwargs)


LinearEstimator._fit = fit


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    fits.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and fits and not hasattr(report, "wasxfail") and not report.skipped:
        why = "" if report.passed else str(call.excinfo.value).strip().partition("\n")[0][:300]
        kind = "" if report.passed else call.excinfo.typename
        line = {"test": f"{item.path.name}::{item.name}", "passed": report.passed, "kind": kind, "why": why}
        with open(os.environ["REPLACED_REPORT"], "a") as file:
            file.write(json.dumps(line) + "\n")
    return report
