"""Looking at every connection now and then, whether its peer's time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from coachman.config.model import Bounds
from coachman.worker.wsgi.timeouts import Agenda, shortest

if TYPE_CHECKING:
    from coachman.worker.wsgi.client_socket import ClientSocket
    from coachman.worker.wsgi.connection import Connection

GIVEN_UP_AT_ONCE: Final = 50
"""Connections that are looked at, and perhaps given up, before others get a turn."""


class Lookout:
    """For the loop's thread, but for `forget`."""

    def __init__(self, connections: dict[int, Connection], bounds: Bounds) -> None:
        """`connections`: every open one, by its descriptor."""
        self._connections = connections
        self._interval = shortest(bounds)
        self._agenda = Agenda(min(1.0, self._interval / 8))

    @property
    def next(self) -> float:
        """When there is something to look at, in monotonic seconds; infinity where there is nothing."""
        return self._agenda.next

    def add(self, connection: Connection) -> None:
        """Look at a connection that is fresh here in time."""
        if self._connections.get(connection.fd) is connection:
            self._agenda.add(connection.fd, time.monotonic() + self._interval)

    def forget(self, connection: ClientSocket) -> None:
        """Look at a connection no more; in any thread."""
        self._agenda.discard(connection.fd)

    def look(self, now: float) -> None:
        """Give up those whose time is up, some at a time."""
        for fd in self._agenda.due(now, GIVEN_UP_AT_ONCE):
            connection = self._connections.get(fd)
            if connection is not None:
                moment = connection.give_up_if_overdue(now)
                if self._connections.get(fd) is connection:
                    self._agenda.add(fd, min(moment, now + self._interval))
