"""A Poisson frequency model from a pandas frame, beside glum's: `python -m benchmarks.fits.frame`.

678,000 rows with 6 categorical columns, 3 numbers, exposures and an L2 penalty. Each fits in a process of its own, to
ever tighter tolerances; told are the seconds of the first fit whose F, by NumPy from its predictions, is within a
relative 1e-8 of the least that either reached, and the peak of memory above what the process held before that fit.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..peers.client import run_worker

ALPHA, GAP = 1e-4, 1e-8
TOLERANCES = {"fullbatch": (1e-4, 1e-5, 1e-6), "glum": (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)}


def made(rows: int) -> Any:
    """The frame, with `claims` and `exposure`."""
    import pandas

    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    eta = np.full(rows, -2.5)
    for name, size in {"area": 6, "brand": 11, "gas": 2, "region": 22, "power": 12, "age": 80}.items():
        codes = np.minimum(rng.zipf(1.4, rows), size) - 1
        eta += 0.2 * rng.standard_normal(size)[codes]
        columns[name] = pandas.Categorical.from_codes(codes, [f"{name} {level}" for level in range(size)])
    for name in ("density", "bonus", "vehicle"):
        columns[name] = rng.standard_normal(rows)
        eta += 0.1 * columns[name]
    columns["exposure"] = rng.uniform(0.05, 1.0, rows)
    columns["claims"] = rng.poisson(columns["exposure"] * np.exp(eta)).astype(np.float64)
    return pandas.DataFrame(columns)


def fitted(who: str, frame: Any, tol: float) -> Any:
    X, exposure = frame.drop(columns=["claims", "exposure"]), frame["exposure"].to_numpy()
    rate = frame["claims"].to_numpy() / exposure
    if who == "glum":
        from glum import GeneralizedLinearRegressor as Glum

        model: Any = Glum(family="poisson", alpha=ALPHA, l1_ratio=0, gradient_tol=tol, max_iter=1000)
    else:
        from fullbatch import GeneralizedLinearRegressor

        model = GeneralizedLinearRegressor(family="poisson", alpha=ALPHA, tol=tol)
    return model.fit(X, rate, sample_weight=exposure)


def peak() -> int:
    """Most bytes that this process has held since it was last reset."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def held() -> int:
    Path("/proc/self/clear_refs").write_text("5")  # begins to look for the peak anew
    return peak()


def worker(who: str, path: str, output: str) -> None:
    """Fits of one contender: seconds, peaks and values of F."""
    import pandas

    frame = pandas.read_parquet(path)
    frame = frame.assign(**{name: frame[name].astype("category") for name in frame.columns[:6]})
    fitted(who, frame, 0.1)  # compiles
    found = []
    for tol in TOLERANCES[who]:
        before, began = held(), time.perf_counter()
        model = fitted(who, frame, tol)
        seconds, most = time.perf_counter() - began, peak()
        eta = np.log(model.predict(frame.drop(columns=["claims", "exposure"])))
        exposure = frame["exposure"].to_numpy()
        y = frame["claims"].to_numpy() / exposure
        loss = np.average(np.exp(eta) - y * eta, weights=exposure)
        value = float(loss + 0.5 * ALPHA * (np.asarray(model.coef_) ** 2).sum())
        found.append({"tol": tol, "seconds": seconds, "peak_bytes": most - before, "F": value})
    Path(output).write_text(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fits.frame", description=__doc__)
    parser.add_argument("--rows", type=int, default=678_000)
    parser.add_argument("--no-peers", action="store_true", help="fullbatch alone")
    parser.add_argument("--worker", nargs=3, metavar=("WHO", "FRAME", "OUTPUT"), help="used by the benchmark itself")
    options = parser.parse_args()
    if options.worker:
        return worker(*options.worker)
    from ..sparse.__main__ import environment

    pythons = {"fullbatch": Path(sys.executable)}
    if not options.no_peers:
        pythons["glum"] = environment("glum_")
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder, "frame.parquet"), Path(folder, "found.json")
        made(options.rows).to_parquet(path)
        found = {}
        for who, python in pythons.items():
            run_worker(python, "benchmarks.fits.frame", ["--worker", who, path, output], output, 600.0)
            found[who] = json.loads(output.read_text())
    least = min(one["F"] for fits in found.values() for one in fits)
    told: dict[str, Any] = {"rows": options.rows, "F": least}
    for who, fits in found.items():
        near = [one | {"gap": (one["F"] - least) / abs(least)} for one in fits]
        told[who] = next((one for one in near if one["gap"] <= GAP), {"failed": "not within the gap", **near[-1]})
    if "glum" in told:
        for name in ("seconds", "peak_bytes"):
            told[f"{name}: ours / glum's"] = told["fullbatch"][name] / told["glum"][name]
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
