"""Ctrl-C twice, at any moment: one line, exit code 130, and never a traceback."""

import json
import os
import random
import re
import signal
import sys
import textwrap
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from commands import ended, fullbatch, spawned, started

from fullbatch import load_model
from fullbatch.cli import _interrupts
from fullbatch.datasets import load_mnist

FOREVER = ("fit", "mnist", "--tol", "0", "--l2", "0", "--max-iter", "1000000", "--time-limit", "120")
KINDS = {
    "threads": (),
    "serial": ("--engine", "serial"),
    "streamed": ("--memory", "1MB"),
    "streamed serial": ("--engine", "serial", "--memory", "1MB"),
}


def listening(process):
    """Wait until the command has begun: what Python does before that nobody can change."""
    while process.poll() is None:
        with suppress(FileNotFoundError):  # a file that it has closed in between
            if any(os.readlink(file).startswith("socket:") for file in os.scandir(f"/proc/{process.pid}/fd")):
                return
        time.sleep(0.001)
    raise AssertionError(ended(process))


def pressed_twice(process, first, second):
    time.sleep(first)
    process.send_signal(signal.SIGINT)
    time.sleep(second)
    process.send_signal(signal.SIGINT)
    return ended(process, 130)


def check_screen(done):
    """The line of the second Ctrl-C is the last there is; or the first one had ended the fit by then."""
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    lines = done.stderr.splitlines()
    if done.stdout:
        assert json.loads(done.stdout)["status"] == "interrupted"
    else:
        assert lines[-1] == "interrupted"
    assert lines.count("interrupted") <= 1


def test_ctrl_c_ends_the_fit_and_its_model_is_saved(tmp_path):
    path = tmp_path / "model.fb"
    process = started(*FOREVER, "--save", path, "--json")
    while not re.match(r"\s+[1-9]", process.stderr.readline()):  # a step has been taken
        pass
    process.send_signal(signal.SIGINT)
    told = json.loads(ended(process, 130).stdout)
    assert told["status"] == "interrupted"
    assert told["saved"] == str(path)
    # What is saved is the iterate that is told of: the mean cross-entropy by hand, better than that of zeros.
    mnist = load_mnist()
    proba = load_model(path).predict_log_proba(mnist.X_train)
    assert told["F"] == pytest.approx(-proba[np.arange(8000), mnist.y_train].mean(), rel=1e-5)
    assert told["F"] < 0.9 * np.log(10.0)


def scripted(code, **options):
    """A process that runs this code as the command line is run, and has begun."""
    lines = ["import time", "from fullbatch.cli._interrupts import watched"]
    lines += ["from fullbatch.run.interrupts import before_the_end", "with watched():", textwrap.indent(code, "  ")]
    process = spawned([sys.executable, "-c", "\n".join(lines)], **options)
    assert process.stdout.readline() == "ready\n"
    return process


# As libraries do that lose a KeyboardInterrupt, with something to do before the end.
DEAF = """
with before_the_end(lambda: {}):
    words = "ready"
    while True:
        try:
            print(words, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            words = "lost"
"""


def test_a_second_ctrl_c_ends_what_loses_the_first_and_keeps_what_there_is_to_keep():
    process = scripted(DEAF.format("print('kept', flush=True)"))
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "lost\n"
    process.send_signal(signal.SIGINT)
    assert ended(process, 130) == ("kept\n", "interrupted\n")


def test_nobody_need_read_that_it_was_interrupted():
    process = scripted(DEAF.format("None"))
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "lost\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


@pytest.mark.parametrize("times", [1, 2])
def test_a_ctrl_c_in_the_midst_of_telling_of_the_first_is_not_the_end_of_that(times):
    process = scripted(f"""
import os, signal
from fullbatch.cli import _interrupts
write = _interrupts._write
def pressed(*told):
    for _ in range({times}):
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    write(*told)
_interrupts._write = pressed
print("ready", flush=True)
time.sleep(60)
""")
    process.send_signal(signal.SIGINT)
    assert ended(process, 130) == ("", "interrupted\n")


