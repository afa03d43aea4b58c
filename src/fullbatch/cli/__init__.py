"""The command line: fit, predict, evaluate, inspect, fetch, info."""

import sys

from ._interrupts import watched


def main() -> None:
    """Run the command line."""
    with watched():
        from .app import run  # only now: what it imports takes a while, and Ctrl-C may come meanwhile

        run(sys.argv[1:])
