"""Fits of the bundled MNIST while workers and nodes are lost: `python -m tests.engines.chaos ray 20`, or `dask 20`.

A program of its own, which starts a cluster of its own. Its last line of output is JSON: what was done, and whether
every theta has the serial engine's bytes.
"""

import contextlib
import json
import logging
import os
import random
import signal
import sys
import threading
import time
from collections import Counter

import numpy as np
import psutil

from fullbatch import LBFGS, Linear, Objective, SerialEngine, minimize
from fullbatch.datasets import load_mnist

HUNG = 90.0  # seconds after which a worker counts as hung


def fit(engine, told=None, watch=lambda blocks: None, iterations=30):
    """Theta after some iterations; `watch` is shown the blocks before the first."""
    blocks = engine.place(Linear("softmax"), load_mnist().train_sources(blocks=16))
    try:
        watch(blocks)
        objective = Objective(blocks, 1 / 8000)
        result = minimize(objective, np.zeros(objective.size), solver=LBFGS(), tol=0, max_iter=iterations)
    finally:
        blocks.close()
        if told is not None:
            told["losses"] += blocks.health.losses
            told["moved blocks"] += blocks.health.moved
    return result.theta.tobytes()


class RayChaos:
    """Three nodes: the driver's, which stays, and two of which one is lost now and then, and another comes."""

    kinds = ("kill", "kill", "kill", "node")

    def __init__(self):
        os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        # Ray is to notice within seconds that a node is gone.
        os.environ |= {"RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "20000"}
        from ray.cluster_utils import Cluster

        from fullbatch import RayEngine

        self.cluster = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.nodes = [self.fresh_node() for _ in range(2)]
        self.engine = RayEngine(address=self.cluster.address, max_failures=10**6, timeout=HUNG)

    def pids(self):
        """Of the workers, by the titles that Ray gives their processes."""
        found = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::_RayWorker"):
                    found.append(process.pid)
        return found

    def fresh_node(self):
        while True:
            try:
                return self.cluster.add_node(num_cpus=2)
            except Exception as error:  # Ray gives it 30 seconds, which a busy machine may not have
                if "timed out during startup" not in str(error):
                    raise

    def lose_node(self):
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
        self.nodes.append(self.fresh_node())

    def close(self):
        self.engine.close()
        self.cluster.shutdown()


class DaskChaos:
    """Three processes with nannies, which replace those that are lost."""

    kinds = ("kill",)

    def __init__(self):
        import dask
        from distributed import Client, LocalCluster

        from fullbatch import DaskEngine

        dask.config.set({"distributed.deploy.lost-worker-timeout": "300s"})  # nannies may take long on a busy machine
        there = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
        self.cluster = LocalCluster(n_workers=3, threads_per_worker=1, silence_logs="CRITICAL", **there)
        self.client = Client(self.cluster)
        self.engine = DaskEngine(self.client, max_failures=10**6, timeout=HUNG)

    def pids(self):
        # Of those that have joined: a nanny whose worker dies before that gives up.
        nannies, joined = self.cluster.workers.values(), self.cluster.scheduler.workers
        return [nanny.process.pid for nanny in nannies if nanny.worker_address in joined and nanny.process]

    def close(self):
        self.client.close()
        self.cluster.close()


def disturb(chaos, number, chance, done, fitting):
    """Do `number` bad things at random moments, one of them a hang, as long as there are fits."""
    while sum(done.values()) < number and fitting.is_alive():
        time.sleep(chance.uniform(0.5, 6.0))
        pids = chaos.pids()
        hang = sum(done.values()) >= number // 2 and not done["hang"] and number > 2
        kind = "hang" if hang else chance.choice(chaos.kinds)
        if kind == "node":
            chaos.lose_node()
        elif len(pids) > 1:  # else it is between two fits, or all but one are lost
            os.kill(chance.choice(pids), signal.SIGSTOP if kind == "hang" else signal.SIGKILL)
        else:
            continue
        done[kind] += 1


def main(kind, number, seed):
    logging.basicConfig(format="%(asctime)s %(message)s")
    expected = fit(SerialEngine())
    done, told, enough = Counter(), Counter(), threading.Event()
    start = time.monotonic()
    chaos = {"ray": RayChaos, "dask": DaskChaos}[kind]()

    def fits():
        while not enough.is_set() or not told["fits"]:
            same = fit(chaos.engine, told) == expected
            told["fits"] += 1
            told["equal"] += same
            print(f"{time.monotonic() - start:.0f} s: fit {told['fits']}, equal: {same}, {dict(done)}", flush=True)

    fitting = threading.Thread(target=fits)  # the main thread starts nodes: Ray wants that
    try:
        fitting.start()
        disturb(chaos, number, random.Random(seed), done, fitting)
    finally:
        enough.set()
        fitting.join()
        chaos.close()
    print(json.dumps({**told, "done": done, "seconds": round(time.monotonic() - start)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
