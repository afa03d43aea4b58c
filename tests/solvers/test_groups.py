"""Norms of groups: the minimum against a long run of a method that is not ours, whatever the loss and the storage."""

import numpy as np
import pytest
from formulas import loss_of
from scipy import special

from fullbatch import (
    OWLQN,
    GeneralizedLinearRegressor,
    Linear,
    Objective,
    ProximalNewton,
    SerialEngine,
    Standardized,
    Status,
    array_sources,
    minimize,
)
from fullbatch.objective.groups import blocks_of, face_minimum, solved
from fullbatch.protocols.seams import Penalty
from fullbatch.run.certificates import _curved_groups

CLASSES = 3


def data(loss, n=240, p=8):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n, p))
    X[:, 1] = X[:, 0] + 0.3 * X[:, 1]  # correlated, within a group
    X[:, 4] = X[:, 0] + 0.5 * X[:, 4]  # and across
    eta = 0.7 * X[:, :3] @ rng.standard_normal((3, CLASSES)) + 0.3
    y = {
        "squared": eta[:, 0] + rng.standard_normal(n),
        "logistic": (rng.random(n) < special.expit(2 * eta[:, 0])).astype(int),
        "poisson": rng.poisson(np.exp(eta[:, 0])).astype(float),
        "softmax": (2 * eta + rng.gumbel(size=(n, CLASSES))).argmax(axis=1),
    }[loss]
    return X, y, rng.uniform(0.5, 2, n)


def slow_minimum(loss, X, y, weight, l2, l1, l21, groups):
    """Coefficients (p, K), intercepts (K,) and F by accelerated proximal gradient steps with restarts, until nothing
    moves: FISTA with the prox of the sparse group lasso, columns and rows as they are.
    """
    outputs, share = CLASSES if loss == "softmax" else 1, weight / weight.sum()
    design = np.column_stack((X, np.ones(len(X))))
    curvature = {"squared": 1.0, "logistic": 0.25, "softmax": 0.5}.get(loss)

    def smooth(theta):
        value, slope, _ = loss_of(loss, y, design @ theta)
        ridge = l2 * (theta[:-1] ** 2).sum() / 2
        grad = design.T @ (share[:, None] * slope)
        grad[:-1] += l2 * theta[:-1]
        return share @ value + ridge, grad

    def corners(theta):
        norms = sum(l21 * np.sqrt(theta[:-1][groups == g].size) * np.linalg.norm(theta[:-1][groups == g]) for g in sets)
        return norms + l1 * np.abs(theta[:-1]).sum()

    def prox(theta, step):
        theta = theta.copy()
        theta[:-1] = np.sign(theta[:-1]) * np.maximum(np.abs(theta[:-1]) - step * l1, 0.0)
        for g in sets:
            part = theta[:-1][groups == g]
            radius = np.linalg.norm(part)
            left = 1.0 - step * l21 * np.sqrt(part.size) / radius if radius > 0 else 0.0
            theta[:-1][groups == g] *= max(left, 0.0)
        return theta

    sets = [g for g in np.unique(groups) if g >= 0]
    largest = np.linalg.eigvalsh(design.T @ (share[:, None] * design))[-1]
    step = 1.0 / (largest * (curvature or 4.0) + l2)
    theta = np.zeros((X.shape[1] + 1, outputs))
    ahead, t = theta, 1.0
    for _ in range(50_000):
        value, grad = smooth(ahead)
        new = prox(ahead - step * grad, step)
        change = new - ahead
        allowed = 1e-13 * abs(value)  # rounding
        while curvature is None and (
            smooth(new)[0] > value + (grad * change).sum() + (change**2).sum() / (2 * step) + allowed
        ):
            step /= 2
            new = prox(ahead - step * grad, step)
            change = new - ahead
        if ((ahead - new) * (new - theta)).sum() > 0:
            t = 1.0
        after = (1 + np.sqrt(1 + 4 * t * t)) / 2
        ahead, moved = new + (t - 1) / after * (new - theta), np.abs(new - theta).max()
        theta, t = new, after
        if moved < 1e-15:
            break
    return theta[:-1], theta[-1], smooth(theta)[0] + corners(theta)


