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
from ._screen import AsJson, screen, show

_PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "pyarrow", "ray", "dask", "torch", "jax", "tensorflow", "keras")

_FRAMEWORKS = {"torch": "torch", "jax": "jax", "keras": "tensorflow"}


class Data(StrEnum):
    """Data sets known by name."""

    mnist = "mnist"


def fetch(
    data: Annotated[Data, typer.Argument(help="mnist: 60,000 training and 10,000 test images, 11 MB.")],
    directory: Annotated[Path, typer.Option(help="Where to put the files.")] = Path("mnist"),
    url: Annotated[str | None, typer.Option(help="Folder of a mirror.", show_default=False)] = None,
) -> None:
    """Download a data set and check it."""
    from ..datasets import fetch_mnist

    if url is None:
        fetch_mnist(directory)
    else:
        fetch_mnist(directory, url)
    screen.print(f"{data.value} is in {directory}: fullbatch fit {data.value} --directory {directory}", highlight=False)


def info(as_json: AsJson = False) -> None:
    """Show versions, CPUs, memory, which engines and models can be used here, and where compiled kernels are kept."""
    from ..engines._worker import available_cpus
    from ..kernels._compile import cache_dir

    cache = cache_dir()
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
