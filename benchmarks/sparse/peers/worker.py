"""A peer's process: `python -m benchmarks.sparse.peers.worker PEER FOLDER OUTPUT THREADS SECONDS`.

One fit after another, each asked to be more accurate, until the seconds are over. Theta and seconds of
each are written.
"""

import os
import sys
import time
import warnings
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10)
PACKAGES = {  # others are called as their modules
    "sklearn_": "scikit-learn",
    "intelex_": "scikit-learn-intelex",
    "liblinear_": "liblinear-multicore",
}


def main() -> None:
    peer, folder, path, threads, seconds = sys.argv[1:]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = threads  # before any library counts CPUs
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    import numpy as np

    from ..task import load

    warnings.simplefilter("ignore")  # of fits that end early, which is what is asked for
    module, _, option = peer.partition(":")
    task = load(Path(folder))
    fit = getattr(import_module(f"{__package__}.{module}"), "path" if task.shares else "fit")
    _ = task.columns
    fit(replace(task, shares=task.shares[:3]), option, 1e-1, int(threads))  # compiles
    thetas, spent = [], []
    left = float(seconds)
    for tol in TOLERANCES:
        began = time.perf_counter()
        theta = fit(task, option, tol, int(threads))
        spent.append(time.perf_counter() - began)
        thetas.append(np.asarray(theta, np.float64))
        left -= spent[-1]
        if left < spent[-1]:
            break
    package = PACKAGES.get(module, module.rstrip("_"))
    told = f"{package} {version(package)}"
    np.savez(path, theta=np.array(thetas), seconds=np.array(spent), version=told)


if __name__ == "__main__":
    main()
