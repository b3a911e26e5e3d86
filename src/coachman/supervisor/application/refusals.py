"""The supervisor answers by itself: where no worker is there to do it, or far too much waits for them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from coachman.protocol.handoff import MAX_SIZE
from coachman.protocol.refusal import head_is_complete
from coachman.supervisor.application.background import Background
from coachman.unix.accepting import Exhausted, accept
from coachman.unix.handoff import HandoffQueue, NoDescriptorLeft
from coachman.unix.listeners import Listener

MOST_AT_ONCE = 100
"""Connections that are being answered at the same time; the others wait."""
HEAD_SECONDS = 5.0
"""How long a client may take to send its request, after which it is answered all the same."""
LINGER_SECONDS = 1.0
"""How long a client may take to read the answer and close, before it is closed."""
REST_SECONDS = 0.2
"""How long accepting rests where there is no descriptor or no memory for a connection."""
READ_SIZE = 16 * 1024


class Refusals:
    """Accepts connections and answers each once, with what `respond` returns for the head of its request.

    The listeners stay the caller's. `on_refused` is called for every connection.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        respond: Callable[[bytes], bytes],
        on_refused: Callable[[], None],
    ) -> None:
        self._listeners = [listener.sock for listener in listeners]
        self._respond = respond
        self._on_refused = on_refused
        self._all = False
        self._watched = False
        self._resting = False
        self._busy = 0
        self._tasks = Background()

    def refuse_all(self, wanted: bool) -> None:
        """Accept whatever comes, from now on, or no longer."""
        self._all = wanted
        self._watch()

    def refuse(self, count: int) -> None:
        """Accept so many connections of those that wait, fewer where there are not that many."""
        for sock in self._listeners:
            while count > 0 and self._busy < MOST_AT_ONCE and self._accept(sock):
                count -= 1

    def refuse_left(self, queue: HandoffQueue) -> None:
        """Empty the handoff queue, from which nobody takes any more: where nothing was asked, just close."""
        with suppress(NoDescriptorLeft):  # then they are closed with the queue
            while (taken := queue.take(MAX_SIZE)) is not None:
                connection, _ = taken
                connection.setblocking(False)
                if _has_unread(connection):
                    self._begin(connection)
                else:
                    connection.close()

    async def stop(self) -> None:
        """Accept no more, and finish those in hand: seconds at most."""
        self.refuse_all(False)
        await self._tasks.wait()

    def _watch(self) -> None:
        wanted = self._all and self._busy < MOST_AT_ONCE and not self._resting
        if wanted == self._watched:
            return
        self._watched = wanted
        loop = asyncio.get_running_loop()
        for sock in self._listeners:
            if wanted:
                loop.add_reader(sock, self._accept, sock)
            else:
                loop.remove_reader(sock)

    def _accept(self, sock: socket.socket) -> bool:
        try:
            accepted = accept(sock)
        except Exhausted:  # it would be tried again and again without a pause
            self._resting = True
            asyncio.get_running_loop().call_later(REST_SECONDS, self._end_rest)
            self._watch()
            return False
        if accepted is None:  # a worker was faster
            return False
        self._begin(accepted[0])
        self._watch()
        return True

    def _begin(self, connection: socket.socket) -> None:
        self._busy += 1
        self._on_refused()
        self._tasks.run(self._answer(connection))

    def _end_rest(self) -> None:
        self._resting = False
        self._watch()

    async def _answer(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            with connection, suppress(OSError, TimeoutError):
                # To answer before the request is here would reset the connection under the answer.
                head = bytearray()
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEAD_SECONDS):
                        while not head_is_complete(head):
                            data = await loop.sock_recv(connection, READ_SIZE)
                            if not data:
                                return
                            head += data
                async with asyncio.timeout(LINGER_SECONDS):
                    await loop.sock_sendall(connection, self._respond(bytes(head)))
                    connection.shutdown(socket.SHUT_WR)
                    while await loop.sock_recv(connection, READ_SIZE):
                        pass
        finally:
            self._busy -= 1
            self._watch()


def _has_unread(connection: socket.socket) -> bool:
    """Return whether something has been asked on it."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False
