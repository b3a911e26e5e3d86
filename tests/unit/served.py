"""An application on a real socket, served by an engine in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from coachman.config.model import WorkerConfig
from coachman.worker.services import Services
from coachman.worker.wsgi.engine import Application, Engine

TIMEOUT = 20.0


@contextmanager
def served(
    application: Application,
    threads: int,
    config: WorkerConfig | None = None,
    services: Services | None = None,
    *,
    on_engine: Callable[[Engine], object] = lambda engine: None,
) -> Iterator[Callable[[], socket.socket]]:
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

    def connect() -> socket.socket:
        clients.append(client := socket.create_connection(address, TIMEOUT))
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
