"""`fullbatch info` and `fullbatch fetch`."""

import importlib.metadata
import os
import platform
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ._screen import AsJson, print_line, screen, show

_PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "pyarrow", "ray", "dask", "torch", "jax", "tensorflow", "keras")

_FRAMEWORKS = {"torch": "torch", "jax": "jax", "keras": "tensorflow"}


class Data(StrEnum):
    """Data sets known by name."""

    mnist = "mnist"


def fetch(
    data: Annotated[Data, typer.Argument(metavar="DATA", help="mnist: 60,000 training and 10,000 test images, 11 MB.")],
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Where to put the files.")] = Path("mnist"),
    url: Annotated[str | None, typer.Option(metavar="URL", help="Folder of a mirror.", show_default=False)] = None,
) -> None:
    """Download a data set and check it."""
    from ..datasets import fetch_mnist

    if url is None:
        fetch_mnist(directory)
    else:
        fetch_mnist(directory, url)
    print_line(f"{data.value} is in {directory}: fullbatch fit {data.value} --directory {directory}")


def info(
    as_json: AsJson = False,
    warm_up: Annotated[bool, typer.Option("--warm-up", help="First compile the kernels of linear models.")] = False,
    loss: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Those of this loss only; may be repeated.")
    ] = None,
) -> None:
    """Show versions, CPUs, memory, which engines and models can be used here, and where compiled kernels are kept."""
    from ..kernels.cache import cache_dir
    from ..machine.cpus import available_cpus

    cache = cache_dir()
    if loss and not warm_up:
        raise typer.BadParameter("it says what to compile: use it with --warm-up")
    if warm_up:
        _warm_up(loss or [], cache)
    show(
        {
            "fullbatch": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": available_cpus(),
            "memory_gb": _gigabytes("SC_PHYS_PAGES"),
            "free_memory_gb": _gigabytes("SC_AVPHYS_PAGES"),
            "engines": ["threads", "serial", *(name for name in ("ray", "dask") if find_spec(name))],
            "models": ["linear", *(name for name, package in _FRAMEWORKS.items() if find_spec(package))],
            "compiled_kernels": cache,
            "compiled_files": 0 if cache is None else sum(path.suffix == ".nbc" for path in Path(cache).iterdir()),
            **{name: found for name in _PACKAGES if (found := _version(name))},
        },
        as_json,
    )


def _warm_up(losses: list[str], cache: str | None) -> None:
    from ..kernels.losses import LOSSES
    from ..models.warm_up import warm_up

    unknown = [loss for loss in losses if loss not in LOSSES]
    if unknown:
        raise typer.BadParameter(f"unknown loss {unknown[0]!r}: choose from {', '.join(LOSSES)}", param_hint="--loss")
    if cache is None:
        raise OSError("compiled kernels cannot be kept: no folder can be written. Set FULLBATCH_CACHE_DIR")
    print_line(f"compiling into {cache}")
    total = 0.0
    for name, storage, seconds in warm_up(losses):
        total += seconds
        screen.print(f"{name:14} {storage:14} {seconds:6.1f} s")
    screen.print(f"{total:.0f} s in all")


def _gigabytes(pages: str) -> float | None:
    if not hasattr(os, "sysconf") or pages not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf(pages) / 2**30, 1)


def _version(package: str) -> Any:
    for distribution in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
