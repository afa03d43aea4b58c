"""The command line, for tests: in this process, or in one of its own."""

import io
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from typing import NamedTuple

import pytest

from fullbatch.cli.app import run

with suppress(ImportError):
    import pooch  # noqa: F401  its log goes for good to what standard error is now: in a test, to what is closed behind it


class Done(NamedTuple):
    stdout: str
    stderr: str


def fullbatch(*arguments, code=0, cwd="."):
    """The command in this process, which is much quicker than in one of its own."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(stdout), redirect_stderr(stderr), pytest.raises(SystemExit) as left:
        run(list(map(str, arguments)))
    done = Done(stdout.getvalue(), stderr.getvalue())
    assert left.value.code == code, f"exit code {left.value.code}\n{done.stdout}\n{done.stderr}"
    return done


def _as_from_a_terminal():
    """SIGINT as it is at a terminal: a process that is started in the background may have to ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(*arguments, before=_as_from_a_terminal, **options):
    """The command in a process of its own."""
    return spawned([sys.executable, "-m", "fullbatch", *map(str, arguments)], before, **options)


def spawned(command, before=_as_from_a_terminal, **options):
    """A process; `before` is called in it first of all."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, preexec_fn=before, text=True, **pipes | options)


def ended(process, code=0, say=None):
    """What a process has said when it is over."""
    done = Done(*process.communicate(say, timeout=300))
    assert process.returncode == code, f"exit code {process.returncode}\n{done.stdout}\n{done.stderr}"
    return done
