"""One pass of each system over a workload's own arrays: functions that return (value, gradient of coefficients)."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import scipy.sparse

from fullbatch.models.linear import Linear
from fullbatch.protocols import Rows, ValueGrad
from fullbatch.schema import Schema


def ours(work, threads, blocks=8):
    """Blocks on threads, as an engine holds them."""
    model = Linear(work.loss)
    whole = Rows(work.X, work.y, scale=work.scale)
    schema = Schema.of(model.describe(whole, work.name))
    cuts = np.linspace(0, len(work.y), blocks + 1).astype(int)
    built = [model.build(Rows(work.X[a:b], work.y[a:b], scale=work.scale), schema, int(a)) for a, b in pairwise(cuts)]
    pool = ThreadPoolExecutor(threads)

    def run(theta=work.theta):
        answers = list(pool.map(lambda block: block.evaluate(ValueGrad(theta)), built))
        total = answers[0]
        for answer in answers[1:]:
            total = total + answer
        return total.value, total.grad

    return run


def ours_one_by_one(work, threads):
    """Several models, each with a pass of its own."""
    run = ours(work, threads)

    def run_all():
        answers = [run(theta) for theta in work.theta]
        return np.array([value for value, _ in answers]), None

    return run_all


def scikit_learn(work, threads, dtype):
    """Its own loss class, as its L-BFGS calls it."""
    from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    base = HalfMultinomialLoss(n_classes=work.outputs) if work.loss == "softmax" else HalfBinomialLoss()
    loss = LinearModelLoss(base_loss=base, fit_intercept=True)
    p = work.X.shape[1]
    X = work.X.astype(dtype, copy=False)
    if work.scale != 1.0:
        X = X * np.asarray(work.scale, dtype)
    y = work.y.astype(dtype)
    coef = np.zeros((work.outputs, p + 1), dtype)
    coef[:, :-1] = work.theta[: work.outputs * p].reshape(work.outputs, p)
    coef[:, -1] = work.theta[work.outputs * p :]
    coef = coef if work.loss == "softmax" else coef[0]

    def run():
        value, grad = loss.loss_gradient(coef, X, y, n_threads=threads)
        return value * len(y), grad * len(y)

    return run


def torch(work, threads, dtype):
    """Loss and backward of a linear layer."""
    import torch as t

    t.set_num_threads(threads)
    X = t.from_numpy(work.X.astype(dtype, copy=False) * np.asarray(work.scale, dtype))
    p = work.X.shape[1]
    layer = t.nn.Linear(p, work.outputs, dtype=X.dtype)
    with t.no_grad():
        layer.weight.copy_(t.from_numpy(work.theta[: work.outputs * p].reshape(work.outputs, p)))
        layer.bias.copy_(t.from_numpy(work.theta[work.outputs * p :]))
    y = t.from_numpy(work.y).long() if work.loss == "softmax" else t.from_numpy(work.y).to(X.dtype)[:, None]
    entropy = t.nn.CrossEntropyLoss if work.loss == "softmax" else t.nn.BCEWithLogitsLoss
    criterion = entropy(reduction="sum")

    def run():
        layer.zero_grad()
        value = criterion(layer(X), y)
        value.backward()
        return value.item(), layer.weight.grad.numpy()

    return run


def jax(work, threads, dtype):
    """value_and_grad, compiled (XLA takes the threads that the process may use)."""
    import jax as j
    import jax.numpy as jnp

    j.config.update("jax_enable_x64", dtype == "float64")
    X = jnp.asarray(work.X.astype(dtype, copy=False) * np.asarray(work.scale, dtype))
    p = work.X.shape[1]
    W = jnp.asarray(work.theta[: work.outputs * p].reshape(work.outputs, p).T.astype(dtype))
    b = jnp.asarray(work.theta[work.outputs * p :].astype(dtype))
    y = jnp.asarray(work.y.astype(np.int32))

    def loss(W, b, X, y):
        eta = X @ W + b
        if work.loss == "softmax":
            return -jnp.take_along_axis(j.nn.log_softmax(eta), y[:, None], 1).sum()
        return (jnp.logaddexp(0, eta[:, 0]) - y * eta[:, 0]).sum()

    both = j.jit(j.value_and_grad(loss, (0, 1)))

    def run():
        value, grads = both(W, b, X, y)
        return float(value), np.asarray(grads[0]).T

    return run


def scipy_products(work, threads):
    """The two products alone, without a loss (one thread: SciPy has no more)."""
    w, r = work.theta[: work.X.shape[1]].astype(work.X.dtype), np.ones(work.X.shape[0], work.X.dtype)

    def run():
        work.X @ w
        return None, work.X.T @ r

    return run


def tabmat_products(work, threads):
    """The two products of glum's matrix library, without a loss."""
    import tabmat

    X = tabmat.SparseMatrix(work.X) if scipy.sparse.issparse(work.X) else tabmat.DenseMatrix(np.asfortranarray(work.X))
    w = work.theta[: work.X.shape[1]].astype(work.X.dtype)
    r = np.ones(work.X.shape[0], work.X.dtype)

    def run():
        X.matvec(w)
        return None, X.transpose_matvec(r)

    return run


def contestants(work, threads):
    """Name and maker of every system that can do this workload."""
    found = {"ours": lambda: ours(work, threads), "ours, 1 thread": lambda: ours(work, 1)}
    if work.theta.ndim == 2:
        return found | {"ours, one by one": lambda: ours_one_by_one(work, threads)}
    if scipy.sparse.issparse(work.X):
        return found | {
            "scikit-learn": lambda: scikit_learn(work, threads, str(work.X.dtype)),
            "scipy products": lambda: scipy_products(work, threads),
            "tabmat products": lambda: tabmat_products(work, threads),
        }
    dtype = "float64" if work.X.dtype == np.float64 else "float32"
    found |= {
        "scikit-learn": lambda: scikit_learn(work, threads, dtype),
        "torch": lambda: torch(work, threads, dtype),
        "jax": lambda: jax(work, threads, dtype),
    }
    if work.outputs == 1:
        found["tabmat products"] = lambda: tabmat_products(work, threads)
    return found
