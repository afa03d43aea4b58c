"""Our end of the pipe to a peer's process, and the environment that it runs in."""

import hashlib
import json
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
TIMEOUT = 600.0  # seconds without an answer after which a peer is given up


class PeerError(Exception):
    """A peer could not be started, or failed."""


def make_environment(folder: Path, requirements: Path = REQUIREMENTS) -> Path:
    """The Python of the peer environment, made from the requirements unless it is there and up to date."""
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [*pip, "install", "--requirement", str(requirements)],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise PeerError(f"no peer environment: {reason}")
    stamp.write_text(wanted)
    return python


def run_worker(python: Path, module: str, told: list[Any], path: Path, timeout: float) -> None:
    """Run a peer's module to its end: it writes `path`, or what stopped it is told."""
    path.unlink(missing_ok=True)
    command = [str(part) for part in (python, "-m", module, *told)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise PeerError("no end in sight") from None
    if done.returncode or not path.exists():
        lines = done.stderr.strip().splitlines()
        raise PeerError(lines[-1][:300] if lines else f"ended with code {done.returncode}")


class Peer:
    """A peer with one problem loaded, in a process of its own that stays up."""

    def __init__(self, python: Path, peer: str, folder: Path, threads: int) -> None:
        # Messages go to a file: a pipe that nobody reads would block the process once it is full.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        self.precision = peer.partition(":")[2]
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.worker", peer, str(folder.resolve()), str(threads)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
        )
        try:
            self.version = self._reply()["version"]
        except PeerError:
            self.close()
            raise

    def time(self, passes: int) -> list[float]:
        """Seconds of each pass, after one that is not counted."""
        return self._ask({"time": passes})["seconds"]

    def answer(self) -> tuple[np.ndarray, np.ndarray]:
        """Loss and gradient as sums over rows."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "answer.npz"
            self._ask({"answer": str(path)})
            with np.load(path) as answer:
                return answer["value"], answer["grad"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._messages.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise PeerError(self._last_words()) from None
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], TIMEOUT)
        if not ready:
            raise PeerError(f"no answer for {TIMEOUT:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(self._last_words())
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(reply["error"])
        return reply

    def _last_words(self) -> str:
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        return f"the process ended: {lines[-1] if lines else 'no message'}"
