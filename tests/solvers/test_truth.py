"""Solvers tell the truth on hundreds of ugly problems, whose optima are known apart from fullbatch.

The proof of those optima stands below.

`python -m benchmarks.truth --seeds 17 -v` shows one of them.
"""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.truth import cache as kept
from benchmarks.truth import report
from benchmarks.truth.problems import LOSSES, problem
from benchmarks.truth.reference import penalty, reference, value, value_and_grad
from benchmarks.truth.runs import SOLVERS, judge
from scipy import optimize

# All of 0 to 4,999 by every solver takes hours: `python -m benchmarks.truth`.
FAST, SLOW, CHUNK = range(150), range(500), 50

# Terms of 4e12 that cancel; classes all but separable by columns all but dependent: each was claimed wrongly once.
ONCE_WRONG = (2457, 3049)

# Conjugate gradients take ten times the passes of others; "auto" is "newton" on nearly all of these.
FAST_SOLVERS = tuple(solver for solver in SOLVERS if solver not in ("newton-cg", "newton"))


def chunks(seeds):
    return [pytest.param(seeds[first : first + CHUNK], id=f"{first}") for first in range(0, len(seeds), CHUNK)]


def check_truth(seeds, solvers):
    """No false claim, no exception, no warning, by any solver; a reference that none of them comes below; and `auto`
    at the optimum of all but 1 % of the problems.
    """
    all_of_them = [judge(seed, solvers) for seed in seeds]
    faults = report.faults(all_of_them)
    shown = [report.in_words(one) for one in all_of_them if one.seed in {fault.seed for fault in faults}]
    assert not faults, f"{len(faults)} of {sum(len(one.verdicts) for one in all_of_them)}:\n" + "\n".join(shown[:10])
    # Of the squared hinge the reference itself is not always at the end: F* is then the least F that any solver found.
    sure = [one for one in all_of_them if one.verdicts[0].loss != "squared_hinge"]
    below = [f"seed {one.seed} by {one.beaten:.1g} tolerances" for one in sure if one.beaten > 0.01]
    assert not below, f"the reference was beaten: {', '.join(below)}"
    away = [one.seed for one in all_of_them for verdict in one.verdicts if verdict.solver == "auto" and verdict.away]
    # Of a few problems one may be at the end of the arithmetic.
    assert len(away) <= max(1.0, 0.01 * len(all_of_them)), f"auto ended away from the optimum of seeds {away}"


@pytest.mark.parametrize("seeds", chunks(FAST))
def test_what_solvers_claim_is_so(seeds):
    check_truth(seeds, FAST_SOLVERS)


@pytest.mark.parametrize("seed", ONCE_WRONG)
def test_what_was_claimed_wrongly_once_is_not_again(seed):
    check_truth([seed], ("sampled-lbfgs", "newton", "lbfgs"))


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("passes", ["plain", "compiled"])
def test_what_every_solver_claims_is_so_by_either_passes(passes, monkeypatch):
    monkeypatch.setenv("FULLBATCH_PASSES", passes)  # compiled ones are those of more rows
    check_truth(SLOW, SOLVERS)


# --- the battery itself -----------------------------------------------------------------------------------------


def seeds_of(loss, count, wanted=lambda made: True):
    found = []
    for seed in range(10_000, 20_000):
        made = problem(seed)
        if made.loss == loss and wanted(made):
            found.append(seed)
            if len(found) == count:
                return found
    raise AssertionError(f"no {count} such problems of {loss}")


def arrays(made):
    values = [made.X.toarray() if hasattr(made.X, "tocsr") else made.X, made.y, made.start, made.codes]
    return [*values, *(one for one in (made.weight, made.offset) if one is not None)]


def test_problems_are_functions_of_the_seed():
    for seed in range(50):
        for one, other in zip(arrays(problem(seed)), arrays(problem(seed)), strict=True):
            np.testing.assert_array_equal(one, other)
        assert str(problem(seed)) == str(problem(seed))
    assert len({str(problem(seed)) for seed in range(50)}) == 50


