"""The handoff queue as a worker uses it, whatever engine it runs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Final

from coachman.protocol.handoff import MAX_SIZE, Passport, decode_passport, encode_passport, messages_in
from coachman.protocol.scoreboard import CELLS, IN_FLIGHT, PID, TAKES, THREADS, WAITING
from coachman.unix.handoff import HandoffQueue, NoDescriptorLeft
from coachman.unix.scoreboard import Scoreboard
from coachman.unix.standard_descriptors import above_standard
from coachman.worker.complaints import complain

LOOK_SECONDS: Final = 0.01
"""How long a look at the siblings' slots is good for."""

UNUSED_SLOTS: Final = 16
"""So many slots in a row without a worker: none has been used behind them."""

__all__ = ["Handoff", "NoDescriptorLeft", "Passport", "passport_of"]


def passport_of(sock: socket.socket, served: int = 0) -> Passport:
    """Return what the kernel knows of the connection on `sock`, on which `served` requests were answered."""
    try:
        here, there = sock.getsockname(), sock.getpeername()
    except OSError:  # the peer is gone already
        return Passport(served=served)
    if sock.family == socket.AF_UNIX:
        return Passport(served=served)
    return Passport(server=(here[0], str(here[1])), peer=(there[0], str(there[1])), served=served)


class Handoff:
    """Connections to and from the other workers. It owns both ends of the queue.

    One thread at a time may use `put`, `siblings` and `idle_siblings`; `take` may be used in any.
    """

    def __init__(self, queue: HandoffQueue, scoreboard: Scoreboard, slot: int) -> None:
        """`scoreboard` stays the caller's, and is closed after this."""
        self._queue = queue
        self._columns = scoreboard.columns()
        self._slot = slot
        self._looked_at = float("-inf")
        self._siblings = 0
        self._idle_siblings = 0

    @property
    def take_fds(self) -> list[int]:
        """One is readable while something is in the queue. Watch them exclusively: they wake many workers."""
        return self._queue.take_fds

    @property
    def put_fd(self) -> int:
        """Writable while there is room in the queue, readable once `is_alone` is no longer true."""
        return self._queue.put_fd

    def announce(self, takes: bool) -> None:
        """Tell the siblings whether this worker takes connections from the queue."""
        self._columns[self._slot * CELLS + TAKES] = int(takes)
        if takes:
            self._queue.call_out()  # after the mark, which is what they look at then

    def put(self, sock: socket.socket, passport: Passport, *, express: bool = False) -> bool:
        """Put a connection at the end, between two requests; return False where there is no room.

        `express`: at the end of those that are taken before the others, if there is room there.
        The caller closes `sock` afterwards, without shutdown(2). Bytes that were not read from it go along.
        """
        return self._queue.put(sock, encode_passport(passport), express=express)

    def wake(self) -> None:
        """Have a worker look into the queue that waits for something to come into it.

        Where it finds nothing there, it is for a connection that waits to be accepted.
        """
        self._queue.wake()

    def take(self) -> tuple[socket.socket, Passport] | None:
        """Take the connection whose turn it is; None where none waits. The socket is the caller's.

        Raises `NoDescriptorLeft`.
        """
        taken = self._queue.take(MAX_SIZE)
        if taken is None:
            return None
        sock = above_standard(taken[0])
        sock.setblocking(False)
        passport = decode_passport(taken[1])
        if passport is None:
            complain(f"a connection came with a message that cannot be understood: {taken[1][:100]!r}")
            passport = Passport()
        return sock, passport

    @property
    def waiting(self) -> int:
        """Connections that are in the queue."""
        return messages_in(self._queue.size)

    @property
    def siblings(self) -> int:
        """Other workers that take connections."""
        self._look()
        return self._siblings

    @property
    def idle_siblings(self) -> int:
        """Those of them that could call the application at once."""
        self._look()
        return self._idle_siblings

    def is_alone(self) -> bool:
        """Return whether no other worker takes connections; where so, `put_fd` tells when that changes."""
        if self.siblings:
            return False
        self._queue.forget_calls()  # before the look: who comes after it is heard
        self._looked_at = float("-inf")
        return self.siblings == 0

    def close(self) -> None:
        """Close both ends in this process."""
        self.announce(False)
        self._columns.release()
        self._queue.close()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        cells = self._columns
        taking = [slot for slot in self._used_slots() if cells[slot * CELLS + TAKES] and slot != self._slot]
        self._siblings = len(taking)
        self._idle_siblings = sum(
            cells[slot * CELLS + IN_FLIGHT] < (cells[slot * CELLS + THREADS] or 1)
            and cells[slot * CELLS + WAITING] == 0
            for slot in taking
        )

    def _used_slots(self) -> Iterator[int]:
        """Give the slots that may have a worker. To look at memory behind them would have it allocated."""
        cells, unused = self._columns, 0
        for slot in range(len(cells) // CELLS):
            unused = unused + 1 if cells[slot * CELLS + PID] == 0 else 0
            if unused > UNUSED_SLOTS and slot > self._slot:
                return
            yield slot
