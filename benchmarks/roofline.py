"""What this machine can do, measured with small compiled loops, and the limits it sets to one pass."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from fullbatch.kernels.compiled import whole_vectors

from .problem import Problem

FAST = {"reassoc", "contract", "nsz", "arcp", "nnan", "ninf"}


@njit(fastmath=FAST, nogil=True, cache=True)
def _read(x: np.ndarray) -> int:
    total = 0
    for i in range(x.size):
        total += x[i]
    return total


@njit(fastmath=FAST, nogil=True, cache=True)
def _multiply_add(x: np.ndarray, out: np.ndarray, times: int) -> None:
    """8 fused multiply-adds for each element of a short array, into 8 sums: enough to hide their latency."""
    whole_vectors()
    a0, b0, c0, d0, e0, f0, g0, h0 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    a = b = c = d = e = f = g = h = x[8]
    for _ in range(times):
        for i in range(x.size):
            v = x[i]
            a += v * a0
            b += v * b0
            c += v * c0
            d += v * d0
            e += v * e0
            f += v * f0
            g += v * g0
            h += v * h0
        out[0] = a + b + c + d + e + f + g + h


# The exponentials round by adding a large constant, which reassociation would undo: contraction alone is allowed.


@njit(fastmath={"contract"}, nogil=True, cache=True)
def _exp32(x: np.ndarray, out: np.ndarray, times: int) -> None:
    """exp by 2**k times a polynomial (error 2e-7), which the compiler can vectorise; libm it cannot."""
    whole_vectors()
    for _ in range(times):
        for i in range(x.size):
            shifted = x[i] * np.float32(1.44269504) + np.float32(12582912.0)
            k = shifted - np.float32(12582912.0)
            r = x[i] - k * np.float32(0.693147181)
            p = np.float32(1.0 / 720.0)
            p = p * r + np.float32(1.0 / 120.0)
            p = p * r + np.float32(1.0 / 24.0)
            p = p * r + np.float32(1.0 / 6.0)
            p = p * r + np.float32(0.5)
            p = p * r + np.float32(1.0)
            p = p * r + np.float32(1.0)
            power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))
            out[i] = p * power.view(np.float32)


@njit(fastmath={"contract"}, nogil=True, cache=True)
def _exp64(x: np.ndarray, out: np.ndarray, times: int) -> None:
    """The same in float64 (error 1e-14)."""
    whole_vectors()
    for _ in range(times):
        for i in range(x.size):
            shifted = np.float64(x[i] * 1.4426950408889634 + 6755399441055744.0)
            k = shifted - 6755399441055744.0
            r = x[i] - k * 0.6931471805599453
            p = 1.0 / 39916800.0
            p = p * r + 1.0 / 3628800.0
            p = p * r + 1.0 / 362880.0
            p = p * r + 1.0 / 40320.0
            p = p * r + 1.0 / 5040.0
            p = p * r + 1.0 / 720.0
            p = p * r + 1.0 / 120.0
            p = p * r + 1.0 / 24.0
            p = p * r + 1.0 / 6.0
            p = p * r + 0.5
            p = p * r + 1.0
            p = p * r + 1.0
            power = np.int64((shifted.view(np.int64) + np.int64(1023)) << np.int64(52))
            out[i] = p * power.view(np.float64)


# Unsigned indices need no check for negative ones; four sums, so that no addition waits for the one before.


@njit(nogil=True, cache=True)
def _gather(table: np.ndarray, index: np.ndarray) -> float:
    a = b = c = d = table[0]
    for i in range(np.uint64(0), np.uint64(index.size), np.uint64(4)):
        a += table[index[i]]
        b += table[index[i + np.uint64(1)]]
        c += table[index[i + np.uint64(2)]]
        d += table[index[i + np.uint64(3)]]
    return a + b + c + d


@njit(nogil=True, cache=True)
def _scatter(table: np.ndarray, index: np.ndarray) -> None:
    one = table[0]
    for i in range(index.size):
        table[index[i]] += one


def _rate(task: Callable[[int], object], work: float, threads: int, repeats: int) -> float:
    """Work per second of all threads together: the best of some runs, since neighbours only ever slow it down."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(task, range(threads)))
        best = np.inf
        for _ in range(repeats):
            start = time.perf_counter()
            list(pool.map(task, range(threads)))
            best = min(best, time.perf_counter() - start)
    return work * threads / best


def measure(threads: int, quick: bool = False) -> dict[str, float]:
    """Rates per second with that many threads.

    bandwidth is bytes read from memory; gathers and scatters (read-modify-write) go to random places of a float32
    table of 4,096 entries (near caches) or 2**18 (1 MiB).
    """
    repeats, times = (2, 20) if quick else (40, 500)
    rng = np.random.default_rng(0)
    rates = {}
    big = [np.ones(2**20 if quick else 2**25, np.int64) for _ in range(threads)]  # 256 MiB each
    rates["bandwidth"] = _rate(lambda t: _read(big[t]), big[0].nbytes, threads, repeats)
    for dtype, exp in (("float32", _exp32), ("float64", _exp64)):
        x = [rng.uniform(-0.5, 0.5, 2048).astype(dtype) for _ in range(threads)]
        out = [np.empty_like(part) for part in x]
        flops = 2.0 * 8 * 2048 * 8 * times
        rates[f"flops_{dtype}"] = _rate(lambda t: _multiply_add(x[t], out[t], 8 * times), flops, threads, repeats)  # noqa: B023
        rates[f"exps_{dtype}"] = _rate(lambda t: exp(x[t], out[t], times), 2048.0 * times, threads, repeats)  # noqa: B023
        if not np.allclose(out[0], np.exp(x[0].astype(np.float64)), rtol=1e-6 if dtype == "float32" else 1e-13):
            raise AssertionError(f"the {dtype} exponential is wrong")
    count = 2**16 if quick else 2**22
    for name, entries in (("near", 4096), ("1MiB", 2**18)):
        index = [rng.integers(0, entries, count, np.uint32) for _ in range(threads)]
        tables = [np.full(entries, 1e-6, np.float32) for _ in range(threads)]
        rates[f"gathers_{name}"] = _rate(lambda t: _gather(tables[t], index[t]), count, threads, repeats)  # noqa: B023
        rates[f"scatters_{name}"] = _rate(lambda t: _scatter(tables[t], index[t]), count, threads, repeats)  # noqa: B023
    return rates


def limits(problem: Problem, rates: dict[str, float]) -> dict[str, float]:
    """Seconds below which one pass cannot go, by what it is limited by.

    Counted low, so that the ratio measured / limit is never flattered: bytes of the features alone, one exponential
    for each linear predictor and no logarithm, gathers and scatters at the rate of a table in the near caches.
    """
    predictors = problem.outputs * problem.models
    found = {
        "bandwidth": problem.feature_bytes / rates["bandwidth"],
        "flops": 4.0 * problem.stored_values * predictors / rates[f"flops_{problem.precision}"],
        "exps": problem.rows * predictors / rates[f"exps_{problem.precision}"],
    }
    indirect = {"csr": problem.stored_values, "mixed": problem.rows * len(problem.levels)}.get(problem.storage, 0)
    if indirect:
        found["gathers"] = indirect / rates["gathers_near"]
        found["scatters"] = indirect / rates["scatters_near"]
    return found
