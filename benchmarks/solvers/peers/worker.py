"""A peer's process: `python -m benchmarks.solvers.peers.worker PEER FOLDER CURVE THREADS SECONDS`."""

import os
import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    peer, folder, path, threads, seconds = sys.argv[1:]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # before any library counts CPUs
        os.environ[name] = threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    from ..task import load

    module, _, option = peer.partition(":")
    task = load(Path(folder))
    import_module(f"{__package__}.{module}").run(task, option, int(threads), float(seconds)).save(Path(path))


if __name__ == "__main__":
    main()