def test_problems_have_all_that_is_ugly():
    made = [problem(seed) for seed in range(1000)]
    assert {one.loss for one in made} == set(LOSSES)
    assert {str(one.X.dtype) for one in made} == {"float64", "float32", "uint8", "int8"}
    assert any(hasattr(one.X, "tocsr") for one in made)
    assert any(one.codes.size for one in made)
    words = " ".join(word for one in made for word in one.words)
    for word in (
        "constant",
        "duplicated",
        "nearly collinear",
        " collinear",
        "more columns",
        "of zero",
        "wild",
        "eta up to",
    ):
        assert word in words
    assert {one.variables for one in made} == {"stored", "centred", "scaled"}
    assert {one.blocks for one in made} == {1, 2, 3, 4, 5}
    sizes = [len(one.y) for one in made]
    assert min(sizes) <= 3
    assert max(sizes) >= 500


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_of_the_reference_is_that_of_its_value(loss):
    for seed in seeds_of(loss, 5, lambda made: len(made.y) < 100):
        made = problem(seed)
        size = np.sqrt(np.mean(made.columns[made.weights > 0] ** 2, axis=0))
        size = np.tile(np.where(size > 0, size, 1), made.outputs)
        size = np.concatenate((size, np.ones(made.outputs * made.intercept, np.longdouble)))
        theta = np.random.default_rng(seed).standard_normal(len(size)) / size / 10
        _, grad = value_and_grad(made, theta)
        narrow = min([1.0, *(made.options[name] for name in ("smoothing", "delta") if name in made.options)])
        for j in range(len(theta)):
            step = np.zeros_like(theta)
            step[j] = np.longdouble(1e-7) * narrow / size[j]
            ahead, behind = value(made, theta + step), value(made, theta - step)
            difference = (ahead - behind) / (2 * step[j])
            noise = 1e-18 * max(abs(ahead), abs(behind)) / step[j]
            # A row whose kink lies between the two points adds up to its second derivative times the step.
            kink = 1e-5 * np.abs(grad * size).max() / size[j]
            assert abs(difference - grad[j]) <= 1e-7 * abs(grad[j]) + 100 * noise + kink, (seed, j)


def test_least_squares_agree_with_orthogonal_factors():
    for seed in seeds_of("squared", 20, lambda made: "collinear" not in str(made) or made.l2 > 1e-6):
        made, known = problem(seed), reference(problem(seed))
        counted = made.weights > 0
        weight = np.sqrt(made.weights[counted] / made.weights.sum())
        X = made.columns[counted]
        y = made.y[counted] - (0 if made.offset is None else made.offset[counted].astype(np.longdouble))
        if made.intercept:
            mean, level = weight**2 @ X, weight**2 @ y
            X, y = X - mean, y - level
        rows = np.vstack((weight[:, None] * X, np.diag(np.sqrt(penalty(made)))))
        size = np.sqrt((rows**2).sum(axis=0))
        rows = (rows / np.where(size > 0, size, 1)).astype(float)
        targets = np.concatenate((weight * y, np.zeros(X.shape[1])))
        unit = np.abs(targets).max()
        coef = np.linalg.lstsq(rows, (targets / unit).astype(float), rcond=1e-14)[0]
        F = unit**2 * ((rows @ coef - targets / unit) ** 2).sum() / 2
        assert float(known.F_best) == pytest.approx(float(F), rel=1e-8, abs=1e-12 * float(known.F_null)), seed


def test_narrow_quantiles_agree_with_a_linear_programme():
    tried = 0
    for seed in seeds_of("quantile", 8, lambda made: made.l2 == 0 and 5 < len(made.y) < 60):
        made = problem(seed)
        counted = made.weights > 0
        y = (made.y if made.offset is None else made.y - made.offset)[counted]
        unit = np.abs(y - y.mean()).max()
        made = replace(made, options=made.options | {"smoothing": 1e-5 * unit})
        q, share = made.options["quantile"], (made.weights / made.weights.sum())[counted].astype(float)
        X = made.columns[counted]
        X = X - (X.mean(axis=0) if made.intercept else 0)
        size = np.abs(X).max(axis=0)
        kept_columns = size > 1e-12 * np.abs(made.columns[counted]).max(axis=0)
        X = (X[:, kept_columns] / size[kept_columns]).astype(float)
        X = np.column_stack((X, np.ones(len(X)))) if made.intercept else X
        cost = np.concatenate((np.zeros(X.shape[1]), q * share, (1 - q) * share))
        equal = np.hstack((X, np.eye(len(y)), -np.eye(len(y))))
        level = y.mean() if made.intercept else 0.0
        bounds = [(None, None)] * X.shape[1] + [(0, None)] * (2 * len(y))
        found = optimize.linprog(cost, A_eq=equal, b_eq=(y - level) / unit, bounds=bounds, method="highs")
        if not found.success:  # columns that are too much alike for it
            continue
        tried += 1
        # The smoothed loss lies above the other one by a quarter of its width at the most.
        between = 0.25e-5 * unit
        assert float(reference(made).F_best) == pytest.approx(found.fun * unit, rel=1e-6, abs=between), seed
    assert tried >= 5


