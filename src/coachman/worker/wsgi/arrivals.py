"""Connections that come to a worker: from its listening sockets, and from siblings through the queue."""

from __future__ import annotations

import socket
import time
from select import EPOLLIN
from typing import TYPE_CHECKING, Final

from coachman.protocol.scoreboard import ACCEPTED, CONNECTIONS, TAKEN_OVER
from coachman.worker.handoff import Handoff, NoDescriptorLeft, Passport
from coachman.worker.wsgi.connection import Connection
from coachman.worker.wsgi.environ import base_environ
from coachman.worker.wsgi.intake import Intake, Rest

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop

EMPTY_SECONDS: Final = 0.0002
"""How long a queue that was found empty is taken to be empty: brief requests do not pay for the look."""


class Arrivals:
    """Makes connections of what is accepted or taken, and heeds the bound for their number.

    All but `take_between` is for the loop's thread.
    """

    def __init__(self, engine: ServingLoop, intake: Intake) -> None:
        self._engine = engine
        self._intake = intake
        self.connection_type: type[Connection] = Connection
        self.at_bound = False
        """None is taken since so many are open: who ends has `heed_bound` called."""
        self._handoff: Handoff | None = None
        self._empty_until = 0.0

    def join(self, handoff: Handoff) -> None:
        """Take from `handoff`, which stays the caller's."""
        self._handoff = handoff

    def on_accepted(self, sock: socket.socket, passport: Passport) -> None:
        """Wait for the first request on `sock`, which was accepted, and which this takes over."""
        self._engine.tally.add(ACCEPTED)
        connection = self._adopt(sock, passport)
        connection.wait()
        self._have_looked_at(connection)

    def take_in(self) -> bool:
        """Take one connection from the queue, in the loop; return whether there was one."""
        connection = self._take()
        if connection is None:
            return False
        engine = self._engine
        self._have_looked_at(connection)
        if engine.pool is None:
            connection.wait()
            connection.on_event(EPOLLIN)
        elif connection.has_unread():
            connection.take_in_hand(engine.turn_began / 1e9)
            engine.pool.add_taken(connection)
        else:
            connection.wait()
        if engine.draining:
            engine.release()
        return True

    def take_between(self) -> Connection | None:
        """In a pool's thread, between two requests: take what has waited in the queue."""
        now = time.monotonic()
        if now < self._empty_until or self._engine.draining:
            return None
        connection = self._take()
        if connection is None:
            self._empty_until = now + EMPTY_SECONDS
        else:
            self._engine.call_soon(lambda: self._have_looked_at(connection))
        return connection

    def heed_bound(self) -> None:
        """Take connections only below the bound."""
        bound = self._engine.bounds.connections
        if not bound:
            return
        self.at_bound = True
        if len(self._engine.connections) >= bound:  # after the mark, which those look at that end
            self._intake.rest(Rest.BOUND)
        else:
            self.at_bound = False
            self._intake.resume(Rest.BOUND)

    def _take(self) -> Connection | None:
        """Take one connection from the queue, in any thread; it is in hand. None where there is none."""
        if self._handoff is None or self._intake.again_at is not None:
            return None
        try:
            taken = self._handoff.take()
        except NoDescriptorLeft as error:
            reason = error  # the name of the exception ends with this clause
            self._engine.call_soon(lambda: self._intake.pause(reason))
            return None
        if taken is None:
            return None
        self._engine.tally.add(TAKEN_OVER)
        connection = self._adopt(*taken)
        connection.continue_from(taken[1])
        return connection

    def _adopt(self, sock: socket.socket, passport: Passport) -> Connection:
        """Return the connection on `sock`, which it owns and has in hand."""
        engine = self._engine
        environ = base_environ(server=passport.server, peer=passport.peer, threads=engine.threads)
        connection = self.connection_type(engine, sock, environ)
        engine.handle(connection.fd, connection.on_event)
        engine.connections[connection.fd] = connection
        engine.tally.show(CONNECTIONS, engine.connections.__len__)
        engine.on_connection()
        return connection

    def _have_looked_at(self, connection: Connection) -> None:
        """Look at a connection that is fresh here for its time-outs, and at the bound for their number."""
        self._engine.look_later(connection)
        self.heed_bound()
