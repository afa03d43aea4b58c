"""Other libraries' passes on the same arrays: each in a process of the peer environment that answers over a pipe.

Names of peers are file names here plus an option, such as `sklearn_:float32`. Nothing in the modules that such a
process imports may need fullbatch or Numba.
"""

# Which peers take which workload. A module's `Pass(problem, option)` must give time() and answer(), see worker.py.
PEERS: dict[str, tuple[str, ...]] = {
    "mnist-float32": ("sklearn_:float32", "sklearn_:float64", "torch_:float32", "jax_:float32"),
    "mnist-uint8": (),  # none computes on bytes: fullbatch on float32 takes their place
    "dense-binary": ("sklearn_:float32", "sklearn_:float64", "torch_:float32", "jax_:float32"),
    "dense-classes": ("sklearn_:float64", "torch_:float64", "jax_:float64"),
    "csr": ("sklearn_:float32", "sklearn_:float64", "scipy_:float32"),
    "poisson": ("tabmat_:float64", "scipy_:float64", "sklearn_:float64", "torch_:float64", "jax_:float64"),
    "models": ("sklearn_:float32", "torch_:float32", "jax_:float32"),
}

LABELS = {
    "sklearn_": "scikit-learn loss_gradient",
    "torch_": "torch loss + backward",
    "jax_": "JAX value_and_grad",
    "tabmat_": "tabmat matvec + transpose_matvec",
    "scipy_": "SciPy X @ w + X.T @ r",
}


def label(peer: str) -> str:
    """How a report calls a peer."""
    module, _, option = peer.partition(":")
    return f"{LABELS[module]} {option}"
