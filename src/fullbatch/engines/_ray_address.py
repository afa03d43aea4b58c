"""Addresses of Ray clusters: whether somebody answers there, and whether it is the cluster one is connected to."""

import logging
import os
import socket
import time
from urllib.parse import urlsplit

from ..errors import EngineError
from ..wording.shown import redacted

logger = logging.getLogger(__name__)

# How a client of HTTP/2, which Ray's servers speak, begins: its preface and an empty frame of settings. A server's
# first frame is of settings too.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_SETTINGS = 4

# Seconds between attempts, and after which it is said that they are made.
_PAUSE, _PATIENCE = 0.5, 5.0


def wait_until_answered(address: str, timeout: float) -> None:
    """Wait until a server of Ray's answers at an address of the form "host:port" or "ray://host:port"; others are left
    to Ray.

    Asked itself to connect, Ray logs for minutes that it cannot, and may end the process.

    Parameters
    ----------
    address : str
        As for `ray.init`.
    timeout : float
        Seconds.

    Raises
    ------
    EngineError
        Nobody answered in time.
    """
    host, port = _parts(address)
    if port is None or ("://" in address and not address.startswith("ray://")):
        return
    began, told = time.monotonic(), timeout <= _PATIENCE
    # Of this machine Ray takes the address that others know it by, but need not.
    places = [(one, port) for one in dict.fromkeys((_number(host), host))]
    while problem := _problems(places, began + timeout):
        waited = time.monotonic() - began
        if waited + _PAUSE >= timeout:
            raise EngineError(
                f"no Ray answers at {redacted(address)} within start_timeout={timeout:g} s: {problem}. Is the head "
                "node running, and is this the port of its GCS (6379 unless told otherwise)?"
            )
        if not told and waited >= _PATIENCE:
            logger.warning("no Ray answers at %s yet (%s): waiting", redacted(address), problem)
            told = True
        time.sleep(_PAUSE)


def is_same(address: str, connected: str) -> bool:
    """Whether an address is that of the cluster whose GCS is at `connected`, as far as that can be told.

    "auto" is any cluster that runs here, and the port of "ray://..." is not that of the GCS.
    """
    if address == "auto":
        return True
    (host, port), (other, other_port) = _parts(address), _parts(connected)
    return _number(host) == _number(other) and (address.startswith("ray://") or port == other_port)


def _parts(address: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        return parts.hostname or "", parts.port
    except ValueError:
        return address, None


def _number(host: str) -> str:
    """The host as Ray has it: of this machine the address that others know it by."""
    import ray

    try:
        found = socket.gethostbyname(host)
    except OSError:
        return host
    return ray.util.get_node_ip_address() if found.startswith("127.") else found


def _problems(places: list[tuple[str, int]], until: float) -> str:
    """What keeps Ray from being reached at the first of these places, if it is at none; in words."""
    problems: list[str] = []
    for place in places:
        left = max(until - time.monotonic(), 0.1) / (len(places) - len(problems))
        problem = _problem(place, min(left, _PATIENCE))
        if not problem:
            return ""
        problems.append(problem)
    return problems[0]


def _problem(place: tuple[str, int], timeout: float) -> str:
    try:
        with socket.create_connection(place, timeout) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return ""
            connection.sendall(_HELLO)
            heard = connection.recv(9)
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "" if len(heard) > 3 and heard[3] == _SETTINGS else "what answers there is not Ray"
