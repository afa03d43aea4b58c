import os

import pytest
from joblib import Parallel, delayed

from fullbatch import ThreadEngine
from fullbatch.machine.cpus import available_cpus

OWN = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("told", "wanted"),
    [("1", 1), ("1,4", 1), (" 1 ", 1), (str(OWN + 5), OWN), ("", OWN), ("0", OWN), ("-1", OWN), ("many", OWN)],
)
def test_a_share_that_a_worker_is_told_is_the_most(monkeypatch, told, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert available_cpus() == ThreadEngine().num_threads == wanted


def threads():
    return ThreadEngine().num_threads


def test_workers_of_joblib_start_no_more_threads_than_their_share(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert Parallel(n_jobs=OWN, backend="loky")([delayed(threads)()] * OWN) == [1] * OWN
