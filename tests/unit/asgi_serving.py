"""The ASGI engine on real sockets, in a thread of the test."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from typing import Any

import uvloop
from websockets.sync.client import ClientConnection, connect

from coachman.config.model import Bounds, WorkerConfig
from coachman.unix.handoff import HandoffQueue
from coachman.unix.scoreboard import Scoreboard
from coachman.worker.asgi.engine import AsgiEngine
from coachman.worker.handoff import Handoff

from .served import held

TIMEOUT = 20.0
UNCHANGED = Bounds()

# With the first loop of a process, libuv makes a pipe and keeps it: no test is to be blamed for that.
uvloop.new_event_loop().close()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Served:
    """An engine that runs in a thread, and its clients."""

    def __init__(
        self, application: Any, config: WorkerConfig, *, lifespan: bool, handoff: Handoff | None
    ) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self._address = listener.getsockname()
        self.engine = AsgiEngine(application, config)
        if lifespan:
            self.engine.prepare()
        self._handoff = handoff
        if handoff is not None:
            self.engine.join_handoff(handoff)
        self.engine.add_listener(listener)
        self.outcome: list[bool] = []
        self._thread = threading.Thread(target=lambda: self.outcome.append(self.engine.run()))
        self._thread.start()
        self._clients: list[socket.socket] = []
        self._on_end = ExitStack()

    def connect(self, early: bytes = b"") -> socket.socket:
        """Return a fresh connection, which is closed at the end; `early` was sent before it is accepted."""
        with held(self.engine.call_soon) if early else nullcontext():
            self._clients.append(client := socket.create_connection(self._address, TIMEOUT))
            client.sendall(early)
        return client

    def connect_websocket(self, path: str = "/", headers: dict[str, str] | None = None) -> ClientConnection:
        """Return an open WebSocket, which is closed at the end."""
        host, port = self._address
        url = f"ws://{host}:{port}{path}"
        connecting = connect(
            url,
            sock=self.connect(),
            additional_headers=headers,
            open_timeout=TIMEOUT,
            ping_interval=None,
            proxy=None,
        )
        return self._on_end.enter_context(connecting)

    def drain(self, seconds: float = TIMEOUT, *, hand_over: bool = False) -> None:
        """Have the engine drain."""
        self.engine.call_soon(lambda: self.engine.drain(seconds, hand_over=hand_over))

    def wait(self) -> bool:
        """Return what `run` returns."""
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the engine does not end"
        return self.outcome[0]

    def end(self) -> None:
        """Close the clients, drain, and close the engine."""
        self._on_end.close()
        for client in self._clients:
            client.close()
        self.drain()
        self.wait()
        self.engine.close()
        if self._handoff is not None:
            self._handoff.close()


class Siblings:
    """Makes engines of one process share a handoff queue, as workers of one application do."""

    def __init__(self) -> None:
        self._scoreboard = Scoreboard.create(8)
        self._queue = HandoffQueue.create()
        self._slots = count()

    def handoff(self, kind: type[Handoff] = Handoff) -> Handoff:
        """Return what a further engine joins; it closes it."""
        queue = HandoffQueue([os.dup(fd) for fd in self._queue.descriptors])
        return kind(queue, self._scoreboard, next(self._slots))

    def close(self) -> None:
        """Close what is theirs together, after they have ended."""
        self._scoreboard.close()
        self._queue.close()


@contextmanager
def served(
    application: Any,
    config: WorkerConfig | Bounds = UNCHANGED,
    *,
    lifespan: bool = False,
    handoff: Handoff | None = None,
) -> Iterator[Served]:
    """Serve `application`, with its lifespan startup or without, and drain at the end."""
    if isinstance(config, Bounds):
        config = WorkerConfig(bounds=config)
    serving = Served(application, config, lifespan=lifespan, handoff=handoff)
    try:
        yield serving
    finally:
        serving.end()


def receive_response(client: socket.socket) -> tuple[bytes, bytes]:
    """Return head and body of one response of known length."""
    head = receive_through(client, b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, receive_exactly(client, length)


def receive_through(client: socket.socket, mark: bytes) -> bytes:
    """Return what comes, up to and including `mark`."""
    data = b""
    while not data.endswith(mark):
        byte = client.recv(1)
        assert byte, f"the connection ended after {data!r}"
        data += byte
    return data


def receive_exactly(client: socket.socket, size: int) -> bytes:
    """Return the next `size` bytes."""
    data = bytearray()
    while len(data) < size:
        block = client.recv(size - len(data))
        assert block, f"the connection ended after {len(data)} bytes"
        data += block
    return bytes(data)


def receive_all(client: socket.socket) -> bytes:
    """Return everything up to the end of the connection."""
    data = b""
    while block := client.recv(65536):
        data += block
    return data


async def read_body(receive: Receive) -> bytes:
    """Return the whole body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        more = message["more_body"]
    return body


async def answer(send: Send, body: bytes = b"ok", status: int = 200) -> None:
    """Send a whole response."""
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with path and body."""
    assert scope["type"] == "http"
    await answer(send, scope["path"].encode() + b" " + await read_body(receive))
