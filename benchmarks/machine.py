"""The limits of this machine, measured: memory bandwidth, peak FLOP/s, exponentials and random reads and writes."""

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from fullbatch.losses import COMPILED, exp, inlined


@njit(**COMPILED)
def _read(x):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i]
    return total


@njit(**COMPILED)
def _multiply_add(lanes, times):
    scale, shift = lanes.dtype.type(0.999), lanes.dtype.type(1e-3)
    for _ in range(times):
        for i in range(64):  # stays in registers
            lanes[i] = lanes[i] * scale + shift
    return lanes[0]


@inlined
def _exponentials(x, out):
    for i in range(x.size):
        out[i] = exp(x[i])


@njit(**COMPILED)
def _exponentials_many(x, out, times):
    for _ in range(times):
        _exponentials(x, out)


@njit(**COMPILED)
def _gather_scatter(index, w, g):
    total = 0.0
    for i in range(index.size):
        total += w[np.uintp(index[i])]
    for i in range(index.size):
        g[np.uintp(index[i])] += total
    return total


def limits(threads, repeats=7):
    """Rates of the whole machine with `threads` threads: the best of some runs each, since a limit is a limit."""
    rng = np.random.default_rng(0)
    big = [np.ones(24_000_000, np.float32) for _ in range(threads)]
    index = [rng.zipf(1.3, 2_000_000).clip(1, 200_000).astype(np.int32) - 1 for _ in range(threads)]
    tasks = {
        "bytes_per_s": (96e6, lambda i: _read(big[i])),
        "float32_flops_per_s": (128 * 1e6, lambda i: _multiply_add(np.ones(64, np.float32), 1_000_000)),
        "float64_flops_per_s": (128 * 1e6, lambda i: _multiply_add(np.ones(64, np.float64), 1_000_000)),
        "exp_per_s": (4096 * 500, lambda i: _exponentials_many(np.zeros(4096), np.zeros(4096), 500)),
        "gather_scatter_per_s": (2e6, lambda i: _gather_scatter(index[i], np.zeros(200_000), np.zeros(200_000))),
    }
    rates = {}
    with ThreadPoolExecutor(threads) as pool:
        for name, (amount, task) in tasks.items():
            task(0)
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                list(pool.map(task, range(threads)))
                seconds.append(time.perf_counter() - start)
            rates[name] = threads * amount / min(seconds)
    return rates


def description():
    """The machine and the versions in words."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu": model, "cpus": os.cpu_count(), "system": platform.platform(), "load_before": load}
