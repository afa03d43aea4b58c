"""Which files the tests run less than 95 % of, with branches: `make coverage`. Ends with 1 where one has no reason."""

import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

_ENOUGH = 95.0

# Below src/fullbatch, and why no more of it is run in the processes that are measured.
REASONS: dict[str, str] = {}


def main() -> None:
    measured = Coverage(config_file=str(Path(__file__).parents[1] / "pyproject.toml"))
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        measured.json_report(outfile=str(Path(folder, "report.json")))
        report = json.loads(Path(folder, "report.json").read_text())
    shares = {name.partition("src/fullbatch/")[2]: file["summary"] for name, file in report["files"].items()}
    unexplained = 0
    for name, summary in sorted(shares.items(), key=lambda item: item[1]["percent_covered"]):
        if summary["percent_covered"] < _ENOUGH:
            reason = REASONS.get(name, "no reason is given")
            unexplained += name not in REASONS
            missing = f"{summary['missing_lines']} lines, {summary['missing_branches']} branches missing"
            print(f"{summary['percent_covered']:5.1f} %  {name}: {missing}: {reason}")
    print(f"{report['totals']['percent_covered']:5.1f} %  all of src/")
    for name in sorted(
        name for name in REASONS if shares.get(name, {"percent_covered": 100.0})["percent_covered"] >= _ENOUGH
    ):
        print(f"needs no reason any more: {name}")
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
