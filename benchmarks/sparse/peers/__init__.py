"""The others, each in a process and environment of its own. A peer is a module with `fit(task, option, tol, threads)`,
which returns theta.
"""

# Which of them have which loss; options are solvers.
PEERS = {
    "logistic": ("sklearn_:saga", "sklearn_:liblinear", "skglm_", "glum_"),
    "squared": ("sklearn_:cd", "skglm_", "glum_"),
    "poisson": ("glum_",),
    "gamma": ("glum_",),
}


def label(peer: str) -> str:
    """As it stands in a report."""
    module, _, option = peer.partition(":")
    name = {"sklearn_": "scikit-learn", "intelex_": "scikit-learn-intelex"}.get(module, module.rstrip("_"))
    return f"{name} {option}".rstrip()
