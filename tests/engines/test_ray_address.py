"""Addresses of Ray, without a Ray."""

import logging
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import ray

from fullbatch import EngineError, Linear, RayEngine, array_sources
from fullbatch.engines import _ray_address
from fullbatch.engines._ray_address import is_same, wait_until_answered

SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@contextmanager
def server(says):
    """A port where somebody listens, and says this."""
    with socket.create_server(("0.0.0.0", 0)) as listening:

        def answer():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                kept.append(connection)
                connection.sendall(says)

        kept = []
        threading.Thread(target=answer, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


def unused_port():
    with socket.create_server(("0.0.0.0", 0)) as listening:
        return listening.getsockname()[1]


def place(address, start_timeout):
    sources = array_sources(np.ones((4, 1)), [0, 1, 0, 1])
    return RayEngine(address=address, start_timeout=start_timeout).place(Linear("logistic"), sources)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://localhost:{}", "localhost:{}"])
def test_what_does_not_answer_ends_after_start_timeout_with_one_line(form, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with server(b"") as silent, server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as other:
        for port, why in ((silent, "no answer"), (other, "not Ray"), (unused_port(), "connection refused")):
            began = time.monotonic()
            with pytest.raises(EngineError, match=rf"^no Ray answers at .*:{port} within start_timeout=0.7 s: .*{why}"):
                place(form.format(port), 0.7)
            assert time.monotonic() - began < 5


def test_the_address_of_the_environment_too(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{unused_port()}")
    with pytest.raises(EngineError, match=r"^no Ray answers at 127.0.0.1:\d+ within start_timeout=0.2 s"):
        place(None, 0.2)


def test_a_server_that_speaks_as_ray_does_is_enough(monkeypatch):
    with server(SETTINGS) as port:
        wait_until_answered(f"127.0.0.1:{port}", 5.0)
    monkeypatch.setenv("RAY_USE_TLS", "1")  # then it says nothing in plain
    with server(b"") as port:
        wait_until_answered(f"127.0.0.1:{port}", 5.0)
    for left_to_ray in ("auto", "local", "no port", "http://127.0.0.1:8265"):
        wait_until_answered(left_to_ray, 0.0)


def test_a_head_that_comes_late_is_waited_for_and_that_is_said(monkeypatch, caplog):
    monkeypatch.setattr(_ray_address, "_PATIENCE", 0.1)
    answers = iter(["connection refused", "connection refused", ""])
    monkeypatch.setattr(_ray_address, "_problem", lambda place, timeout: next(answers))
    monkeypatch.setattr(_ray_address, "_number", lambda host: host)
    with caplog.at_level(logging.WARNING, "fullbatch"):
        wait_until_answered("head:6379", 60.0)
    (record,) = caplog.records
    assert record.getMessage() == "no Ray answers at head:6379 yet (connection refused): waiting"


def test_the_address_of_the_cluster_that_one_is_connected_to(monkeypatch):
    here = ray.util.get_node_ip_address()
    for address in ("auto", f"{here}:6379", "127.0.0.1:6379", "localhost:6379", f"ray://{here}:10001"):
        assert is_same(address, f"{here}:6379"), address
        assert is_same(address, "127.0.0.1:6379"), address
    for address in (f"{here}:6380", "203.0.113.9:6379", "ray://203.0.113.9:10001"):
        assert not is_same(address, f"{here}:6379"), address


@pytest.mark.parametrize(("port", "told"), [(6379, 0), (6380, 1)])
def test_an_address_is_called_unused_only_where_it_is(port, told, monkeypatch, caplog):
    class Context:
        gcs_address = "127.0.0.1:6379"

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", Context)
    engine = RayEngine(address=f"localhost:{port}")
    with caplog.at_level(logging.WARNING, "fullbatch"):
        engine._connect()
    assert [record.getMessage() for record in caplog.records] == [
        f"this process is connected to Ray at 127.0.0.1:6379 already: address='localhost:{port}' is not used"
    ] * told
