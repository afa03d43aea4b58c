"""How many passes, and how many seconds, solvers need to reach the optimum: `python -m benchmarks.solvers --help`."""
