"""What is told while a kernel is being compiled. Numba's events are sent by hand: nothing is compiled here."""

import logging

import numba
import numpy as np
import pytest
from numba.core import event

from fullbatch import LogisticRegression
from fullbatch.cli._screen import plan_shown
from fullbatch.kernels import passes
from fullbatch.kernels.losses import Huber
from fullbatch.models import _compiled  # noqa: F401  it listens
from fullbatch.run.callbacks import compiling_shown

TOLD = "compiling hess_vec for Huber, once on this machine: some seconds"


def compile_in_name(kernel=passes.hess_vec):
    """A kernel, and within it what it calls."""
    outer, inner = (
        {"dispatcher": one, "args": (numba.typeof(Huber()), numba.float64), "return_type": None}
        for one in (kernel, passes.diagonal)
    )
    with event.trigger_event("numba:compile", data=outer), event.trigger_event("numba:compile", data=inner):
        pass


def test_a_kernel_is_told_of_once_and_what_is_not_ours_never(caplog):
    caplog.set_level(logging.INFO, "fullbatch.compile")
    compile_in_name()
    compile_in_name()
    compile_in_name(numba.njit(lambda x: x))  # neither is what it calls
    assert [record.getMessage() for record in caplog.records] == [TOLD, TOLD]


@pytest.mark.parametrize("shown", [lambda: plan_shown(False), compiling_shown])
def test_the_screen_says_so(shown, capfd):
    with shown():
        compile_in_name()
    compile_in_name()  # nobody looks any more
    assert " ".join(capfd.readouterr().err.split()) == TOLD


def test_a_quiet_screen_does_not(capfd):
    with plan_shown(True):
        compile_in_name()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("verbose", [0, 1])
def test_fits_that_show_progress_say_so(verbose, capfd, monkeypatch):
    def fitted(self, engine, given):
        compile_in_name()

    monkeypatch.setattr(LogisticRegression, "_learn", fitted)
    LogisticRegression(verbose=verbose).fit(np.eye(2), [0, 1])
    assert (TOLD in " ".join(capfd.readouterr().err.split())) == bool(verbose)
