"""torch.optim.LBFGS with strong Wolfe conditions, in the precision of the rows."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

_MOST = 100_000


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    torch.set_num_threads(threads)
    rows, outputs = task.columns, task.outputs
    if hasattr(rows, "tocsr"):
        csr = rows.tocsr()
        parts = (torch.from_numpy(np.ascontiguousarray(part)) for part in (csr.indptr, csr.indices, csr.data))
        X = torch.sparse_csr_tensor(*parts, size=csr.shape)
    else:
        X = torch.from_numpy(np.array(rows))
    y = torch.from_numpy(np.array(task.y)).to(torch.int64 if task.loss == "softmax" else X.dtype)
    W = torch.zeros((X.shape[1], outputs), dtype=X.dtype, requires_grad=True)
    b = torch.zeros(outputs, dtype=X.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [W, b],
        max_iter=_MOST,
        max_eval=2 * _MOST,
        tolerance_grad=0.1 * tol,
        tolerance_change=1e-3 * tol,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        F = _loss(task.loss, X @ W + b, y) + 0.5 * task.l2 * (W * W).sum()
        F.backward()
        return F

    optimizer.step(closure)
    return np.concatenate((W.detach().numpy().T.ravel(), b.detach().numpy()))


def _loss(loss: str, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if loss == "softmax":
        return functional.cross_entropy(eta, y)
    eta = eta[:, 0]
    if loss == "logistic":
        return functional.binary_cross_entropy_with_logits(eta, y)
    if loss == "poisson":
        return (eta.exp() - y * eta).mean()
    return 0.5 * ((eta - y) ** 2).mean()
