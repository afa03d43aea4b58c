"""Which files the tests run less than 95 % of, with branches: `make coverage`. Ends with 1 where one has no reason."""

import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

_ENOUGH = 95.0

# Below src/fullbatch, a file or a room, and why no more of it is run where it is measured: in the processes of the
# tests, and in those that they start, which workers of clusters are not.
REASONS: dict[str, str] = {
    "__main__.py": "runs as the main module; that Dask's workers import it is not measured",
    "data/ray_.py": "shapes are told on Ray's workers; and the import fails where Ray is missing only",
    "engines/_dask_cluster.py": "losses, pauses and growth of a cluster come at moments that fast tests seldom meet",
    "engines/_ray_cluster.py": "actors run on Ray's workers; losses of answers come at moments that tests seldom meet",
    "estimators/mlflow_.py": "needs MLflow, which is no part of the extra 'test': its own tests run where it is there",
    "kernels/": "Numba compiles it, or runs it while it compiles: Python itself never enters those lines",
}


def reason(name: str) -> str | None:
    """That of a file, or of its room."""
    return REASONS.get(name, REASONS.get(f"{name.partition('/')[0]}/"))


def main() -> None:
    measured = Coverage(config_file=str(Path(__file__).parents[1] / "pyproject.toml"))
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        measured.json_report(outfile=str(Path(folder, "report.json")))
        report = json.loads(Path(folder, "report.json").read_text())
    files = {name.partition("src/fullbatch/")[2]: file["summary"] for name, file in report["files"].items()}
    below = {name: summary for name, summary in files.items() if summary["percent_covered"] < _ENOUGH}
    for name, summary in sorted(below.items(), key=lambda item: item[1]["percent_covered"]):
        missing = f"{summary['missing_lines']} lines, {summary['missing_branches']} branches missing"
        print(f"{summary['percent_covered']:5.1f} %  {name}: {missing}: {reason(name) or 'no reason is given'}")
    print(f"{report['totals']['percent_covered']:5.1f} %  all of src/")
    for told in REASONS:
        if not any(name == told or (told.endswith("/") and name.startswith(told)) for name in below):
            print(f"needs no reason any more: {told}")
    sys.exit(0 if all(map(reason, below)) else 1)


if __name__ == "__main__":
    main()