GROUPS = np.array([0, 0, 0, 1, 1, 2, 2, -1])
PENALTIES = {"groups": (0.0, 0.0, 0.06), "with l1": (0.0, 0.03, 0.06), "with all": (0.01, 0.02, 0.06)}


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson", "softmax"])
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_the_minimum_is_that_of_a_slow_method(loss, penalty):
    X, y, weight = data(loss)
    l2, l1, l21 = penalty
    outputs = CLASSES if loss == "softmax" else 1
    coef, intercept, F = slow_minimum(loss, X, y, weight, l2, l1, l21, GROUPS)
    blocks = SerialEngine().place(Linear(loss), array_sources(X, y, weight, blocks=3))
    groups = np.append(np.tile(GROUPS, outputs), np.full(outputs, -1))
    objective = Objective(blocks, l2, Standardized(blocks.schema, outputs), l1=l1, l21=l21, groups=groups)
    result = minimize(objective, np.zeros(objective.size), tol=1e-12)
    assert result.status is Status.CONVERGED
    assert result.known_by == "hessian"
    assert result.value == pytest.approx(F, rel=1e-10)
    theta = objective.variables.to_blocks(result.theta)
    found = theta[: 8 * outputs].reshape(outputs, 8).T
    np.testing.assert_allclose(found, coef, atol=2e-6)
    assert ((found == 0) == (coef == 0)).all()
    assert found.any()
    assert not all(found[g == GROUPS].any() for g in range(3))  # a group is at zero
    if loss != "softmax":  # whose intercepts have a level that changes nothing
        np.testing.assert_allclose(theta[-1:], intercept, atol=2e-6)
    gap = result.certificate
    assert gap.name in ("duality gap", "strong convexity")
    assert result.value - F <= gap.bound + 1e-10 * F
    assert gap.bound < 1e-4 * F
    if loss == "squared":
        assert result.passes == 2


def test_a_certificate_holds_before_the_end():
    X, y, weight = data("logistic")
    *_, F = slow_minimum("logistic", X, y, weight, 0.0, 0.01, 0.03, GROUPS)
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y, weight))
    groups = np.append(GROUPS, -1)
    for iterations in (0, 1, 2, 3):
        objective = Objective(blocks, variables=Standardized(blocks.schema, 1), l1=0.01, l21=0.03, groups=groups)
        result = minimize(objective, np.zeros(9), max_iter=iterations, tol=0)
        assert result.value - F <= result.certificate.bound + 1e-12


def test_groups_are_blocks_and_their_l2_counts_where_all_have_some():
    l2, l21, numbers = np.array([[1.0, 1, 1, 0, 0, 1], [3, 3, 2, 2, 5, 0], [0, 0, 1, 1, 2, -1]])
    penalty = Penalty(l2, np.zeros(6), np.full(6, -np.inf), np.full(6, np.inf), l21, numbers.astype(int))
    blocks = list(blocks_of(np.eye(6), penalty, np.zeros(6)))
    assert [(one.places.tolist(), one.l21) for one in blocks] == [([0, 1], 3.0), ([2, 3], 2.0), ([4], 5.0)]
    assert _curved_groups(penalty).tolist() == [True, True, False, False, False, False]


def test_systems_that_are_singular_are_solved_where_they_tell_something():
    np.testing.assert_allclose(solved(np.diag([0.0, 0.0, 4.0]), np.array([0.0, 0.0, 2.0])), [0.0, 0.0, 0.5], rtol=1e-14)


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
def test_a_working_set_holds_whole_groups_and_ends_where_all_columns_do(loss):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 90))
    eta = X[:, :4] @ rng.standard_normal((4, CLASSES))
    y = {"squared": eta[:, 0], "logistic": (eta[:, 0] > 0.2).astype(int), "softmax": eta.argmax(axis=1)}[loss]
    outputs = CLASSES if loss == "softmax" else 1
    numbers = rng.integers(0, 30, 90)
    groups = np.append(np.tile(numbers, outputs), np.full(outputs, -1))
    blocks = SerialEngine().place(Linear(loss), array_sources(X, y, blocks=2))
    objective = Objective(blocks, variables=Standardized(blocks.schema, outputs), l1=0.01, l21=0.05, groups=groups)
    runs = [
        minimize(objective, np.zeros(objective.size), solver=ProximalNewton(working_set=some), tol=1e-12)
        for some in (False, True)
    ]
    assert runs[1].status is Status.CONVERGED
    assert runs[1].value == pytest.approx(runs[0].value, rel=1e-10)
    assert ((runs[1].theta == 0) == (runs[0].theta == 0)).all()
    columns = runs[1].state.columns
    assert 0 < len(columns) < 90 or loss == "softmax"
    assert set(np.flatnonzero(np.isin(numbers, numbers[columns]))) == set(columns)


def test_more_groups_in_use_than_there_is_room_for_are_no_claim():
    """No other solver knows groups: the run ends, and says that it has not converged."""
    X, y, weight = data("logistic")
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y, weight))
    objective = Objective(blocks, l21=1e-3, groups=np.append(GROUPS, -1))
    solver = ProximalNewton(working_set=True, max_bytes=24 * 5**2)  # of 4 columns
    result = minimize(objective, np.zeros(9), solver=solver)
    assert result.status is Status.LINE_SEARCH
    assert not result.success


def test_the_run_goes_on_to_the_byte_and_blocks_do_not_matter():
    X, y, weight = data("poisson")
    ends = []
    for blocks in (1, 5):
        placed = SerialEngine().place(Linear("poisson"), array_sources(X, y, weight, blocks=blocks))
        objective = Objective(placed, l1=0.01, l21=0.03, groups=np.append(GROUPS, -1))
        whole = minimize(objective, np.zeros(9))
        first = minimize(objective, np.zeros(9), max_iter=2)
        assert minimize(objective, None, resume=first.state).theta.tobytes() == whole.theta.tobytes()
        ends.append(whole)
    assert ends[0].value == pytest.approx(ends[1].value, rel=1e-10)