def test_a_third_ctrl_c_waits_for_nothing():
    process = scripted(DEAF.format("(print('keeping', flush=True), time.sleep(60))"))
    for said in ("lost", "keeping"):
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == f"{said}\n"
    process.send_signal(signal.SIGINT)
    assert ended(process, 130) == ("", "interrupted\n")


def test_a_ctrl_c_that_python_can_raise_nowhere_ends_the_command():
    process = scripted("""
class Gone:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)
gone = Gone()
del gone
""")
    process.send_signal(signal.SIGINT)
    assert ended(process, 130) == ("", "interrupted\n")


def test_ctrl_c_on_the_way_out():
    process = scripted("""
import atexit
atexit.register(lambda: (print("ready", flush=True), time.sleep(60)))
""")
    process.send_signal(signal.SIGINT)
    assert ended(process, 130) == ("", "")


def test_a_result_is_saved_before_the_command_hears_of_it():
    process = scripted("""
from fullbatch.cli._interrupts import hold
hold()
print("ready", flush=True)
until = time.monotonic() + 0.5
while time.monotonic() < until:
    time.sleep(0.01)
print("saved")
""")
    process.send_signal(signal.SIGINT)
    assert ended(process) == ("saved\n", "")


def test_at_a_terminal_what_comes_after_ctrl_c_has_a_line_of_its_own():
    terminal, of_process = os.openpty()
    process = scripted(DEAF.format("None"), stderr=of_process)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "lost\n"
    assert os.read(terminal, 100) == b"\r\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert os.read(terminal, 100) == b"interrupted\r\n"


def test_what_comes_out_as_an_error_after_ctrl_c_is_an_interrupt(monkeypatch):
    monkeypatch.setattr("fullbatch.cli.app.was_interrupted", lambda: True)
    assert fullbatch("evaluate", "nothing.fb", code=130) == ("", "")


def test_jobs_in_the_background_do_not_hear_it():
    code = "from fullbatch.cli._interrupts import watched\nwith watched(): input(); print('done')"
    process = spawned([sys.executable, "-c", code], lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.send_signal(signal.SIGINT)
    assert ended(process, say="\n").stdout == "done\n"


def test_a_command_that_was_not_interrupted_ends_with_its_own_code():
    assert "there is no file nothing.fb" in ended(started("inspect", "nothing.fb"), 1).stderr


def test_where_nobody_counts_ctrl_c_an_interrupt_is_told_all_the_same(capsys, monkeypatch):
    """As in a caller's own process, which runs commands one after another."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _interrupts.watched():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)
    _interrupts.hold()
    assert not _interrupts.was_interrupted()
    _interrupts.tell()
    assert capsys.readouterr().err == "interrupted\n"
    lost, passed_on = SimpleNamespace(exc_type=ValueError), []
    monkeypatch.setattr(sys, "__unraisablehook__", passed_on.append)
    _interrupts._unraisable(lost)  # what is no interrupt is Python's own affair
    assert passed_on == [lost]


def test_before_there_is_an_iterate_the_first_ctrl_c_ends_the_command(tmp_path):
    process = started(*FOREVER, "--save", tmp_path / "model.fb")
    listening(process)  # and imports
    process.send_signal(signal.SIGINT)
    assert ended(process, 130) == ("", "interrupted\n")
    assert not (tmp_path / "model.fb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "compiling"])
def test_at_random_moments(kind, compiled, tmp_path):
    """FULLBATCH_INTERRUPTS says how many of the 200 in all."""
    number = int(os.environ.get("FULLBATCH_INTERRUPTS", "200")) // (2 * len(KINDS))
    chance = random.Random(f"{kind} {compiled}")
    folder = {} if compiled else {"FULLBATCH_CACHE_DIR": str(tmp_path)}
    more = {"env": os.environ | {"FULLBATCH_PASSES": "compiled"} | folder}
    for _ in range(number):
        # Even this fit ends after some six seconds, at an F of 0; compiling takes as long.
        first = chance.uniform(0, 3 if compiled else 6)
        second = chance.choice([0.0, 0.001, 0.01, 0.1, chance.uniform(0, 2)])
        process = started(*FOREVER, *KINDS[kind], "--json", **more)
        listening(process)
        check_screen(pressed_twice(process, first, second))
