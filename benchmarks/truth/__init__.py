"""Whether solvers tell the truth on thousands of ugly little problems: `python -m benchmarks.truth --help`."""
