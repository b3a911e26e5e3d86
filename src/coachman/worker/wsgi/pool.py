"""The threads in which the application is called, and the connections that wait for one of them.

A thread that becomes free takes what has waited longest by itself; the loop is asked only when there is
nothing. All that threads share is changed in single steps (`append`, `popleft`, `remove`), each of which
is done as a whole.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coachman.worker.wsgi.connection import Connection


def _no_more() -> None:
    """Stand for the end of work."""


def _since(line: deque[Connection]) -> float:
    try:
        return line[0].waits_since
    except IndexError:  # none waits (any more)
        return inf


Take = Callable[[], "Connection | None"]


class Pool:
    """Connections that can go on as soon as there is a thread, and the threads that see to it.

    `add` and what follows it belong to the loop's thread.
    """

    def __init__(self, take: Take, on_free: Callable[[], None], on_idle: Callable[[], None]) -> None:
        """`take` gives a connection from elsewhere.

        Threads call it and `on_free` while `full`, and `on_idle` whenever they go to wait for work.
        """
        self._take = take
        self._on_free = on_free
        self._on_idle = on_idle
        self.full = False
        """Set by the loop while it takes no connections, because all threads are busy. They look into the
        handoff queue themselves then, before they look here, and tell when they have finished something."""
        self._unread: deque[Connection] = deque()
        """Those that have bytes to read and of whose next request nothing was read; the oldest first."""
        self._taken: deque[Connection] = deque()
        """Those of the same kind that the loop has taken from the handoff queue: they come before what is
        still in it, and that before the worker's own."""
        self._begun: deque[Connection] = deque()
        """Those that have a request which was read, or a response to go on with."""
        self.after_each: Callable[[], object] | None = None
        """What a thread calls when it has served something."""
        self._idle: list[threading.Lock] = []
        """What each thread without work waits for."""
        self._ended = False

    @property
    def waiting(self) -> int:
        """Connections that wait for a thread."""
        return len(self._unread) + len(self._taken) + len(self._begun)

    def has_unread(self) -> bool:
        """Whether connections wait of whose request nothing was read."""
        return bool(self._unread or self._taken)

    @property
    def unread_since(self) -> float:
        """Since when the first of those has waited, in monotonic seconds; infinity: none waits."""
        return min(_since(self._taken), _since(self._unread))

    def has_free_thread(self) -> bool:
        """Whether a connection that comes now would be served at once."""
        return bool(self._idle)

    def add(self, connection: Connection) -> None:
        """Have a thread read the request of `connection`, and serve it."""
        self._unread.append(connection)
        self._wake()

    def add_taken(self, connection: Connection) -> None:
        """As `add`, for a connection from the handoff queue, which has waited there."""
        self._taken.append(connection)
        self._wake()

    def add_begun(self, connection: Connection) -> None:
        """Have a thread go on with `connection`."""
        self._begun.append(connection)
        self._wake()

    def hand_over(self, since: float, put: Callable[[Connection], bool]) -> None:
        """Give `put` those that have waited unread since then or longer, until it refuses one.

        Those that have waited longest come first. Threads take theirs meanwhile.
        """
        for line in (self._taken, self._unread):
            while _since(line) <= since:
                try:
                    connection = line.popleft()
                except IndexError:
                    break
                if not put(connection):
                    line.appendleft(connection)
                    self._wake()
                    return

    def end(self) -> None:
        """Let every thread return from `work` once it has finished what it is at."""
        self._ended = True
        for _ in range(len(self._idle)):
            self._wake()

    def work(self) -> None:
        """What each thread runs: it serves until `end`."""
        me = threading.Lock()
        me.acquire()
        while (serve := self._next()) is not _no_more:
            if serve is None:
                self._idle.append(me)
                # Again, now that whoever adds something, or ends this, will see that we are idle.
                serve = self._next()
                if serve is None:
                    self._on_idle()
                    if self.full:
                        self._on_free()
                    me.acquire()
                    continue
                try:
                    self._idle.remove(me)
                except ValueError:  # we are just being woken, maybe for something else than we have found
                    me.acquire()
                    self._wake()
            serve()
            if self.after_each is not None:
                self.after_each()
            if self.full:
                self._on_free()

    def _next(self) -> Callable[[], None] | None:
        """Return what is to be done next: None for nothing, `_no_more` for nothing ever again."""
        if self._ended:
            return _no_more
        # To look first is cheaper than to fail, and no promise: others take from the same end.
        if self._begun:
            try:
                return self._begun.popleft().pump
            except IndexError:
                pass
        if self._taken:
            try:
                return self._taken.popleft().serve_unread
            except IndexError:
                pass
        if self.full:
            taken = self._take()
            if taken is not None:
                return taken.serve_unread
        if self._unread:
            try:
                return self._unread.popleft().serve_unread
            except IndexError:
                pass
        return None

    def _wake(self) -> None:
        if self._idle:
            try:
                self._idle.pop().release()
            except IndexError:
                pass  # all are busy, and will look for more when they are done
