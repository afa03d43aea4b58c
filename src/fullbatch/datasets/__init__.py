"""Data to try things on."""

from ._mnist import MNIST_FILES, Mnist, fetch_mnist, load_mnist

__all__ = ["MNIST_FILES", "Mnist", "fetch_mnist", "load_mnist"]
