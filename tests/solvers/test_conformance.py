"""Every solver passes the public kit, and the kit finds the faults it is there for."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from problems import breast_cancer, diabetes, objective, start
from scipy.sparse import csr_array

from fullbatch import (
    LBFGS,
    OWLQN,
    LeastSquares,
    Newton,
    NewtonCG,
    ProximalNewton,
    SampledLBFGS,
    ScipyLBFGSB,
    ThreadEngine,
    minimize,
)
from fullbatch.testing import check_solver

SOLVERS = {
    "lbfgs": LBFGS,
    "short memory": lambda: LBFGS(memory=3),
    "sampled": SampledLBFGS,
    "small sample": lambda: SampledLBFGS(rows_per_column=5, most_builds=2, seed=3),
    "inner steps": lambda: SampledLBFGS(inner_steps=3),
    "every step": lambda: SampledLBFGS(every_step=True, rows_per_column=100),
    "coupled": lambda: SampledLBFGS(coupled=True, rows_per_column=100),
    "on workers": lambda: SampledLBFGS(on_workers=True),
    "plain first": lambda: SampledLBFGS(plain_iterations=4),
    "low rank": lambda: SampledLBFGS(rank=3),
    "diagonal": lambda: SampledLBFGS(rank=0),
    "newton": Newton,
    "newton-cg": NewtonCG,
    "least-squares": LeastSquares,
    "proximal-newton": ProximalNewton,
    "working set": lambda: ProximalNewton(working_set=True),
    "owl-qn": OWLQN,
    "scipy": ScipyLBFGSB,
}


@pytest.mark.parametrize("make", SOLVERS.values(), ids=SOLVERS)
def test_solvers_pass(make):
    check_solver(make)


@pytest.mark.parametrize(
    "kind", [LBFGS, LeastSquares, Newton, NewtonCG, OWLQN, ProximalNewton, SampledLBFGS], ids=lambda kind: kind.__name__
)
def test_a_solver_is_known_by_its_options_and_not_by_the_problem(kind):
    """So do checkpoints tell runs apart."""
    facts = objective(*diabetes(), "squared").facts
    one, other = (kind().for_problem(replace(facts, rows=rows)) for rows in (442, 443))
    assert one == other
    assert repr(one) == repr(other)
    assert "Facts" not in repr(one)


@dataclass(frozen=True)
class Boaster(LBFGS):
    """Says that it has converged wherever it is."""

    def optimality(self, state):
        return 0.0


@dataclass(frozen=True)
class Drunk(LBFGS):
    """Its state tells of another F than it reached."""

    def step(self, state):
        state = yield from super().step(state)
        return replace(state, value=state.value * (1 - 1e-3))


@pytest.mark.parametrize(("make", "message"), [(Boaster, "no stationary point"), (Drunk, "it ended with|it says")])
def test_the_kit_finds_faults(make, message):
    with pytest.raises(AssertionError, match=message):
        check_solver(make)


def test_the_kit_finds_a_run_that_does_not_go_on_as_it_was():
    class Counts(LBFGS):
        """Its step depends on how often this object was asked: what a state does not hold is lost."""

        calls = 0

        def step(self, state):
            type(self).calls += 1
            state = yield from super().step(state)
            return replace(state, direction=state.direction * (1 + 1e-6 * type(self).calls))

    with pytest.raises(AssertionError, match="two runs of the same problem end in other bits"):
        check_solver(Counts)


@pytest.mark.parametrize(
    ("loss", "is_sparse", "solvers"),
    [
        ("logistic", False, ["lbfgs", "sampled-lbfgs", "newton", "newton-cg"]),
        ("logistic", True, [SampledLBFGS(rank=3, rows_per_column=2)]),  # as wide problems are
        ("squared", False, ["least-squares"]),
    ],
    ids=["dense", "low rank", "squared"],
)
def test_bytes_do_not_depend_on_the_engine(loss, is_sparse, solvers, ray_session):
    from fullbatch import RayEngine, SerialEngine

    X, y = breast_cancer()
    if is_sparse:
        X = csr_array(np.where(np.abs(X) > 0.7, X, 0.0))
    thetas = [set() for _ in solvers]
    for engine in (SerialEngine(), ThreadEngine(2), ThreadEngine(5), RayEngine(1), RayEngine(3)):
        fun = objective(X, y, loss, engine=engine, blocks=5)  # the same workers for all solvers: they start slowly
        for solver, found in zip(solvers, thetas, strict=True):
            found.add(minimize(fun, start(fun), solver=solver, tol=1e-10).theta.tobytes())
        fun.blocks.close()
    assert [len(found) for found in thetas] == [1] * len(solvers)
