"""A network on all rows of MNIST: fullbatch's L-BFGS on Ray beside torch.optim.LBFGS in one process, in turns.

    FULLBATCH_MNIST=DIR python -m benchmarks.mlp

They compute in turns of a few evaluations, so that whatever else the machine does hits both alike.

784-128-10 with tanh, mean cross-entropy and a small L2 penalty on kernels (without one, F falls to 0 and the last
iterations are float32 noise); the same start, number of iterations and memory. torch has its data converted before the
clock starts; fullbatch's workers convert bytes in every pass.
"""

import argparse
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a Ray of this run alone, on this machine

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fullbatch import LBFGS, Objective, RayEngine, TorchModel, minimize
from fullbatch.datasets import Mnist, load_mnist

from . import machine

RESULTS = Path(__file__).parent / "results"
MEMORY = 30  # pairs that both keep
L2 = 1e-4
TURN = 10  # evaluations
OURS, THEIRS = "fullbatch, Ray", "torch.optim.LBFGS"


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 10))


def cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, labels, reduction="none")


class Turns:
    """Runs in threads of which one computes at a time; the clock of each stands still while it waits."""

    def __init__(self, names: list[str]) -> None:
        self._waiting, self._change = list(names), threading.Condition()
        self._began, self._evaluations = 0.0, 0
        self.seconds = dict.fromkeys(names, 0.0)

    def run(self, name: str, task: Callable[[Callable[[], None]], Any]) -> Any:
        """What `task` returns; it calls what it is given at each evaluation."""
        with self._change:
            self._wait(name)
            try:
                return task(lambda: self._evaluated(name))
            finally:
                self._stop(name)
                self._waiting.remove(name)
                self._change.notify_all()

    def _evaluated(self, name: str) -> None:
        self._evaluations += 1
        if self._evaluations == TURN:
            self._stop(name)
            self._waiting.append(self._waiting.pop(0))
            self._change.notify_all()
            self._wait(name)

    def _wait(self, name: str) -> None:
        self._change.wait_for(lambda: self._waiting[0] == name)
        self._began, self._evaluations = time.perf_counter(), 0

    def _stop(self, name: str) -> None:
        self.seconds[name] += time.perf_counter() - self._began


class Ours:
    """fullbatch with `workers` Ray workers."""

    def __init__(self, mnist: Mnist, workers: int, blocks: int | None) -> None:
        self._engine = RayEngine(num_workers=workers)
        self._model = TorchModel(network, cross_entropy)
        self._blocks = self._engine.place(self._model, mnist.train_sources(blocks=blocks))
        self.about = f"{workers} workers, {len(self._blocks.schema.block_rows)} blocks"

    def run(self, iterations: int, evaluated: Callable[[], None]) -> dict[str, Any]:
        objective, solver = Objective(self._blocks, l2=L2), LBFGS(memory=MEMORY)
        # An iteration is one evaluation, or two; a callback is where a run can be made to wait.
        result = minimize(
            objective,
            self._model.start(),
            solver=solver,
            tol=0.0,
            max_iter=iterations,
            callbacks=[lambda iterate: evaluated()],
        )
        return {"theta": result.theta, "iterations": result.iterations, "evaluations": result.passes}

    def close(self) -> None:
        self._blocks.close()
        self._engine.close()


