"""Accepting connections in an asyncio loop, while there is room for them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final

from coachman.policy.exhaustion import obstacle
from coachman.policy.repetition import Repetition
from coachman.unix.accepting import Exhausted, accept
from coachman.worker.complaints import complain

PAUSE_SECONDS: Final = 0.2
"""How long accepting rests where the process or the system has run out of descriptors or memory."""


class Accepting:
    """Takes one connection at a time from its listeners and gives it to `take`, which owns it then.

    An asyncio loop cannot watch a listener with EPOLLEXCLUSIVE, and an epoll of our own within the loop's
    would not pass the exclusiveness on (ep_poll_callback in the kernel counts only waiters of the inner one).
    So a new connection wakes every worker that waits; the first one takes it, and one that is busy does not
    compete. To take one in each turn of the loop leaves the next to the others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[socket.socket], None]) -> None:
        self._loop = loop
        self._take = take
        self._listeners: list[socket.socket] = []
        self._sources: dict[int, Callable[[], None]] = {}
        """What is called when one of these descriptors can be read."""
        self._watching = True
        self._repetition = Repetition()
        self._pause: asyncio.TimerHandle | None = None
        self._left: asyncio.TimerHandle | None = None
        """When to look again at what was left to others."""

    def add(self, listener: socket.socket) -> None:
        """Accept on `listener`, which is taken over."""
        self._listeners.append(listener)
        self.add_source(listener.fileno(), lambda: self._accept(listener))

    def add_source(self, fd: int, take: Callable[[], None]) -> None:
        """Call `take` when `fd`, another source of connections that stays the caller's, can be read."""
        self._sources[fd] = take
        if self._watching:
            self._loop.add_reader(fd, take)

    def rest(self) -> None:
        """Accept no more for now; what comes waits in the kernel, for any worker."""
        if self._watching:
            self._watching = False
            for fd in self._sources:
                self._loop.remove_reader(fd)

    def go_on(self) -> None:
        """Accept again, unless descriptors have run out a moment ago."""
        if not self._watching and self._pause is None:
            self._watching = True
            for fd, take in self._sources.items():
                self._loop.add_reader(fd, take)

    def leave_to_others(self, fds: Iterable[int], seconds: float) -> None:
        """Do not look at these sources for a moment, in which others may take what is there."""
        if not self._watching or self._left is not None:
            return
        left = [fd for fd in fds if fd in self._sources]
        if left:
            for fd in left:
                self._loop.remove_reader(fd)
            self._left = self._loop.call_later(seconds, self._look_again, left)

    def close(self) -> None:
        """Close the listeners, and forget all other sources."""
        self.rest()
        self._sources.clear()
        for timer in (self._pause, self._left):
            if timer is not None:
                timer.cancel()
        while self._listeners:
            self._listeners.pop().close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted = accept(listener)
        except Exhausted as error:
            self.pause(error)
            return
        if accepted is not None:
            self._take(accepted[0])

    def pause(self, error: OSError) -> None:
        """Take nothing for a moment: there was no descriptor or no memory."""
        reason = obstacle(error)
        if self._repetition.kept_quiet(reason, time.monotonic()) is not None:
            complain(f"cannot take connections for now: {reason}")
        self.rest()
        if self._pause is None:
            self._pause = self._loop.call_later(PAUSE_SECONDS, self._end_pause)

    def _look_again(self, left: Iterable[int]) -> None:
        self._left = None
        for fd in left:
            if self._watching and fd in self._sources:
                self._loop.add_reader(fd, self._sources[fd])

    def _end_pause(self) -> None:
        self._pause = None
        self.go_on()