def ugly(seed):
    """Columns of any scale, nearly or exactly collinear, far from zero, or of few rows; groups at random."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(20, 200)), int(rng.integers(3, 20))
    X = rng.standard_normal((n, p))
    X = [
        X * 10.0 ** rng.uniform(-4, 4, p),
        X[:, :1] + 0.05 * X * 10.0 ** -rng.uniform(0, 3),
        X + 10.0 ** rng.uniform(0, 3),
        np.eye(p)[rng.integers(0, p, n)],
        X[:, np.minimum(np.arange(p), 2)],
    ][seed % 5]
    eta = (X / np.sqrt((X**2).mean(axis=0) + 1e-300)) @ (rng.standard_normal(p) * (rng.random(p) < 0.4))
    eta = np.clip(eta - eta.mean(), -6, 6)
    loss = ["squared", "logistic", "poisson"][seed % 3]
    y = {
        "squared": eta + rng.standard_normal(n),
        "logistic": (rng.random(n) < special.expit(eta)).astype(int),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
    }[loss]
    if loss == "logistic":
        y[:2] = 0, 1
    return loss, X, y, rng.integers(-1, max(2, p // 2), p), rng


@pytest.mark.parametrize("seed", range(30))
def test_no_false_claims_on_ugly_problems(seed):
    """Judged by a run to full precision from elsewhere nearby, and by the bound that the certificate tells."""
    loss, X, y, groups, rng = ugly(seed)
    blocks = SerialEngine().place(Linear(loss), array_sources(X, y, blocks=2))
    numbers, variables = np.append(groups, -1), Standardized(blocks.schema, 1, scale=bool(seed % 2))
    start = np.zeros(len(numbers))
    spread = np.abs(Objective(blocks, variables=variables).full_grad(start)[:-1]).max()
    strength = spread * 10.0 ** -rng.uniform(0, 3)
    penalty = {"l21": 0.7 * strength, "l1": strength * [0.0, 0.3][seed % 2], "l2": 1e-2 * strength}
    objective = Objective(blocks, variables=variables, groups=numbers, **penalty)
    result = minimize(objective, start)
    assert result.status is Status.CONVERGED, result.message
    further = minimize(objective, result.theta + 0.1 * rng.standard_normal(len(start)) * result.theta, tol=1e-13)
    best = min(result.value, further.value)
    facts = objective.facts
    allowed = 1e-8 * min(facts.parameters.null, 100 * (result.value - facts.least))
    assert result.value - best <= 1.1 * allowed + 1e-15 * abs(best)
    if abs(result.grad[-1]) < 1e-7 * spread:  # the bound holds if the intercept is at its best
        assert result.value - best <= result.certificate.bound + 1e-13 * abs(best)


def test_solvers_that_do_not_know_groups_name_one_that_does():
    X, y, _ = data("logistic")
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y))
    objective = Objective(blocks, l21=0.1, groups=np.append(GROUPS, -1))
    for solver in ("lbfgs", "newton", OWLQN()):
        with pytest.raises(ValueError, match="does not know penalties with groups: use 'proximal-newton', or 'auto'"):
            minimize(objective, np.zeros(9), solver=solver)
    objective.blocks.answers -= {request for request in blocks.answers if request.__name__ == "Curvature"}
    with pytest.raises(ValueError, match="norms of groups need second derivatives, and the model gives none: use l1"):
        minimize(objective, np.zeros(9))


def test_float32_rows_and_a_group_of_categorical_levels():
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 6, 500)
    X = np.column_stack((np.eye(6)[levels], rng.standard_normal((500, 2))))
    y = np.array([2.0, -1, 0, 0, 0.5, -1.5])[levels] + rng.standard_normal(500)
    fits = [
        GeneralizedLinearRegressor(alpha=0.05, groups=["level"] * 6 + ["a", "b"]).fit(X.astype(type_), y)
        for type_ in (np.float64, np.float32)
    ]
    coef, intercept, F = slow_minimum("squared", X, y, np.ones(500), 0.0, 0.0, 0.05, np.array([0] * 6 + [1, 2]))
    np.testing.assert_allclose(fits[0].coef_, coef[:, 0], atol=1e-5)
    np.testing.assert_allclose(fits[1].coef_, coef[:, 0], atol=1e-4)
    assert fits[0].result_.value == pytest.approx(F, rel=1e-10)
    assert fits[0].intercept_ == pytest.approx(intercept[0], abs=1e-5)


def test_a_group_that_comes_nearer_to_zero_has_not_turned_round():
    free = np.full(2, np.inf)
    penalty = Penalty(np.zeros(2), np.zeros(2), -free, free, np.full(2, 0.5), np.zeros(2, int))
    # Of |x - (4, 0)|^2 / 2 + 0.5 |x|, from a place that is a long step away.
    found = face_minimum(np.eye(2), np.array([6.0, 0.0]), np.array([10.0, 0.0]), penalty, np.zeros(2))
    np.testing.assert_allclose(found, [3.5, 0.0], atol=1e-12)
