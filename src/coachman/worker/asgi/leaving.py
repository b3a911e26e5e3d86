"""How an HTTP connection waits for its next request, and how it goes: to another worker, or for good."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from uvicorn.config import Config

from coachman.protocol.http.refusal import BadRequest
from coachman.unix.waited import seconds_waited
from coachman.worker.asgi.context import Arrival, Context, Introduction
from coachman.worker.asgi.cycle import Cycle
from coachman.worker.asgi.patience import Patience
from coachman.worker.asgi.state import State


class Leaving(Patience):
    """The part of a connection that is at work between two requests, and at the end."""

    def __init__(
        self, context: Context, config: Config, state: State, app_state: dict[str, Any], arrival: Arrival
    ) -> None:
        super().__init__(context, config, state, app_state, arrival)
        self._running: Cycle | None = None
        """The request whose response is due."""
        self._took = 0
        """Nanoseconds that the last one was in the application."""
        self._refusal: BadRequest | None = None
        """The answer to what will not be served; it follows the responses that are still due."""
        self._lingers = False
        """The last answer was given, and what still comes is thrown away for a moment."""
        self._fd = -1
        """The descriptor, which the transport owns."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._fd = transport.get_extra_info("socket").fileno()
        self._context.departures.watch(self, self._fd)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._context.departures.forget(self, self._fd)

    @property
    def idle(self) -> bool:
        """True while the connection waits for the first byte of a request, and no response is due."""
        return (
            not self._receiving
            and self._running is None
            and not self.pipeline
            and self._refusal is None
            and not self._introduction  # what was read of it would be lost to another worker
        )

    def drain(self) -> None:
        """Go now where the connection is idle, else with the last response that is due."""
        if self.idle:
            self._leave()
        elif self._lingers:
            self.transport.close()
        elif self._context.answers_are_last and self._running is not None:
            self._running.keep_alive = False

    def say_farewell(self) -> None:
        """Close, where the queue still has no room; a request in hand has some time left."""
        if self.idle:
            self.transport.close()

    def waited(self) -> float:
        """Return how long ago the peer's last bytes came, in seconds, at least."""
        if self.transport.is_closing():
            return 0.0
        with _borrowed_socket(self.transport) as sock:
            return seconds_waited(sock)

    def unread_for(self) -> float | None:
        """Return the same where they are unread, None where nothing is."""
        if self.transport.is_closing():
            return None
        with _borrowed_socket(self.transport) as sock:
            return seconds_waited(sock) if _has_unread(sock) else None

    def move(self) -> bool:
        """Move the connection, which is idle, to another worker where that is possible now.

        Returns False where there is no room in the queue.
        """
        transport, hand_over = self.transport, self._context.hand_over
        if hand_over is None or transport.is_closing() or transport.get_write_buffer_size():
            return True
        with _borrowed_socket(transport) as sock:
            if not _has_unread(sock):
                return True  # its end has come, or what had come is read already
            return self._hand_over(sock)

    def _rest(self) -> None:
        """Wait for the next request, or go where the worker is about to end or its loop is late."""
        context = self._context
        if context.draining:
            self._leave()
            return
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()
        elif context.departures.leaving and context.departures.lets_go(self._took):
            with _borrowed_socket(self.transport) as sock:
                if self._hand_over(sock):
                    return
        self._wait_in(context.idle)

    def _leave(self) -> None:
        """Move the connection to another worker, or end it."""
        transport = self.transport
        if transport.is_closing():
            return  # it has left already, and must not come into the queue a second time
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # then the end of it is told, in resume_writing
            return
        with _borrowed_socket(transport) as sock:
            if self._context.hand_over is not None:
                self._hand_over(sock)  # where there is no room in the queue, we are told when there is
            elif not _has_unread(sock):
                transport.close()

    def _linger(self) -> None:
        """End our direction, and throw away for a moment what still comes (RFC 9112, 9.6).

        To close with something unread would have the kernel reset the connection, and the answer might never
        be read.
        """
        self.flow.resume_reading()  # a body that nobody has read may have paused it
        self.transport.write_eof()
        self._lingers = True
        if self._context.draining:
            self.transport.close()
        else:
            self._context.lingering.watch(self)

    def _hand_over(self, sock: socket.socket) -> bool:
        """Put the connection into the queue; return False where there is no room."""
        context = self._context
        assert context.hand_over is not None
        if not context.hand_over(sock, self._departure()):
            return False
        context.departures.release(self, self._fd)
        # The queue holds the connection open: nothing that is closed here ends it.
        self.transport.abort()
        return True

    def _departure(self) -> Arrival:
        """Return what the next worker has to know."""
        if not self._context.proxy_protocol or self._introduction is not None:
            return Arrival(self._requests)
        return Arrival(self._requests, Introduction(self.client, self.server, self.scheme or "http"))


@contextmanager
def _borrowed_socket(transport: asyncio.Transport) -> Iterator[socket.socket]:
    """Give a socket object for an open transport's descriptor, which stays the transport's.

    One of our own: those that loops give out are made to be looked at only. It borrows the descriptor,
    because there may be none left for a duplicate.
    """
    sock = socket.socket(fileno=transport.get_extra_info("socket").fileno())
    try:
        yield sock
    finally:
        sock.detach()


def _has_unread(sock: socket.socket) -> bool:
    """Return whether the kernel has bytes of the peer, of which the loop will tell."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
