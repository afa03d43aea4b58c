"""Data sets and reference optima: population-standardised columns, free intercept, mean loss + l2/2 ||w||^2.

The optima come from Newton's method in float64 to |g| < 2e-13, made apart from this project.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from fullbatch import Objective, SerialEngine, Standardized, array_sources
from fullbatch.models.linear import Linear


def breast_cancer(standardized=True):
    X, y = load_breast_cancer(return_X_y=True)
    return ((X - X.mean(axis=0)) / X.std(axis=0) if standardized else X), y


def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def diabetes():
    return load_diabetes(return_X_y=True)


# name -> (data, loss, l2, F at the optimum)
REFERENCES = {
    "breast cancer 1/569": (breast_cancer, "logistic", 1 / 569, 0.066360186224738),
    "breast cancer 0.01": (breast_cancer, "logistic", 0.01, 0.099591375484705),
    "digits 1e-3": (digits, "softmax", 1e-3, 0.261864547217173),
    "digits 1e-4": (digits, "softmax", 1e-4, 0.087345742988380),
    "diabetes 1e-3": (diabetes, "squared", 1e-3, 1715.737158941),
}


def objective(X, y, loss="logistic", l2=0.01, blocks=3, engine=None, centred=True, sample_weight=None):
    model = Linear(loss)
    placed = (engine or SerialEngine()).place(model, array_sources(X, y, sample_weight, blocks=blocks))
    variables = Standardized(placed.schema, model.outputs(placed.schema)) if centred else None
    return Objective(placed, l2, variables)


def start(objective):
    return np.zeros(objective.size)
