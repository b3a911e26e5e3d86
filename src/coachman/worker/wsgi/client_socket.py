"""The socket of one client, as the loop waits on it.

It is *armed* while the loop waits for something on it, and *in hand* while a thread does something with it:
to arm it is to give it back.
"""

from __future__ import annotations

import socket
from math import inf
from select import EPOLLIN, EPOLLOUT, EPOLLRDHUP, poll
from time import monotonic
from typing import TYPE_CHECKING, Final

from coachman.protocol.http.glance import GLANCE_SIZE
from coachman.worker.wsgi.timeouts import Phase, Wait, deadline

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop

READ_SIZE: Final = 64 * 1024

LINGER_SIZE: Final = 16 * 1024 * 1024
"""Bytes that a client which was refused may still send before it has read why."""

LINGERING: Final = EPOLLIN | EPOLLRDHUP
"""What is waited for on a connection on which nothing is served any more; told apart by its value."""


class ClientSocket:
    """A client's socket, which this owns and closes, and how long its peer may keep us waiting."""

    __slots__ = (
        "_armed",
        "_engine",
        "_linger_left",
        "_phase",
        "_progress",
        "_since",
        "fd",
        "registered",
        "sock",
        "waits_since",
    )

    def __init__(self, engine: ServingLoop, sock: socket.socket) -> None:
        self._engine = engine
        self.sock = sock
        self.fd = sock.fileno()
        self._armed = 0
        """What the loop waits for; 0 while somebody has the connection in hand."""
        self.registered = False
        """Whether the loop's epoll knows of it."""
        self.waits_since = 0.0
        """When it came to wait for a thread, in monotonic seconds."""
        self._linger_left = 0
        """Bytes that the peer may go on sending when we close, so that it gets to read the last response."""
        self._phase = Phase.IDLE
        """Which part of a request was incomplete when something of it last came."""
        self._since = self._progress = monotonic()
        """When the present phase began, and when the peer last sent or took something."""

    def close(self) -> None:
        """Close the socket, and have the loop forget it."""
        self._engine.forget(self)
        self.sock.close()

    # The loop.

    def wait(self) -> None:
        """Have the loop wait for the next request; for a connection that is fresh here."""
        self._arm(EPOLLIN)

    def arm_again(self) -> None:
        """Go on waiting for the same, in another way; the loop's thread calls."""
        if self._armed:
            self._engine.arm(self, self._armed)

    def take_in_hand(self, now: float) -> None:
        """Wait for a thread, from `now` on, in monotonic seconds."""
        self._armed = 0
        self.waits_since = now

    def _arm(self, events: int) -> None:
        """Give the connection back to the loop, to wait for `events`. Nothing may follow in this thread."""
        engine = self._engine
        if events == EPOLLOUT:
            self._progress = monotonic()
        if engine.pool is not None:
            with engine.giving_back:
                self._armed = events
                engine.arm(self, events)
        elif events != self._armed:
            self._armed = events
            engine.arm(self, events)

    def has_unread(self) -> bool:
        """Return whether the kernel has bytes for us, of which the loop then knows as well."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def glance(self) -> bytes:
        """Return the first bytes that the kernel has for us, and leave them there."""
        try:
            return self.sock.recv(GLANCE_SIZE, socket.MSG_PEEK)
        except OSError:
            return b""

    def _has_news(self, events: int) -> bool:
        """Return whether something has happened that the loop waits for and has not got to yet."""
        ready = poll()
        ready.register(self.sock, events)
        return bool(ready.poll(0))

    # Time.

    def give_up_if_overdue(self, now: float) -> float:
        """End the connection where its peer's time is up; return when it is up otherwise.

        Only the loop's thread may call. Infinity is returned while there is nothing to wait for.
        """
        engine = self._engine
        with engine.giving_back:
            armed = self._armed
        if armed == 0:
            return inf  # a thread has it in hand
        if armed == LINGERING:
            phase, received = Phase.LINGER, 0
        elif armed == EPOLLOUT:
            phase, received = Phase.RESPONSE, 0
        else:
            phase, received = self._awaited()
        moment = deadline(Wait(phase, self._since, max(self._since, self._progress), received), engine.bounds)
        if now < moment:
            return moment
        if self._has_news(armed):
            return now  # the loop was held up, and not the peer; it comes to this connection next
        self._give_up(phase)
        return inf

    def _awaited(self) -> tuple[Phase, int]:
        """Return what part of a request is waited for, and how many bytes of its body have come."""
        raise NotImplementedError

    def _give_up(self, phase: Phase) -> None:
        """End the connection: the peer's time for `phase` is up."""
        raise NotImplementedError

    # The end of a connection whose peer may still be sending.

    @property
    def lingers(self) -> bool:
        """True while the connection only waits for the peer to close it. Only the loop's thread may ask."""
        return self._armed == LINGERING

    def _linger(self) -> None:
        """Close our direction, and the connection once the peer has closed its own.

        To close the socket while the peer still sends would have the kernel reset the connection, and the
        peer lose what it has not read yet (RFC 9112, 9.6).
        """
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._since = monotonic()
        self._arm(LINGERING)

    def _discard(self) -> None:
        """Take what a peer still sends that will not be served."""
        try:
            size = len(self.sock.recv(READ_SIZE))
        except BlockingIOError:
            self._arm(LINGERING)
            return
        except OSError:
            size = 0
        self._linger_left -= size
        if size == 0 or self._linger_left < 0:
            self.close()
        else:
            self._arm(LINGERING)
