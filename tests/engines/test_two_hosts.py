"""Two network namespaces stand for two hosts: nothing reaches from one to the other but the cable between them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack
from importlib import import_module

import numpy as np
import pytest
from tables import table, write_parquet_directory

import_module("ray")
pytestmark = pytest.mark.slow

FIRST, SECOND = "10.203.17.1", "10.203.17.2"
PORT = 6379


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


def why_not():
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command ip (iproute2)"
    name = f"fullbatch-{os.getpid()}-try"
    tried = ip("netns", "add", name, check=False)
    if tried.returncode:
        return f"this machine makes no network namespaces: {tried.stderr.strip()}"
    ip("netns", "del", name)
    return None


@pytest.fixture
def hosts():
    """Names of two namespaces with a cable between them; whatever runs in them is ended with them."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    names = [f"fullbatch-{os.getpid()}-{end}" for end in "ab"]
    ends = [f"fb{os.getpid() % 10**7}{end}" for end in "ab"]
    with ExitStack() as stack:
        for name in names:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            stack.callback(end_all, name)
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for name, end, address in zip(names, ends, (FIRST, SECOND), strict=True):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/30", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names


def end_all(name):
    """End the processes of a namespace."""
    for _ in range(50):
        found = ip("netns", "pids", name, check=False).stdout.split()
        if not found:
            return
        for process in found:
            try:
                os.kill(int(process), signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)


def on(host, *command, **options):
    return subprocess.run(
        ["ip", "netns", "exec", host, *command], capture_output=True, text=True, check=False, timeout=240, **options
    )


def test_each_host_reads_its_blocks_and_the_fit_has_the_bytes_of_the_serial_one(hosts, tmp_path):
    path = write_parquet_directory(table(5000), tmp_path / "parquet", files=5, row_group_size=300)
    program = textwrap.dedent(f"""
        import os
        from pathlib import Path
        import ray
        from fullbatch import LogisticRegression, RayEngine, SerialEngine, parquet_sources

        class Logged:
            "Parquet rows, and a note of the host that read them."
            def __init__(self, source, number):
                self.source, self.number = source, number
            def read(self):
                Path({str(tmp_path)!r}, f"read-{{self.number}}-by-{{ray.util.get_node_ip_address()}}").touch()
                return self.source.read()
            def __str__(self):
                return str(self.source)

        ray.init(address="{FIRST}:{PORT}", log_to_driver=False)
        print("HOSTS", *sorted(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]))
        sources = parquet_sources({str(path)!r}, target="y", blocks=12)
        engine = RayEngine(num_workers=2, num_cpus_per_worker=2)
        logged = [Logged(source, number) for number, source in enumerate(sources)]
        model = LogisticRegression(engine=engine, tol=1e-7).fit(logged)
        serial = LogisticRegression(engine=SerialEngine(), tol=1e-7).fit(sources)
        print("SAME", model.coef_.tobytes() + model.intercept_.tobytes()
              == serial.coef_.tobytes() + serial.intercept_.tobytes(), model.result_.passes > 3)
    """)
    temporary = tempfile.mkdtemp(prefix="fb", dir="/tmp")  # short: it becomes part of the names of sockets
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "150",
    }
    environment.pop("RAY_ADDRESS", None)
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=2", "--object-store-memory=100000000"]
    try:
        head = [*start, "--head", f"--port={PORT}", f"--node-ip-address={FIRST}", "--include-dashboard=false"]
        for host, command in (
            (hosts[0], [*head, f"--temp-dir={temporary}"]),
            (hosts[1], [*start, f"--address={FIRST}:{PORT}", f"--node-ip-address={SECOND}"]),
        ):
            done = on(host, *command, env=environment)
            assert done.returncode == 0, done.stdout + done.stderr
        assert on(hosts[1], "ip", "route", "get", "203.0.113.1").returncode != 0, "a way out of the namespace"
        done = on(hosts[0], sys.executable, "-W", "ignore", "-c", program, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"HOSTS {FIRST} {SECOND}" in done.stdout
        assert "SAME True True" in done.stdout
    finally:
        for host in hosts:
            end_all(host)
        shutil.rmtree(temporary, ignore_errors=True)
    read = {address: sorted(tmp_path.glob(f"read-*-by-{address}")) for address in (FIRST, SECOND)}
    numbers = {address: [int(file.name.split("-")[1]) for file in files] for address, files in read.items()}
    assert min(len(found) for found in numbers.values()) >= 4, numbers
    assert np.array_equal(np.sort(np.concatenate(list(numbers.values()))), np.arange(12)), "each block is read once"
