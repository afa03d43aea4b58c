"""A 784-128-10 network in torch, trained on all images at every step by L-BFGS on Ray.

Install "fullbatch[ray,torch]", then:

    python examples/ray_torch_mlp.py                   # the 8,000 training images that ship with fullbatch
    python examples/ray_torch_mlp.py --mnist DIR       # all 60,000, from the four IDX files in DIR
"""

import argparse

import numpy as np
import torch

from fullbatch import Objective, Progress, RayEngine, TorchModel, minimize
from fullbatch.datasets import load_mnist


def network():
    """A recipe, sent to the workers: each builds its own module."""
    torch.manual_seed(0)  # the driver's start is drawn here too
    return torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))


def cross_entropy(logits, labels):
    """One loss per image."""
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def main(args):
    mnist = load_mnist(args.mnist)
    engine = RayEngine(args.workers)
    model = TorchModel(network, cross_entropy)
    blocks = engine.place(model, mnist.train_sources())
    objective = Objective(blocks, l2=1e-3)  # on the kernels; biases are left alone

    result = minimize(objective, model.start(), max_iter=args.iterations, callbacks=[Progress()], check_gradient=True)
    engine.close()

    accuracy = np.mean(model.predict(result.theta, mnist.X_test).argmax(axis=1) == mnist.y_test)
    print(f"{result.message}")
    print(f"F after {result.iterations:>3} iterations    {result.value:.4f}")
    print(f"test accuracy            {accuracy:.4f}")
    print(f"passes over the data     {result.passes}")
    print(f"seconds                  {result.seconds:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="DIR", help="folder of the four IDX files; default: the bundled images")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=100)
    main(parser.parse_args())
