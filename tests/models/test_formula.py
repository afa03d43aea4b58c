"""Losses, offsets, sample and class weights, scales, blocks, files and levels in any combination: one formula."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from formulas import loss_of, objective_of, weights_of_classes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize

from fullbatch import Linear, Objective, SerialEngine, Standardized, array_sources, csv_sources, minimize
from fullbatch.protocols import Curvature, RowSample, ValueGrad

# Options, and how targets are drawn.
LOSSES = {
    "squared": {},
    "huber": {"delta": 0.8},
    "quantile": {"quantile": 0.8, "smoothing": 0.3},
    "logistic": {},
    "squared_hinge": {},
    "softmax": {},
    "poisson": {},
    "gamma": {},
    "tweedie": {"power": 1.3},
}
CLASSES = {"logistic": 2, "squared_hinge": 2, "softmax": 3}


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def _by_both(request, monkeypatch):
    monkeypatch.setenv("FULLBATCH_PASSES", request.param)


class Case(NamedTuple):
    """Rows as a person has them, and how they are handed over."""

    loss: str
    X: np.ndarray
    levels: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    class_weight: str | dict | None
    intercept: bool
    scale: float
    blocks: int
    cut: int  # rows of the first file

    @property
    def columns(self):
        """Those of the model: one for each level that is there."""
        ones = [column[:, None] == np.unique(column) for column in self.levels.T]
        return np.column_stack([self.X * self.scale, *ones]).astype(float)

    @property
    def weights(self):
        """Of the rows, those of their classes counted."""
        own = np.ones(len(self.y)) if self.weight is None else self.weight
        return own * weights_of_classes(self.class_weight, self.y, own)

    @property
    def offsets(self):
        return np.zeros(len(self.y)) if self.offset is None else self.offset

    def placed(self):
        model = Linear(self.loss, self.intercept, self.class_weight, options=LOSSES[self.loss])
        if not self.levels.size:
            arrays = self.X, self.y, self.weight, self.offset
            return model, SerialEngine().place(model, array_sources(*arrays, scale=self.scale, blocks=self.blocks))
        named = {f"x{j}": column for j, column in enumerate(self.X.T)}
        named |= {f"level{j}": column for j, column in enumerate(self.levels.T)} | {"y": self.y}
        roles = {"target": "y"}
        for role in ("weight", "offset"):
            if getattr(self, role) is not None:
                named[role], roles[role] = getattr(self, role), role
        lines = [",".join(map(str, row)) for row in zip(*(column.tolist() for column in named.values()), strict=True)]
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, "1.csv"), Path(folder, "2.csv")]
            for file, part in zip(files, (lines[: self.cut], lines[self.cut :]), strict=True):
                file.write_text("\n".join([",".join(named), *part]))
            return model, SerialEngine().place(model, csv_sources(files, blocks=self.blocks, **roles))


def targets(rng, loss, n):
    if loss in CLASSES:
        count = CLASSES[loss]
        return np.concatenate((np.arange(count), rng.integers(0, count, n - count)))
    return {"poisson": rng.poisson(2.0, n), "gamma": rng.gamma(2.0, size=n), "tweedie": rng.poisson(1.0, n)}.get(
        loss, rng.standard_normal(n)
    ).astype(float)  # fmt: skip


@st.composite
def cases(draw, loss, levels):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, p = draw(st.integers(16, 60)), draw(st.integers(1, 3))
    weight = rng.random(n) * (rng.random(n) < 0.8) + 0.1 * (np.arange(n) < 3)
    class_weights = st.sampled_from([None, "balanced", {0: 3.0, 1: 0.2}]) if loss in CLASSES else st.none()
    cut = draw(st.integers(4, n - 4))
    named = np.zeros((n, 0), str)
    if levels:  # the second file has levels that sort before and between those of the first one
        named = rng.choice(["c", "m", "x"], (n, 2))
        named[cut:] = rng.choice(["a", "m", "p", "x"], (n - cut, 2))
    return Case(
        loss,
        rng.standard_normal((n, p)) + rng.uniform(-1, 1, p),
        named,
        targets(rng, loss, n),
        draw(st.sampled_from([None, weight])),
        draw(st.sampled_from([None, rng.uniform(-1, 1, n)])),
        draw(class_weights),
        draw(st.booleans()),
        1.0 if levels else draw(st.sampled_from([1.0, 0.25])),
        draw(st.integers(1, 5)),
        cut,
    )


def check(loss, levels, test):
    few = settings(max_examples=8 if levels else 16, deadline=None, derandomize=True, database=None)
    few(given(cases(loss, levels))(test))()


# With levels, of the losses whose kernels other tests compile.
KINDS = [(loss, False) for loss in LOSSES] + [(loss, True) for loss in ("logistic", "softmax", "poisson")]


@pytest.mark.parametrize(("loss", "levels"), KINDS)
def test_loss_gradient_and_minimum(loss, levels):
    def test(case):
        model, blocks = case.placed()
        columns, options = case.columns, LOSSES[loss] | {"intercept": case.intercept}
        theta = np.random.default_rng(0).uniform(-1, 1, blocks.parameters.size)
        value, grad = objective_of(loss, columns, case.y, theta, case.weights, case.offsets, **options)
        answer, total = blocks.sum(ValueGrad(theta)), case.weights.sum()
        assert answer.weight == pytest.approx(total, rel=1e-13)
        assert answer.value / total == pytest.approx(value, rel=1e-12, abs=1e-13)
        np.testing.assert_allclose(answer.grad / total, grad, rtol=0, atol=1e-12 * max(1.0, np.abs(grad).max()))

        objective = Objective(blocks, 0.1, Standardized(blocks.schema, model.outputs(blocks.schema), case.intercept))
        result = minimize(objective, np.zeros(objective.size), tol=1e-13)
        found = objective.variables.to_blocks(result.theta)
        value, grad = objective_of(loss, columns, case.y, found, case.weights, case.offsets, 0.1, **options)
        assert result.value == pytest.approx(value, rel=1e-10)
        assert np.abs(grad).max() < 1e-5

    check(loss, levels, test)


LEAST = {
    "poisson": lambda y: y - y * np.log(np.maximum(y, 1.0)),
    "gamma": lambda y: 1 + np.log(y),
    "tweedie": lambda y: y**0.7 * (1 / 0.7 + 1 / 0.3),
}


@pytest.mark.parametrize("loss", ["squared", *CLASSES, *LEAST])
def test_the_null_model_is_the_best_constant(loss):
    """What small is measured by; of classes with offsets a quarter, since these may explain a part of it."""

    def test(case):
        parameters = case.placed()[1].parameters
        weight, outputs = case.weights, 3 if loss == "softmax" else 1
        least = np.average(LEAST.get(loss, np.zeros_like)(case.y), weights=weight)

        def above(constants):
            offset = 0.0 * case.offsets if loss in CLASSES else case.offsets
            value, *_ = loss_of(loss, case.y, offset[:, None] + constants, **LOSSES[loss])
            return np.average(value, weights=weight) - least

        found = scipy_minimize(above, np.zeros(outputs), tol=1e-12).fun if case.intercept else above(np.zeros(outputs))
        share = 0.25 if loss in CLASSES and case.offset is not None else 1.0
        assert parameters.null == pytest.approx(share * found, rel=1e-6)
        assert parameters.least == pytest.approx(least, rel=1e-12)

    check(loss, False, test)


def test_least_squares_of_levels_in_several_files():
    def test(case):
        _, blocks = case.placed()
        found = minimize(Objective(blocks, 0.1), np.zeros(blocks.parameters.size), solver="least-squares").theta
        _, grad = objective_of(
            "squared", case.columns, case.y, found, case.weights, case.offsets, 0.1, intercept=case.intercept
        )
        assert np.abs(grad).max() < 1e-12

    check("squared", True, test)


@pytest.mark.parametrize(
    ("loss", "levels"),
    [("logistic", False), ("softmax", False), ("poisson", False), ("logistic", True), ("softmax", True)],
)
def test_a_sample_of_the_rows_and_their_second_derivatives(loss, levels):
    def test(case):
        _, blocks = case.placed()
        theta = np.random.default_rng(0).uniform(-1, 1, blocks.parameters.size)
        sample = blocks.sum(RowSample(0.5, seed=3))
        curvature = blocks.sum(Curvature(theta, "rows", 0.5, seed=3))
        taken, columns = sample.rows, case.columns
        X = sample.X.toarray() if hasattr(sample.X, "toarray") else sample.X
        np.testing.assert_allclose(X, columns[taken], rtol=1e-15)
        counts = sample.weight > 0  # the targets of the others may be anything
        np.testing.assert_array_equal(sample.y[counts], case.y[taken][counts])
        np.testing.assert_allclose(sample.weight, case.weights[taken], rtol=1e-13)
        assert (sample.offset is None) == (case.offset is None)
        if case.offset is not None:
            np.testing.assert_array_equal(sample.offset, case.offset[taken])
        p = columns.shape[1]
        outputs = theta.size // (p + case.intercept)
        eta = columns @ theta[: outputs * p].reshape(outputs, p).T + case.offsets[:, None]
        eta = eta + theta[outputs * p :] if case.intercept else eta
        *_, second = loss_of(loss, case.y, eta)
        second = (case.weights[:, None, None] * second)[taken]
        found = np.eye(outputs) * curvature.diagonal[:, :, None]
        if curvature.coupling is not None:
            found = found - curvature.coupling[:, :, None] * curvature.coupling[:, None, :]
        np.testing.assert_allclose(found, second, rtol=1e-11, atol=1e-14)

    check(loss, levels, test)


def test_rows_in_the_tails_of_huber_have_the_curvature_of_a_parabola():
    """One of the row's height and slope: by the loss' own, a step from far off would have no length."""
    X, y, weight = np.ones((4, 1)), np.array([0.0, 0.5, 3.0, -9.0]), np.array([1.0, 2.0, 3.0, 4.0])
    blocks = SerialEngine().place(Linear("huber"), array_sources(X, y, weight))
    found = blocks.sum(Curvature(np.array([0.1, 0.0]), "rows")).diagonal[:, 0]
    value, slope, _ = loss_of("huber", y, np.full((4, 1), 0.1))
    np.testing.assert_allclose(found, weight * [1.0, 1.0, *(slope[2:, 0] ** 2 / (2 * value[2:]))], rtol=1e-13)
