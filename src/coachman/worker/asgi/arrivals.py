"""How connections come into an ASGI worker: from its listening sockets, and from the handoff queue."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from coachman.policy.handing_over import PATIENCE_SECONDS
from coachman.protocol.scoreboard import ACCEPTED
from coachman.worker.asgi.accepting import Accepting
from coachman.worker.asgi.context import Arrival, Context
from coachman.worker.asgi.handing_over import HandingOver
from coachman.worker.asgi.http_connection import HttpConnection
from coachman.worker.handoff import NoDescriptorLeft

UNKNOWN = Arrival()


class Arrivals:
    """Takes connections in while there is room, in the loop's thread. It owns the listening sockets."""

    def __init__(self, context: Context, factory: Callable[[Arrival], HttpConnection]) -> None:
        """`factory` makes what serves a connection."""
        self._context = context
        self._factory = factory
        self._accepting = Accepting(context.loop, self._accepted)
        self._handing_over: HandingOver | None = None
        self._take_fds: list[int] = []
        self.connecting: set[asyncio.Task[None]] = set()
        """Those that are in hand, and no clients yet."""

    def add_listener(self, listener: socket.socket) -> None:
        """Accept on `listener`, which is taken over."""
        self._accepting.add(listener)

    def join(self, handing_over: HandingOver, take_fds: list[int]) -> None:
        """Take from the queue as well, in which something is when one of `take_fds` can be read."""
        self._handing_over, self._take_fds = handing_over, take_fds
        for fd in take_fds:
            self._accepting.add_source(fd, self._look_into_queue)

    def take_one(self) -> bool:
        """Take a connection from the queue; return whether there was one."""
        if self._handing_over is None:
            return False
        try:
            taken = self._handing_over.take()
        except NoDescriptorLeft as error:
            self._accepting.pause(error)
            return False
        if taken is None:
            return False  # a sibling was faster
        self.adopt(*taken)
        return True

    def adopt(self, sock: socket.socket, arrival: Arrival = UNKNOWN) -> None:
        """Serve a connection, which is taken over."""
        task = self._context.loop.create_task(self._connect(sock, arrival))
        self.connecting.add(task)
        task.add_done_callback(self._connected)
        if not self._has_room():
            self._accepting.rest()

    def leave_queue_to_others(self) -> None:
        """Do not look into the queue for a moment: this loop is late, and whoever looks sooner is to take."""
        self._accepting.leave_to_others(self._take_fds, PATIENCE_SECONDS)

    def heed_room(self) -> None:
        """Take connections again, where there is room by now."""
        if self._has_room():
            self._accepting.go_on()

    def close(self) -> None:
        """Take no more."""
        self._accepting.close()

    def _accepted(self, sock: socket.socket) -> None:
        self._context.board.add(ACCEPTED)
        self.adopt(sock)

    def _look_into_queue(self) -> None:
        self.take_one()

    async def _connect(self, sock: socket.socket, arrival: Arrival) -> None:
        context = self._context
        try:
            _, client = await context.loop.connect_accepted_socket(lambda: self._factory(arrival), sock)
            if context.draining:
                client.drain()
        except (OSError, asyncio.CancelledError):  # the peer is gone already
            sock.close()

    def _connected(self, task: asyncio.Task[None]) -> None:
        # Not the task itself: it is in hand until it is done, and whoever looks before that waits on.
        self.connecting.discard(task)
        self._context.on_change()

    def _has_room(self) -> bool:
        limit = self._context.bounds.connections
        return not limit or len(self._context.clients) + len(self.connecting) < limit
