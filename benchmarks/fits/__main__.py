"""Runs the benchmark: `python -m benchmarks.fits --help`."""

import json
import os
import time
from pathlib import Path
from typing import Any

from .. import machine
from ..sparse import report
from ..sparse.__main__ import parsed, parser_of, run
from . import picture
from .problems import FEW, PEERS, TASKS

GAPS, PICTURED = (1e-2, 1e-4, 1e-6, 1e-8), 1e-6
TOLERANCES = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)


def main() -> None:
    options = parsed(parser_of("fits", TASKS), TASKS)
    result: dict[str, Any] = {"machine": machine.describe(), "quick": options.quick, "tasks": {}, "loads": []}
    result["started"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    for name in options.tasks:
        task = TASKS[name](FEW) if options.quick else TASKS[name]()
        result["loads"].append(f"{name} {os.getloadavg()[0]:.1f}")
        result["tasks"][name] = run(task, PEERS[name], TOLERANCES, GAPS, options)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{options.output}.json").write_text(json.dumps(result, indent=1) + "\n")
        Path(f"{options.output}.md").write_text(report.markdown(result, "Whole fits"))
        Path(f"{options.output}.svg").write_text(picture.svg(result, PICTURED))
    print(report.markdown(result, "Whole fits"))


if __name__ == "__main__":
    main()
