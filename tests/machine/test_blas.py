"""BLAS runs on one thread wherever we say so, whoever set its number of threads before."""

import threading
from types import SimpleNamespace

import pytest
import scipy.linalg  # noqa: F401  loads the libraries
from threadpoolctl import threadpool_info, threadpool_limits

from fullbatch.machine import blas
from fullbatch.machine.blas import one_thread


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def in_another_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def inside():
    with one_thread():
        return blas_threads()


@pytest.fixture
def three_threads():
    """BLAS with three threads, of which the main thread is in charge."""
    with threadpool_limits(3, user_api="blas"):
        yield


def test_the_limit_holds_in_a_thread_that_did_not_set_the_number(three_threads):
    assert blas_threads() == {3}
    assert inside() == {1}
    assert in_another_thread(inside) == {1}
    assert blas_threads() == {3}


def test_the_last_to_leave_lifts_the_limit(three_threads):
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with one_thread():
            entered.set()
            leave.wait(30)
            return blas_threads()

    found = []
    last = threading.Thread(target=lambda: found.append(stay()))
    with one_thread():
        last.start()
        assert entered.wait(30)
    assert blas_threads() == {1}  # one is inside yet
    leave.set()
    last.join()
    assert found == [{1}]
    assert blas_threads() == {3}
    assert in_another_thread(inside) == {1}


def test_a_library_of_an_earlier_threadpoolctl_is_set_at_once():
    told = []
    blas._set(SimpleNamespace(set_num_threads=told.append), 3)
    assert told == [3]
