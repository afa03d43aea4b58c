"""Benchmark of one pass (loss and gradient over all rows), beside what the machine can do and beside the peers.

`python -m benchmarks` runs it; docs/benchmarks.md explains what is measured.
"""

import os
import sys

# They slow BLAS where they are set, ours and the peers'; they are read when it is loaded.
if "numpy" not in sys.modules:
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
