"""The CPUs of this process."""

import os


def available_cpus() -> int:
    """CPUs this process may use; no more than OMP_NUM_THREADS, by which joblib and Ray tell their workers a share."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # further ones are of nested levels
    return min(own, int(told)) if told.isdecimal() and int(told) else own
