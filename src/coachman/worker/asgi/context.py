"""What all connections of an ASGI worker have in common."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from coachman.config.model import WorkerConfig
from coachman.protocol.http.forwarded import ForwardedReader
from coachman.protocol.http.trusted_peers import TrustedPeers
from coachman.worker.asgi.board import Board
from coachman.worker.asgi.deadlines import Deadlines
from coachman.worker.asgi.departures import Departures
from coachman.worker.asgi.lifespan import Application
from coachman.worker.head_bounds import head_bounds

if TYPE_CHECKING:
    from coachman.worker.access_log import AccessLog

LINGER_SECONDS = 2.0
"""How long what a refused client still sends is thrown away, so that it can read why."""


class Introduction(NamedTuple):
    """Between whom a connection is, as the kernel tells it or a proxy by the PROXY protocol."""

    client: tuple[str, int] | None
    """None for a local process, on a unix socket."""
    server: tuple[str, int | None] | None
    """The port of a unix socket's path is None."""
    scheme: str


class Arrival(NamedTuple):
    """What is known of a connection when it comes, beyond what the kernel tells of its socket."""

    served: int = 0
    """Requests that other workers have answered on it."""
    introduction: Introduction | None = None
    """None where the kernel tells all, or a proxy has still to tell it."""


HandOver: TypeAlias = Callable[[socket.socket, Arrival], bool]


class Waiting(Protocol):
    """A connection, as its deadlines know it."""

    def on_late_head(self) -> None:
        """The head of a request has taken too long."""

    def on_late_body(self) -> None:
        """A body has made no progress for too long, or seems to."""

    def on_late_request(self) -> None:
        """Nothing has been asked for too long."""

    def on_late_reader(self) -> None:
        """The peer has taken nothing of a response for too long, or seems to."""

    def give_up(self) -> None:
        """Close at once, whatever is in hand."""


class Client(Waiting, Protocol):
    """A connection, as the end of the worker knows it."""

    def drain(self) -> None:
        """The worker is about to end: go as soon as nothing is in hand."""

    def say_farewell(self) -> None:
        """Tell the peer to go, where the connection is one that ends by itself only when the peer wants."""


class Context:
    """The application, its bounds, the scoreboard, and what becomes of connections."""

    def __init__(
        self, application: Application, config: WorkerConfig, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.application = application
        self.bounds = bounds = config.bounds
        self.head_bounds = head_bounds(bounds)
        self.trusted = TrustedPeers(config.trusted_proxies)
        self.forwarded = ForwardedReader(self.trusted)
        self.proxy_protocol = config.proxy_protocol
        """Whether every connection begins with the PROXY protocol."""
        self.loop = loop
        self.board = Board()
        self.access_log: AccessLog | None = None
        """Where requests are noted that do not reach the application; None: nowhere."""
        self.draining = False
        """Accepting has ended; a connection goes as soon as it is idle."""
        self.answers_are_last = False
        """Every answer is the last one on its connection, which ends with it or can hardly move any more."""
        self.clients: set[Client] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        """Calls of the application whose end is waited for."""
        self.late: set[asyncio.Task[None]] = set()
        """Those that took too long and were answered for."""
        self.on_connection: Callable[[], object] = _do_nothing
        """What is called for every connection that comes, once it is on the scoreboard."""
        self.on_change: Callable[[], None] = _do_nothing
        """What is called whenever a connection or a call of the application has ended."""
        self.hand_over: HandOver | None = None
        """Gives a connection to another worker.

        The socket stays the caller's. Returns False where nobody can take it.
        """
        self.departures = Departures()
        self.heads = _deadlines(loop, bounds.header_timeout, lambda client: client.on_late_head())
        self.bodies = _deadlines(loop, bounds.body_timeout, lambda client: client.on_late_body())
        self.idle = _deadlines(loop, bounds.keep_alive_timeout, lambda client: client.on_late_request())
        self.readers = _deadlines(loop, bounds.write_timeout, lambda client: client.on_late_reader())
        self.lingering = _deadlines(loop, LINGER_SECONDS, lambda client: client.give_up())

        self._all_deadlines = (self.heads, self.bodies, self.idle, self.readers, self.lingering)

    def opened(self, client: Client) -> None:
        """Take `client` in."""
        self.clients.add(client)
        self.board.connections(len(self.clients))
        self.on_connection()

    def closed(self, client: Client) -> None:
        """Forget `client`: its connection has ended or was moved."""
        self.clients.discard(client)
        for deadlines in self._all_deadlines:
            deadlines.forget(client)
        self.board.connections(len(self.clients))
        self.on_change()

    def close(self) -> None:
        """Forget everything that was to happen, and give the scoreboard back."""
        for deadlines in self._all_deadlines:
            deadlines.close()
        self.departures.close()
        self.board.release()

    def returned(self, task: asyncio.Task[None]) -> None:
        """Forget `task`, one of `tasks`: the application has returned."""
        self.tasks.discard(task)
        self.late.discard(task)
        if self.draining:
            self.on_change()

    def give_up_on(self, task: asyncio.Task[None]) -> None:
        """Wait no longer for the end of `task`, where it has not come."""
        if task in self.tasks:
            self.tasks.remove(task)
            self.late.add(task)
        if self.draining:
            self.on_change()


def _deadlines(
    loop: asyncio.AbstractEventLoop, seconds: float, on_expired: Callable[[Waiting], Any]
) -> Deadlines[Waiting]:
    return Deadlines(loop, seconds, on_expired)


def _do_nothing() -> None:
    pass
