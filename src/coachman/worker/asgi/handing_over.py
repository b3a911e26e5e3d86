"""Connections to and from the other workers, as an asyncio loop sees them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import msgspec

from coachman.protocol.handoff import Passport
from coachman.protocol.scoreboard import HANDED_OVER, TAKEN_OVER
from coachman.worker.asgi.board import Board
from coachman.worker.asgi.context import Arrival, Introduction
from coachman.worker.handoff import Handoff, passport_of


class HandingOver:
    """Puts connections into the handoff queue and takes them from there; the queue stays the caller's."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handoff: Handoff,
        board: Board,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called when the queue is found to be full, and when it is so no longer."""
        self._loop = loop
        self._handoff = handoff
        self._board = board
        self._on_change = on_change
        self.full = False
        """There was no room for the last one; `on_change` is called when there is."""

    def put(self, sock: socket.socket, arrival: Arrival) -> bool:
        """Put a connection at the end, `sock` staying the caller's; return False where there is no room."""
        if self.full or not self._handoff.put(sock, _passport(sock, arrival)):
            if not self.full:
                self.full = True
                self._loop.add_writer(self._handoff.put_fd, self._go_on)
                self._on_change()
            return False
        self._board.add(HANDED_OVER)
        return True

    def take(self) -> tuple[socket.socket, Arrival] | None:
        """Take the connection that has waited longest, None where none does; the socket is the caller's.

        Raises `NoDescriptorLeft`.
        """
        taken = self._handoff.take()
        if taken is None:
            return None
        self._board.add(TAKEN_OVER)
        sock, passport = taken
        return sock, _arrival(passport)

    def close(self) -> None:
        """Wait for room no longer."""
        if self.full:
            self._loop.remove_writer(self._handoff.put_fd)

    def _go_on(self) -> None:
        self.full = False
        self._loop.remove_writer(self._handoff.put_fd)
        self._on_change()


def _passport(sock: socket.socket, arrival: Arrival) -> Passport:
    passport = passport_of(sock, arrival.served)
    told = arrival.introduction
    if told is None:
        return passport
    return msgspec.structs.replace(
        passport,
        peer=passport.peer if told.client is None else (told.client[0], str(told.client[1])),
        server=passport.server if told.server is None else (told.server[0], str(told.server[1] or "")),
        scheme=told.scheme,
        introduced=True,
    )


def _arrival(passport: Passport) -> Arrival:
    if not passport.introduced:
        return Arrival(passport.served)
    (client, client_port), (server, server_port) = passport.peer, passport.server
    introduction = Introduction(
        (client, int(client_port or 0)) if client else None,
        (server, int(server_port) if server_port else None),
        passport.scheme,
    )
    return Arrival(passport.served, introduction)