@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"squared", "quantile"}))
def test_other_losses_agree_with_scipy(loss):
    """SciPy on columns of spread 1 never comes below the reference, and near to it where the problem is kind."""
    near = 0
    seeds = seeds_of(loss, 4, lambda made: made.precision == "float64" and 5 < len(made.y) < 60)
    for seed in seeds:
        made, known = problem(seed), reference(problem(seed))
        coefs = made.outputs * made.columns.shape[1]
        counted = made.weights > 0
        mean = made.columns[counted].mean(axis=0) if made.intercept else 0
        spread = np.sqrt(((made.columns[counted] - mean) ** 2).mean(axis=0))
        spread = np.where(spread > 1e-12 * np.abs(made.columns[counted]).max(axis=0), spread, np.inf)

        def stored(z, made=made, coefs=coefs, mean=mean, spread=spread):
            coef = z[:coefs].reshape(made.outputs, -1) / spread
            free = z[coefs:] - coef @ mean if made.intercept else z[coefs:]
            return np.concatenate((coef.ravel(), free))

        def fun(z, made=made, stored=stored, coefs=coefs, mean=mean, spread=spread):
            F, grad = value_and_grad(made, stored(z))
            slope = grad[:coefs].reshape(made.outputs, -1)
            if made.intercept:
                slope = slope - grad[coefs:, None] * mean
            return float(F), np.concatenate(((slope / spread).ravel(), grad[coefs:])).astype(float)

        options = {"maxiter": 1000, "maxfun": 1000, "ftol": 1e-15, "gtol": 1e-12, "maxcor": 50}
        found = optimize.minimize(fun, np.zeros(len(known.theta)), jac=True, method="L-BFGS-B", options=options)
        distance = known.distance(stored(found.x.astype(np.longdouble)))
        assert distance >= -(10.0 if loss == "squared_hinge" else 0.01) * known.tolerance, seed
        near += distance <= known.tolerance
    assert near >= len(seeds) // 2


def test_references_know_how_near_they_are():
    for seed in range(100):
        known = kept.reference(problem(seed))
        assert 0 <= known.expected <= 0.01 * known.tolerance, seed
        assert known.disagreement <= 0.01 * known.tolerance, seed
        assert known.F_best <= known.F_null <= known.F_zero


def test_a_false_claim_is_found_and_a_true_one_is_let_pass():
    for seed in range(20):
        known = reference(problem(seed))
        assert not known.away(known.theta)
        assert not known.wrong(True, known.theta)
        elsewhere = known.theta.copy()
        elsewhere[-1] += 1 + abs(elsewhere[-1])
        assert known.distance(elsewhere) > 0
        if known.distance(elsewhere) > known.tolerance:
            assert known.wrong(True, elsewhere)
        assert not known.wrong(False, elsewhere)
        assert known.wrong(True, np.full_like(elsewhere, np.nan))


def test_the_tolerance_is_that_of_the_precision():
    made = [problem(seed) for seed in range(40)]
    for one in made:
        known = replace(reference(one), F_best=np.longdouble(2), F_null=np.longdouble(3), F_zero=np.longdouble(4))
        expected = 2e-6 if one.precision == "float64" else 2e-4
        assert float(known.tolerance) == pytest.approx(expected)
        assert float(replace(known, F_null=np.longdouble(1e6)).tolerance) == pytest.approx(
            max(expected, 1e-2), rel=1e-4
        )
    assert {one.precision for one in made} == {"float64", "float32"}


def test_every_solver_is_judged():
    squared, logistic = seeds_of("squared", 1)[0], seeds_of("logistic", 1)[0]
    assert [v.solver for v in judge(squared).verdicts] == list(SOLVERS)
    assert [v.solver for v in judge(logistic).verdicts] == [name for name in SOLVERS if name != "least-squares"]


def test_fast_convergence_along_next_to_no_curvature_is_looked_into():
    """Nearly separable classes in nearly collinear columns: F falls linearly far beyond where it is curved."""
    check_truth([3049], ("sampled-lbfgs", "newton"))
