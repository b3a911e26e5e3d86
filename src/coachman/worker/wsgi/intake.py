"""Where a worker's connections come from: its listening sockets, and the handoff queue.

Both are watched exclusively (`EPOLLEXCLUSIVE`): a new connection wakes one of the waiting workers instead
of all. Who is woken and does not take it leaves it to nobody, so what cannot be taken must not be watched
in the first place: while all threads are busy, at the bound of open connections, and for a moment where
descriptors have run out. That they have is seen when one is needed, so then somebody else has to be woken.
A loop that calls the application itself is not waiting meanwhile, and so is not woken.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from enum import Enum, auto
from select import EPOLLEXCLUSIVE, EPOLLIN, epoll

from coachman.policy.exhaustion import obstacle
from coachman.policy.repetition import Repetition
from coachman.unix.accepting import Exhausted, accept
from coachman.worker.complaints import complain
from coachman.worker.handoff import Handoff, Passport

PAUSE_SECONDS = 0.2
"""How long taking connections rests where the process or the system has run out of descriptors or memory."""


class Rest(Enum):
    """Why nothing is taken for the time being."""

    FULL = auto()
    """All threads are busy."""
    BOUND = auto()
    """As many connections are open as may be."""
    EXHAUSTED = auto()
    """There are no descriptors, or there is no memory."""


class Intake:
    """Takes connections while nothing is in the way, in the loop's thread. It owns the listening sockets."""

    def __init__(self, poller: epoll, on_accepted: Callable[[socket.socket, Passport], None]) -> None:
        """`on_accepted` is given the connections from listening sockets, each with its ownership."""
        self._epoll = poller
        self._on_accepted = on_accepted
        self._listeners: list[socket.socket] = []
        self._handoff: Handoff | None = None
        self._rests: set[Rest] = set()
        self._repetition = Repetition()
        self.again_at: float | None = None
        """When to look whether there are descriptors again, in monotonic seconds."""

    def add_listener(self, listener: socket.socket) -> None:
        """Accept on `listener`, which is non-blocking."""
        self._listeners.append(listener)
        if not self._rests:
            self._watch(listener.fileno())

    def join(self, handoff: Handoff) -> None:
        """Watch the queue as well; it stays the caller's."""
        self._handoff = handoff
        if not self._rests:
            for fd in handoff.take_fds:
                self._watch(fd)

    def rest(self, reason: Rest) -> None:
        """Take nothing until `resume` is called for the same reason."""
        if not self._rests:
            for fd in self._sources():
                self._epoll.unregister(fd)
        self._rests.add(reason)

    def resume(self, reason: Rest) -> None:
        """Take connections again, unless there is another reason not to."""
        if reason in self._rests:
            self._rests.remove(reason)
            if not self._rests:
                for fd in self._sources():
                    self._watch(fd)

    def resume_when_due(self, now: float) -> None:
        """Go on after running out of descriptors, if the time has come."""
        if self.again_at is not None and now >= self.again_at:
            self.again_at = None
            if self._handoff is not None:
                self._handoff.announce(True)
            self.resume(Rest.EXHAUSTED)

    def accept(self, listener: socket.socket) -> bool:
        """Accept one connection: what is left wakes the sibling workers as well. Return whether one came."""
        try:
            accepted = accept(listener)
        except Exhausted as error:
            self.pause(error)
            return False
        if accepted is None:
            return False
        sock, address = accepted
        if listener.family == socket.AF_UNIX:
            passport = Passport()
        else:
            here = sock.getsockname()
            passport = Passport(server=(here[0], str(here[1])), peer=(address[0], str(address[1])))
        self._on_accepted(sock, passport)
        return True

    def accept_waiting(self) -> bool:
        """Accept one connection of each listener, in spite of a reason to rest; unless there are too many.

        Return whether any came.
        """
        if not self._rests <= {Rest.FULL}:
            return False
        accepted = [self.accept(listener) for listener in self._listeners]
        return any(accepted)

    def close_listeners(self) -> None:
        """Accept no more; what nobody has accepted yet is the siblings'."""
        for listener in self._listeners:
            if not self._rests:
                self._epoll.unregister(listener.fileno())
            listener.close()
        self._listeners.clear()

    def leave(self) -> None:
        """Take nothing from the queue any more."""
        if self._handoff is not None:
            if not self._rests:
                for fd in self._handoff.take_fds:
                    self._epoll.unregister(fd)
            self._handoff = None

    def pause(self, error: OSError) -> None:
        """Take nothing for a moment: there was no descriptor or no memory."""
        reason = obstacle(error)
        if self._repetition.kept_quiet(reason, time.monotonic()) is not None:
            complain(f"cannot take connections for now: {reason}")
        self.again_at = time.monotonic() + PAUSE_SECONDS
        self.rest(Rest.EXHAUSTED)
        if self._handoff is not None:
            # First of all, or those who have none left would go on waking each other.
            self._handoff.announce(False)
            if self._handoff.siblings:
                self._handoff.wake()

    def _sources(self) -> list[int]:
        fds = [listener.fileno() for listener in self._listeners]
        return fds if self._handoff is None else [*fds, *self._handoff.take_fds]

    def _watch(self, fd: int) -> None:
        self._epoll.register(fd, EPOLLIN | EPOLLEXCLUSIVE)
