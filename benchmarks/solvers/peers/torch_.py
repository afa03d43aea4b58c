"""torch.optim.LBFGS with its strong Wolfe line search, as a full-batch training loop calls it."""

import warnings

import numpy as np
import torch
from torch.nn import functional

from ..curve import Curve, Watch
from ..task import Task


def run(task: Task, option: str, threads: int, seconds: float) -> Curve:
    torch.set_num_threads(threads)
    dtype = getattr(torch, option)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the arrays are read-only, and nobody writes to them
        X, y = torch.from_numpy(np.asarray(task.X)).to(dtype), torch.from_numpy(task.y)
    W = torch.zeros((task.outputs, X.shape[1]), dtype=dtype, requires_grad=True)
    b = torch.zeros(task.outputs, dtype=dtype, requires_grad=True)
    curve, calls = Curve(version=f"torch {torch.__version__}"), [0]
    optimizer = torch.optim.LBFGS(
        [W, b], max_iter=1, max_eval=30, history_size=10, tolerance_grad=0, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        calls[0] += 1
        optimizer.zero_grad()
        eta = functional.linear(X, W, b)
        if task.loss == "softmax":
            loss = functional.cross_entropy(eta, y)
        else:
            loss = functional.binary_cross_entropy_with_logits(eta[:, 0], y.to(dtype))
        loss = loss + 0.5 * task.l2 * (W * W).sum()
        loss.backward()
        return loss

    watch, still = Watch(), 0
    while watch() < seconds and still < 20 and len(curve.thetas) < 3000:
        before = W.detach().clone()
        optimizer.step(closure)
        still = still + 1 if torch.equal(before, W) else 0
        curve.add(torch.cat((W.detach().ravel(), b.detach())).numpy(), calls[0], watch())
    curve.note = "history_size=10"
    return curve
