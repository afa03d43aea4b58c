"""Other libraries' solvers on the same arrays and the same objective, each in a process of the peers' environment.

A peer is a file name here plus an option, such as `sklearn_:lbfgs-float32`. Its `run(task, option, threads, seconds)`
returns a `Curve`. Nothing in the modules that such a process imports may need fullbatch or Numba.
"""

PEERS: dict[str, tuple[str, ...]] = {
    "mnist": ("torch_:float32", "scipy_:lbfgsb", "sklearn_:lbfgs-float32", "sklearn_:newton-cg-float32", "spark_:2"),
    "logistic": (
        "scipy_:lbfgsb", "torch_:float64", "sklearn_:lbfgs-float64", "sklearn_:newton-cholesky-float64",
        "sklearn_:newton-cg-float64", "sklearn_:saga-float64", "glum_:irls-ls", "dask_glm_:lbfgs", "spark_:2",
    ),
    "logistic-decades": (
        "scipy_:lbfgsb", "sklearn_:lbfgs-float64", "sklearn_:newton-cholesky-float64", "glum_:irls-ls",
    ),
    "softmax": ("scipy_:lbfgsb", "torch_:float64", "sklearn_:lbfgs-float64", "sklearn_:newton-cg-float64"),
    "poisson": ("scipy_:lbfgsb", "sklearn_:lbfgs-float64", "sklearn_:newton-cholesky-float64", "glum_:irls-ls"),
    "tfidf": ("scipy_:lbfgsb", "sklearn_:lbfgs-float64", "sklearn_:newton-cg-float64", "sklearn_:saga-float64"),
    "breast-cancer": (
        "scipy_:lbfgsb", "sklearn_:lbfgs-float64", "sklearn_:newton-cholesky-float64", "glum_:irls-ls",
    ),
}  # fmt: skip

LABELS = {
    "scipy_": "SciPy",
    "torch_": "torch.optim.LBFGS",
    "sklearn_": "scikit-learn",
    "glum_": "glum",
    "spark_": "Spark MLlib local",
    "dask_glm_": "dask-glm",
}


def label(peer: str) -> str:
    """How a report calls a peer."""
    module, _, option = peer.partition(":")
    return f"{LABELS[module]}[{option}]" if module == "spark_" else f"{LABELS[module]} {option}"