class Theirs:
    """torch.optim.LBFGS with strong Wolfe conditions, in this process."""

    def __init__(self, mnist: Mnist, threads: int) -> None:
        torch.set_num_threads(threads)
        self._X, self._y = torch.from_numpy(mnist.X_train), torch.from_numpy(mnist.y_train)
        self.about = f"one process, {threads} threads"

    def run(self, iterations: int, evaluated: Callable[[], None]) -> dict[str, Any]:
        module = network()
        optimizer = torch.optim.LBFGS(
            module.parameters(),
            max_iter=iterations,
            max_eval=100 * iterations,
            history_size=MEMORY,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = functional.cross_entropy(module(self._X), self._y)
            loss = loss + 0.5 * L2 * sum((one**2).sum() for one in module.parameters() if one.ndim == 2)
            loss.backward()
            evaluated()
            return loss

        optimizer.step(closure)
        state = next(iter(optimizer.state.values()))
        theta = nn.utils.parameters_to_vector(module.parameters()).detach().double().numpy()
        return {"theta": theta, "iterations": state["n_iter"], "evaluations": state["func_evals"]}


def judge(mnist: Mnist, run: dict[str, Any]) -> dict[str, Any]:
    """F and the loss in float64 and accuracies, by NumPy alone: the same judge for both."""
    theta = run.pop("theta")
    W1, b1, W2, b2 = np.split(theta, np.cumsum([784 * 128, 128, 1280]))

    def logits(X: np.ndarray) -> np.ndarray:
        hidden = np.tanh(X.astype(np.float64) @ W1.reshape(128, 784).T + b1)
        return hidden @ W2.reshape(10, 128).T + b2

    train, test = logits(mnist.X_train), logits(mnist.X_test)
    largest = train.max(axis=1)
    own = train[np.arange(len(train)), mnist.y_train]
    losses = largest + np.log(np.exp(train - largest[:, None]).sum(axis=1)) - own
    accuracy = {
        "train_accuracy": float(np.mean(train.argmax(axis=1) == mnist.y_train)),
        "test_accuracy": float(np.mean(test.argmax(axis=1) == mnist.y_test)),
    }
    penalty = 0.5 * L2 * float((W1**2).sum() + (W2**2).sum())
    return {**run, "F": float(losses.mean()) + penalty, "loss": float(losses.mean()), **accuracy}


def markdown(result: dict[str, Any]) -> str:
    columns = ["seconds", "iterations", "evaluations", "F", "loss", "train_accuracy", "test_accuracy"]
    lines = [
        f"# 784-128-10 on {result['rows']} images, {result['iterations']} iterations",
        "",
        f"fullbatch {result['machine']['fullbatch']}; torch {result['torch']}; {result['machine']['cpu']}; "
        f"load average at the start {result['machine']['load_average_at_start']}.",
        "",
        f"| | | {' | '.join(columns)} |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for name, runs in result["runs"].items():
        for run in runs:
            cells = [f"{run[column]:.5g}" for column in columns]
            lines.append(f"| {name} | {result['about'][name]} | {' | '.join(cells)} |")
    lines += ["", f"Seconds, fullbatch / torch: {result['ratio']:.3f}"]
    lines += ["", f"Seconds of an evaluation, fullbatch / torch: {result['ratio_of_an_evaluation']:.3f}", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mlp", description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", default=os.environ.get("FULLBATCH_MNIST"), help="default: FULLBATCH_MNIST")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=2, help="runs of each")
    parser.add_argument("--workers", type=int, default=2, help="Ray workers, and torch's threads")
    parser.add_argument("--blocks", type=int, help="default: fullbatch's own")
    parser.add_argument("--output", type=Path, default=RESULTS / "mlp", help="report without suffix")
    options = parser.parse_args()
    mnist = load_mnist(options.mnist)
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "torch": torch.__version__,
        "rows": len(mnist.y_train),
        "iterations": options.iterations,
        "l2": L2,
        "runs": {OURS: [], THEIRS: []},
    }
    ours = Ours(mnist, options.workers, options.blocks)
    theirs = Theirs(mnist, options.workers)
    result["about"] = {OURS: ours.about, THEIRS: theirs.about}
    try:
        for _ in range(options.repeats):
            for name, run in together(ours, theirs, options.iterations).items():
                result["runs"][name].append(judge(mnist, run))
    finally:
        ours.close()
    result["ratio"] = _ratio(result["runs"], lambda run: run["seconds"])
    result["ratio_of_an_evaluation"] = _ratio(result["runs"], lambda run: run["seconds"] / run["evaluations"])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{options.output}.json").write_text(json.dumps(result, indent=1) + "\n")
    Path(f"{options.output}.md").write_text(markdown(result))
    print(markdown(result))


def together(ours: Ours, theirs: Theirs, iterations: int) -> dict[str, dict[str, Any]]:
    """One run of each, in turns, after three iterations that are not counted. torch has the main thread."""
    for count in (3, iterations):
        turns = Turns([OURS, THEIRS])
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(turns.run, OURS, lambda evaluated, count=count: ours.run(count, evaluated))
            row = turns.run(THEIRS, lambda evaluated, count=count: theirs.run(count, evaluated))
            rows = {OURS: running.result(), THEIRS: row}
    return {name: {**row, "seconds": turns.seconds[name]} for name, row in rows.items()}


def _ratio(runs: dict[str, list[dict[str, Any]]], measure: Callable[[dict[str, Any]], float]) -> float:
    ours, theirs = (sum(map(measure, runs[name])) for name in (OURS, THEIRS))
    return ours / theirs


if __name__ == "__main__":
    main()
