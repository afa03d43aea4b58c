"""How kernels are compiled: released from the GIL, and cached on disk under a hash of the package's kernel sources.

Numba's own cache looks at the one file in which a kernel stands, and lies beside it; a pass is made of several files,
and an installed package may be read-only. Here one folder per hash of all of them lies in the user's cache:

    $FULLBATCH_CACHE_DIR, else $XDG_CACHE_HOME/fullbatch, else ~/.cache/fullbatch, else a private temporary folder

Within it, Numba tells processors and its own versions apart. What is not there yet is compiled by one process: workers
that start together would otherwise all compile the same.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache

from ..protocols import sampling
from .compiled import COMPILED

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


@cache
def sources_hash() -> str:
    """Hash of everything that compiled passes are made of: this folder, the draws, and the compiler's version."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in (*sorted(Path(__file__).parent.glob("*.py")), Path(sampling.__file__)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_dir() -> str | None:
    """The folder of this version's compiled kernels; None where nothing can be written."""
    named = os.environ.get("FULLBATCH_CACHE_DIR")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "fullbatch"
    candidates = [Path(named)] if named else [user, Path(tempfile.gettempdir()) / f"fullbatch-{_user()}"]
    for parent in candidates:
        folder = parent / f"kernels-{sources_hash()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What is loaded from here is run: it must be nobody else's.
            if os.access(folder, os.W_OK) and all(_is_own(path) for path in (parent, folder)):
                return str(folder)
        except OSError:
            continue
    logger.warning("no writable folder for compiled kernels: every process compiles its own. Set FULLBATCH_CACHE_DIR")
    return None


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_own(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.stat().st_uid in (os.getuid(), 0)


class _Locator:
    """Where Numba finds the compiled code of a kernel."""

    def __init__(self, function: Callable, folder: str) -> None:
        self._line, self._folder = function.__code__.co_firstlineno, folder

    def get_cache_path(self) -> str:
        return self._folder

    def ensure_cache_path(self) -> None:
        os.makedirs(self._folder, exist_ok=True)

    def get_source_stamp(self) -> str:
        return sources_hash()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, function: Callable, file: str) -> "_Locator | None":
        folder = cache_dir()
        return None if folder is None else cls(function, folder)


class _CacheFiles(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _KernelCache(FunctionCache):  # type: ignore[misc]
    _impl_class = _CacheFiles

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is compiled already, if need be by waiting for another process; None has the caller compile it."""
        loaded = super().load_overload(sig, target_context)
        if loaded is None and _claim(f"{self._py_func.__module__}.{self._py_func.__qualname__} {sig}"):
            loaded = super().load_overload(sig, target_context)
        return loaded


@cache
def _claims() -> int:
    """A file of which each byte stands for a kernel, open; locks end with the process that holds them."""
    return os.open(Path(str(cache_dir())) / "claims", os.O_RDWR | os.O_CREAT, 0o600)


def _claim(kernel: str) -> bool:
    """Wait until no other process compiles this kernel; false where there is no way to know."""
    if fcntl is None:
        return False
    byte = int.from_bytes(hashlib.sha256(kernel.encode()).digest()[:4]) // 2
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX, 1, byte)
    except OSError:
        return False
    return True


def _let_go() -> None:
    if fcntl is not None:
        with suppress(OSError):
            fcntl.lockf(_claims(), fcntl.LOCK_UN)


def kernel(function: Callable) -> Any:
    """Compile a function that Python calls; what it calls in turn is compiled into it."""
    dispatcher = njit(**COMPILED)(function)
    if cache_dir() is not None:
        dispatcher._cache = _KernelCache(function)
        compile_or_load = dispatcher.compile

        def compile_once(signature: Any) -> Any:
            try:
                return compile_or_load(signature)
            finally:  # compiled, found, or interrupted
                _let_go()

        dispatcher.compile = compile_once
    return dispatcher
