"""A peer's process: `python -m benchmarks.peers.worker PEER FOLDER THREADS`, then one JSON request a line.

{"time": k} is answered by {"seconds": [...]}, {"answer": path} by {} once value and grad are in that .npz file;
whatever goes wrong by {"error": "..."}. The first line out is {"version": "..."}.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main() -> None:
    peer, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    # Before any library counts CPUs; the CPUs themselves are for those that do not read such variables (JAX).
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not stand in the answers

    def reply(work: Callable[[], dict[str, Any]]) -> None:
        try:
            message = work()
        except Exception as error:
            message = {"error": f"{type(error).__name__}: {error}"[:500]}
        pipe.write(json.dumps(message) + "\n")

    state: dict[str, Any] = {}
    reply(partial(_start, state, peer, folder, threads))
    for line in sys.stdin:
        reply(partial(_serve, state, json.loads(line)))


def _start(state: dict[str, Any], peer: str, folder: Path, threads: int) -> dict[str, Any]:
    from ..problem import load

    module, _, option = peer.partition(":")
    state["pass"] = import_module(f"{__package__}.{module}").Pass(load(folder), option, threads)
    state["pass"].run()
    return {"version": state["pass"].version}


def _serve(state: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    peer = state["pass"]
    if "answer" in request:
        value, grad = peer.answer()
        np.savez(request["answer"], value=value, grad=grad)
        return {}
    peer.run()  # not counted: brings its threads and caches back
    seconds = []
    for _ in range(request["time"]):
        start = time.perf_counter()
        peer.run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


if __name__ == "__main__":
    main()
