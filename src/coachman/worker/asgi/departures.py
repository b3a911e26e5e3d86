"""Connections that leave a worker whose event loop is late: something in it holds everybody up.

An event loop reads whatever has come as soon as it looks, and a request that was read stays. So connections
move at two moments. At the end of a request that took long, before the loop looks again: those that wait
with something unread. And with their response, where a request turns out to have waited unread for long: it
does not matter then what it was that held the loop up. How long something has waited is the kernel's
word: no loop says when it last looked, and uvloop's clock does not show it.
"""

from __future__ import annotations

import select
import time
from contextlib import suppress
from sys import maxsize
from typing import Final, Protocol

from coachman.policy.handing_over import PATIENCE_SECONDS, AverageCall, moving_from_a_late_loop
from coachman.worker.asgi.board import Board
from coachman.worker.handoff import Handoff

PATIENCE: Final = int(PATIENCE_SECONDS * 1e9)

LOOKED_AT: Final = 256
"""Connections with something unread that are looked at, at most: not all of them can move."""


class Movable(Protocol):
    """A connection, as far as it matters here."""

    def waited(self) -> float:
        """Return how long ago the peer's last bytes came, in seconds, at least."""

    def unread_for(self) -> float | None:
        """Return the same where they are unread, None where nothing is: the peer may have gone, for one."""

    def move(self) -> bool:
        """Move it to another worker where that is possible now; False: the queue has no room."""

    @property
    def idle(self) -> bool:
        """Whether nothing of a request is here."""


class Departures:
    """Gives away connections of one worker, in the loop's thread."""

    next_sample: int
    """From when on a request is worth a look at how long it has waited, in monotonic nanoseconds."""

    def __init__(self) -> None:
        """Until it joins siblings, nobody leaves."""
        self.next_sample = maxsize
        self.leaving = 0
        """How many connections may still leave with their response."""
        self._late = 0
        self._leaving_until = 0
        self._handoff: Handoff | None = None
        self._average = AverageCall()
        self._connections: dict[int, Movable] = {}

    def join(self, handoff: Handoff, board: Board) -> None:
        """Share connections by `handoff`, which stays the caller's."""
        self._handoff, self._board = handoff, board
        self._readable = select.epoll()
        self.next_sample = 0

    def watch(self, connection: Movable, fd: int) -> None:
        """Know of `connection`, on descriptor `fd`, which stays its own."""
        if self._handoff is not None:
            with suppress(OSError):  # no watch is left (ENOSPC in epoll_ctl(2)): it stays where it is
                self._readable.register(fd, select.EPOLLIN)
                self._connections[fd] = connection

    def forget(self, connection: Movable, fd: int) -> None:
        """Know no longer of `connection`, which is closed."""
        # Its number may belong to another one already.
        if self._connections.get(fd) is connection:
            del self._connections[fd]

    def release(self, connection: Movable, fd: int) -> None:
        """Know no longer of `connection`, while it is open and others may have it as well."""
        if self._connections.pop(fd, None) is not None:
            self._readable.unregister(fd)

    def close(self) -> None:
        """Know of nobody any more."""
        if self._handoff is not None:
            self._handoff = None
            self._readable.close()

    def look_at_those_who_wait(self) -> None:
        """At the end of a long request: those go who have waited for too long with something unread."""
        if self._handoff is None:
            return
        allowed = None
        for fd, _ in self._readable.poll(0, LOOKED_AT):
            connection = self._connections.get(fd)
            if connection is None or not connection.idle:
                continue
            if allowed is None:
                waited = connection.unread_for()
                if waited is None:
                    continue
                allowed = self._allowed(waited)
            if not allowed or not connection.move():
                return
            allowed -= 1

    def look_at(self, connection: Movable, now: int) -> None:
        """Look how long the request waited that begins `now`, the last that has come on `connection`."""
        self.next_sample = now + PATIENCE
        late = connection.waited()
        self.leaving = self._allowed(late)
        self._late = int(late * 1e9)
        self._leaving_until = now + self._late

    def lets_go(self, took: int) -> bool:
        """Return whether a connection whose request has taken so many nanoseconds may leave now.

        One that has taken as long as others waited may be what holds them up, and stays.
        """
        if time.monotonic_ns() > self._leaving_until:
            self.leaving = 0
        if not self.leaving or took >= self._late:
            return False
        self.leaving -= 1
        return True

    def _allowed(self, late: float) -> int:
        """Return how many may go where the loop was `late` by so many seconds."""
        handoff = self._handoff
        if handoff is None or late < PATIENCE_SECONDS:
            return 0
        return moving_from_a_late_loop(
            late=late,
            average_call=self._average.seconds(*self._board.totals()),
            siblings=handoff.siblings,
            idle_siblings=handoff.idle_siblings,
        )
