"""A small HTTP server for what the supervisor itself has to answer: metrics, health checks, refusals.

It takes one request a connection, of which it reads the head alone. Everything is bounded: the connections,
the bytes of a head, the time for each step. A client that stalls costs a descriptor for some seconds at most.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import Final, TypeAlias

from coachman.protocol.http_head import HEAD_LIMIT, Request, Response, read_head, text_response

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]

MOST_CONNECTIONS: Final = 256
CLIENT_SECONDS: Final = 5.0
LINGER_SECONDS: Final = 2.0
"""How long a client that has its response may take to close."""
ACCEPT_AT_ONCE: Final = 64
RETRY_SECONDS: Final = 1.0
"""How long nothing is accepted after the system refused: descriptors or memory have run out."""


class HttpResponder:
    """Answers one request on each connection, then closes it.

    When there are as many as there may be, the one whose client has been awaited for longest makes room for
    the next; those that have been answered go first. Belongs to the event loop's thread.
    """

    def __init__(
        self,
        answer: Answer,
        note: Callable[[str], None],
        *,
        most: int = MOST_CONNECTIONS,
        client_timeout: float = CLIENT_SECONDS,
    ) -> None:
        """Let `answer` say what to respond; an error that it raises is answered with 500, and `note` is told.

        There are at most about `most` connections; `client_timeout` are the seconds that a client may take to
        send its head, and again to take the response.
        """
        self._answer = answer
        self._note = note
        self._most = most
        self._client_timeout = client_timeout
        self._loop = asyncio.get_running_loop()
        self._listeners: set[socket.socket] = set()
        self._resting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: dict[asyncio.Task[None], None] = {}
        """Those whose head is awaited, the oldest first."""
        self._answered: dict[asyncio.Task[None], None] = {}
        """Those that have been answered, the oldest first."""

    @property
    def room(self) -> int:
        """How many connections can be taken before others have to make room."""
        return max(0, self._most - len(self._tasks))

    def listen(self, listener: socket.socket) -> None:
        """Accept from `listener`, a non-blocking socket that stays the caller's, until `leave`."""
        self._listeners.add(listener)
        self._loop.add_reader(listener, self._accept, listener)

    def leave(self, listener: socket.socket) -> None:
        """Accept from `listener` no longer; what was accepted is answered still."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._loop.remove_reader(listener)
            if timer := self._resting.pop(listener, None):
                timer.cancel()

    def take(self, connection: socket.socket) -> None:
        """Answer on an accepted connection, of which this takes over the ownership."""
        if not self.room and not self._make_room():
            connection.close()
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        self._reading[task] = None
        task.add_done_callback(partial(self._on_done, connection))

    async def close(self) -> None:
        """Leave all listeners and close every connection, whatever it waits for."""
        for listener in list(self._listeners):
            self.leave(listener)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # The listener stays readable: without a rest, the loop would do nothing but try again.
                self._loop.remove_reader(listener)
                self._resting[listener] = self._loop.call_later(RETRY_SECONDS, self._accept_again, listener)
                return
            self.take(connection)

    def _accept_again(self, listener: socket.socket) -> None:
        del self._resting[listener]
        self._loop.add_reader(listener, self._accept, listener)

    def _make_room(self) -> bool:
        for waiting in (self._answered, self._reading):
            for task in waiting:
                if not task.cancelling():
                    return task.cancel()
        return False

    def _on_done(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        # Not in the task itself: one that is cancelled before its first step would never come to it.
        connection.close()
        self._tasks.discard(task)
        self._reading.pop(task, None)
        self._answered.pop(task, None)

    async def _serve(self, connection: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        with suppress(OSError, TimeoutError):  # the client went away, or took too long
            async with asyncio.timeout(self._client_timeout):
                head = await self._read_head(connection)
            del self._reading[task]
            if head is None:
                return
            response = head if isinstance(head, Response) else await self._respond(head)
            bodyless = isinstance(head, Request) and head.method == "HEAD"
            self._answered[task] = None
            async with asyncio.timeout(self._client_timeout):
                await self._loop.sock_sendall(
                    connection, response.encode(date=formatdate(usegmt=True), bodyless=bodyless)
                )
            # To close with bytes unread would reset the connection, and the response might get lost.
            connection.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._loop.sock_recv(connection, 64 * 1024):
                    pass

    async def _read_head(self, connection: socket.socket) -> Request | Response | None:
        """Return the head, or what to answer in its place; None where the client has sent none."""
        received = bytearray()
        while (head := read_head(received)) is None:
            data = await self._loop.sock_recv(connection, HEAD_LIMIT)
            if not data:
                return None
            received += data
        return head

    async def _respond(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Exception as error:
            # Whatever goes wrong in there must not end the supervisor.
            self._note(f"no answer to {request.method} {request.path}: {error!r}")
            return text_response(500, "the supervisor could not answer; its log says why")
