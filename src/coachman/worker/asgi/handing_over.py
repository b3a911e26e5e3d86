"""Connections to and from the other workers, as an asyncio loop sees them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import msgspec

from coachman.protocol.handoff import Passport
from coachman.protocol.scoreboard import HANDED_OVER, TAKEN_OVER
from coachman.worker.asgi.board import Board
from coachman.worker.asgi.context import Arrival
from coachman.worker.handoff import Handoff, passport_of


class HandingOver:
    """Puts connections into the handoff queue and takes them from there; the queue stays the caller's."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handoff: Handoff,
        board: Board,
        on_room: Callable[[], None],
    ) -> None:
        """`on_room` is called when the queue has been full and is so no longer."""
        self._loop = loop
        self._handoff = handoff
        self._board = board
        self._on_room = on_room
        self._full = False

    def put(self, sock: socket.socket, arrival: Arrival) -> bool:
        """Put a connection at the end, `sock` staying the caller's; return False where there is no room."""
        if self._full or not self._handoff.put(sock, _passport(sock, arrival)):
            if not self._full:
                self._full = True
                self._loop.add_writer(self._handoff.put_fd, self._go_on)
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
        return sock, _arrival(sock, passport)

    def close(self) -> None:
        """Wait for room no longer."""
        if self._full:
            self._loop.remove_writer(self._handoff.put_fd)

    def _go_on(self) -> None:
        self._full = False
        self._loop.remove_writer(self._handoff.put_fd)
        self._on_room()


def _passport(sock: socket.socket, arrival: Arrival) -> Passport:
    passport = passport_of(sock, arrival.served)
    if arrival.client is not None:
        peer = (arrival.client[0], str(arrival.client[1]))
        passport = msgspec.structs.replace(passport, peer=peer)
    return passport


def _arrival(sock: socket.socket, passport: Passport) -> Arrival:
    """Return what is known: of the peer only what differs from what the kernel says."""
    client = None
    if passport.peer != passport_of(sock).peer:
        client = (passport.peer[0], int(passport.peer[1] or 0))
    return Arrival(passport.served, client)
