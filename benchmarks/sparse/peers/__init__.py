"""The others, each in a process and environment of its own. A peer is a module with `fit(task, option, tol, threads)`,
which returns theta; where it has paths, `path` with the same arguments returns theta of each strength.
"""

from pathlib import Path

# Which of them have which loss; options are solvers.
PEERS = {
    "logistic": ("sklearn_:saga", "sklearn_:liblinear", "skglm_", "glum_"),
    "squared": ("sklearn_:cd", "skglm_", "glum_"),
    "poisson": ("glum_",),
    "gamma": ("glum_",),
}

PEERS_OF_PATHS = {
    "logistic": ("sklearn_:saga", "skglm_", "glum_", "adelie_"),
    "squared": ("sklearn_:cd", "skglm_", "celer_", "glum_", "adelie_"),
    "poisson": ("glum_", "adelie_"),
    "gamma": ("glum_",),
}


def requirements(peer: str) -> Path:
    """What is installed for it."""
    return Path(__file__).with_name("numpy1.txt" if peer in ("adelie_", "celer_") else "requirements.txt")


def label(peer: str) -> str:
    """As it stands in a report."""
    module, _, option = peer.partition(":")
    names = {
        "sklearn_": "scikit-learn",
        "intelex_": "scikit-learn-intelex",
        "liblinear_": "liblinear-multicore",
        "torch_": "torch.optim.LBFGS",
    }
    name = names.get(module, module.rstrip("_"))
    return f"{name} {option}".rstrip()
