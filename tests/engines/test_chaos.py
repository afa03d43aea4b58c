"""Whole fits while workers and nodes are lost at random moments: every theta is the serial engine's to the byte."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engines import chaos

from fullbatch import RayEngine, SerialEngine

ROOT = Path(__file__).parents[2]


def disturbed(kind, number):
    """What `chaos.py` says, as a program of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.engines.chaos", kind, str(number)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["equal"] == told["fits"] > 0, told
    assert sum(told["done"].values()) == number, told
    return told


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ray_loses_workers_and_nodes_20_times():
    told = disturbed("ray", 20)
    assert told["done"]["hang"] == 1
    assert told["done"]["node"] >= 2
    assert told["losses"] >= 15


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_dask_loses_workers_20_times():
    told = disturbed("dask", 20)
    assert told["done"]["hang"] == 1
    assert told["losses"] >= 15


def test_dask_loses_a_worker():
    assert disturbed("dask", 1)["losses"] <= 1


def test_ray_loses_two_workers_during_a_fit(ray_session, monkeypatch):
    killed = []

    def kill_two(blocks):
        pids = [
            ray_session.get(member.worker.__ray_call__.remote(lambda worker: os.getpid())) for member in blocks._members
        ]
        asked, ask = [], blocks.sum

        def kill_and_ask(request):
            asked.append(request)
            if len(asked) in (3, 9):
                killed.append(pids.pop())
                os.kill(killed[-1], signal.SIGKILL)
            return ask(request)

        blocks.sum = kill_and_ask

    expected = chaos.fit(SerialEngine())
    assert chaos.fit(RayEngine(3, max_failures=2), watch=kill_two) == expected
    assert len(killed) == 2
