"""What docs/clusters.md and the manifest for Kubernetes say is run: tokens, two nodes, jobs, stop and go on."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from fullbatch import load_model, load_state
from fullbatch.kernels.cache import cache_dir

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "clusters.md"
MANIFEST = ROOT / "examples" / "kuberay" / "rayjob.yaml"


def shell_blocks():
    return re.findall(r"^```bash run\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def environment(home):
    """Of a user with a home of their own who has the commands `ray` and `fullbatch`, and nothing set for Ray."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    compiled = Path(cache_dir()).parent if cache_dir() else home
    return clean | {"HOME": str(home), "PATH": path, "RAY_TMPDIR": str(home), "FULLBATCH_CACHE_DIR": str(compiled)}


def free_ports(count):
    with_ports = [socket.socket() for _ in range(count)]
    for one in with_ports:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_of_the_page_runs_in_the_order_of_the_page(tmp_path):
    script = "set -e\n" + "".join(shell_blocks())
    assert script.count("ray job submit") == 3
    # As written, but for the ports, which other Rays of this machine may have.
    named = ["6379", "8265", "52365", "52366"]
    for name, port in zip(named, free_ports(len(named)), strict=True):
        assert name in script
        script = script.replace(name, str(port))
    home = Path("/tmp") / f"fb{os.getpid()}"  # Ray's sockets need short names
    home.mkdir()
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            stdout=file,
            stderr=file,
            env=environment(home),
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=900)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(timeout=60)
            subprocess.run(["rm", "-rf", str(home)], check=True)
    told = log.read_text()
    assert code == 0, told + (tmp_path / "head.log").read_text()[-2000:]
    assert "Job 'again' succeeded" in told
    resumed = int(re.search(r"before the resume at (\d+) included", told, re.MULTILINE)[1])
    newest = load_state(max((tmp_path / "run").glob("checkpoint-*.fb")))
    assert 0 <= resumed <= newest.iteration
    assert "Authentication" in (tmp_path / "refused.log").read_text()
    # The same bytes as a fit that nobody stopped, on threads.
    whole = tmp_path / "whole.fb"
    fit(["fit", "mnist", "--save", whole, "--quiet"])
    assert (tmp_path / "model.fb").read_bytes() == whole.read_bytes()


def fit(arguments, **options):
    command = [sys.executable, "-m", "fullbatch", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_manifest_is_a_rayjob_whose_parts_fit_together():
    job = yaml.safe_load(MANIFEST.read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    images = {container["image"] for pod in pods for container in pod["containers"]}
    assert len(images) == 1  # the same versions everywhere
    for pod in pods:
        (container,) = pod["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {"shared": "/shared"}
        assert [volume["name"] for volume in pod["volumes"]] == ["shared"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:2] == ["fullbatch", "fit"]
    assert all(word.startswith("/shared/") for word in words if word.startswith("/"))


@pytest.mark.slow
def test_the_command_of_the_manifest_fits_and_goes_on(tmp_path, ray_session):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    lines = [f"{a},{b},{c},{'yes' if a + b > 0 else 'no'}" for a, b, c in X.round(3).tolist()]
    (tmp_path / "train.csv").write_text("\n".join(["a,b,c,label", *lines]) + "\n")
    command = yaml.safe_load(MANIFEST.read_text())["spec"]["entrypoint"].replace("/shared", str(tmp_path))
    address = os.environ | {"RAY_ADDRESS": ray_session.get_runtime_context().gcs_address}
    told = [json.loads(fit([*shlex.split(command)[1:], "--json"], env=address)) for _ in range(2)]
    assert told[0]["engine"] == "ray"
    assert told[0]["resumed_at"] is None
    assert told[1]["resumed_at"] == told[0]["iterations"]  # a retry, after all was done
    assert told[1]["F"] == told[0]["F"]
    labels = np.array([line.rpartition(",")[2] for line in lines])
    assert (load_model(tmp_path / "model.fb").predict(X) == labels).mean() > 0.95
