"""An application on a real socket, served by an engine in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

import msgspec
import pytest

from coachman.config.model import WorkerConfig
from coachman.worker.services import Services
from coachman.worker.wsgi.engine import Application, Engine

TIMEOUT = 20.0


class Connect(Protocol):
    """Connects to what is served."""

    def __call__(self, early: bytes = b"") -> socket.socket:
        """Return a connection, which is closed at the end; `early` was sent before it is accepted."""


@contextmanager
def held(call_soon: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Keep the loop to which `call_soon` belongs from everything else: what comes meanwhile comes at once."""
    reached, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        assert go_on.wait(TIMEOUT)

    call_soon(wait)
    assert reached.wait(TIMEOUT)
    try:
        yield
    finally:
        go_on.set()


@contextmanager
def served(
    application: Application,
    threads: int,
    config: WorkerConfig | None = None,
    services: Services | None = None,
    *,
    on_engine: Callable[[Engine], object] = lambda engine: None,
) -> Iterator[Connect]:
    """Serve `application` and give a function that connects to it; drain at the end.

    `on_engine` is given the engine before it runs.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = listener.getsockname()
    engine = Engine(application, msgspec.structs.replace(config or WorkerConfig(), threads=threads), services)
    engine.add_listener(listener)
    on_engine(engine)
    thread = threading.Thread(target=engine.run)
    thread.start()
    clients: list[socket.socket] = []

    def connect(early: bytes = b"") -> socket.socket:
        with held(engine.call_soon) if early else nullcontext():
            clients.append(client := socket.create_connection(address, TIMEOUT))
            client.sendall(early)
        return client

    try:
        yield connect
    finally:
        for client in clients:
            client.close()
        engine.call_soon(lambda: engine.drain(TIMEOUT))
        thread.join(TIMEOUT)
        engine.close()


def receive_response(client: socket.socket) -> tuple[bytes, bytes]:
    """Return head and body of one response of known length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(1) or pytest.fail(f"the connection ended after {data!r}")
    length = int(data.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return data, receive_exactly(client, length)


def receive_exactly(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += client.recv(size - len(data)) or pytest.fail(f"the connection ended after {len(data)} bytes")
    return bytes(data)


def receive_all(client: socket.socket) -> bytes:
    data = b""
    while block := client.recv(65536):
        data += block
    return data
