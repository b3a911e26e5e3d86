"""The loop of a WSGI worker: it accepts, waits for peers, and lets connections proceed.

With one thread the application is called inline, in the loop. With more, a small pool calls it: whoever has a
connection in hand takes it out of the loop (`EPOLLONESHOT`) and gives it back by arming it again, so that no
connection is ever touched by two threads.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from select import EPOLLEXCLUSIVE, EPOLLIN, EPOLLONESHOT, epoll
from typing import Any, TypeAlias

from coachman.unix.scoreboard import private_cells
from coachman.unix.standard_descriptors import above_standard
from coachman.worker.complaints import complain
from coachman.worker.wsgi.connection import Connection
from coachman.worker.wsgi.environ import Environ, base_environ
from coachman.worker.wsgi.response import ExceptionInfo, Headers

StartResponse: TypeAlias = Callable[[str, Headers, ExceptionInfo | None], Callable[[bytes], None]]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

ACCEPT_PAUSE_SECONDS = 0.2
"""How long accepting rests where the process or the system has run out of descriptors or memory."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Engine:
    """Serves `application` on the listeners it is given, until it is drained or stopped.

    `run` belongs to one thread; `call_soon` may be used from any thread and from signal handlers.
    """

    def __init__(self, application: Application, *, threads: int = 1) -> None:
        self.application = application
        self.threads = threads
        self.cells = private_cells()
        """This worker's slot of the scoreboard."""
        self.oneshot = threads > 1
        """Whether an event takes a connection out of the loop until it is armed again."""
        self.giving_back = threading.Lock()
        """Held while a thread gives a connection back, so that the loop never finds one half given."""
        self.draining = False
        """Accepting has ended; every response is the last one on its connection."""
        self._deadline: float | None = None
        """When draining gives up, in monotonic seconds."""
        self._stopped = False
        self._epoll = epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._connections: dict[int, Connection] = {}
        self._listeners: list[socket.socket] = []
        self._accepting_again_at: float | None = None
        self._soon: deque[Callable[[], None]] = deque()
        # A pipe and no eventfd: that does not take the single bytes which the interpreter writes.
        self._wakeup, self.wakeup_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        """Any byte written to `wakeup_fd` wakes the loop: it is made for `signal.set_wakeup_fd`."""
        self.add_reader(self._wakeup, self._run_soon)
        self._waiting: SimpleQueue[Connection | None] = SimpleQueue()
        self._pool: list[threading.Thread] = []

    # What the worker calls.

    def prepare(self) -> None:
        """WSGI has nothing that an application does before its first request."""

    def add_listener(self, listener: socket.socket) -> None:
        """Accept on `listener`, a non-blocking listening socket; the engine closes it when it drains."""
        self._listeners.append(listener)
        self._handlers[listener.fileno()] = lambda _events: self._accept(listener)
        self._watch(listener)

    def add_reader(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever `fd`, which stays the caller's, can be read or is at its end."""
        self._handlers[fd] = lambda _events: on_readable()
        self._epoll.register(fd, EPOLLIN)

    def remove_reader(self, fd: int) -> None:
        """Forget `fd`."""
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Have the loop call `function`. Safe in any thread and in signal handlers."""
        self._soon.append(function)
        with suppress(BlockingIOError):  # full of other reasons to wake up
            os.write(self.wakeup_fd, b"\0")

    def drain(self, seconds: float) -> None:
        """Accept no more, finish what is in hand, and end `run` then, at the latest after `seconds`."""
        deadline = time.monotonic() + seconds
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)
        self.draining = True
        for listener in self._listeners:
            self._unwatch(listener)
            del self._handlers[listener.fileno()]
            listener.close()
        self._listeners.clear()
        self._accepting_again_at = None
        self._close_idle()

    def stop(self) -> None:
        """End `run` after the events in hand; what is not answered by then stays unanswered."""
        self._stopped = True

    def run(self) -> bool:
        """Serve. Return True where everything in hand was finished, False where some was given up."""
        if self.oneshot:
            for number in range(1, self.threads + 1):
                thread = threading.Thread(target=self._serve_waiting, name=f"request-{number}", daemon=True)
                thread.start()
                self._pool.append(thread)
        handlers, poll = self._handlers, self._epoll.poll
        while not (self._stopped or (self.draining and not self._connections)):
            timeout = self._next_timeout()
            if timeout == 0.0 and self.draining:
                break
            for fd, events in poll(timeout):
                # A handler may have ended what a later event of the same batch belongs to.
                handler = handlers.get(fd)
                if handler is not None:
                    handler(events)
        return not self._connections

    def close(self, timeout: float = 1.0) -> bool:
        """Close every connection and descriptor, after `run`.

        Threads that are still inside the application after `timeout` seconds keep what they have. Returns
        False then: the process has to end without waiting for them.
        """
        deadline = time.monotonic() + timeout
        for _ in self._pool:
            self._waiting.put(None)
        for thread in self._pool:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._pool):
            return False
        for connection in list(self._connections.values()):
            connection.close()
        for listener in self._listeners:
            listener.close()
        self._epoll.close()
        os.close(self._wakeup)
        os.close(self.wakeup_fd)
        return True

    # What connections call.

    def proceed(self, connection: Connection) -> None:
        """Let `connection` go on, where it may call the application."""
        if self.oneshot and connection.has_requests:
            self._waiting.put(connection)
        else:
            connection.pump()

    def arm(self, connection: Connection, events: int) -> None:
        """Wait for `events` on `connection`. The loop may use it from this moment on."""
        if not self.oneshot:
            self._epoll.modify(connection.fd, events)
            return
        self._epoll.modify(connection.fd, events | EPOLLONESHOT)
        if self.draining:
            # The look for idle connections may have passed this one while a thread had it in hand.
            self.call_soon(self._close_idle)

    def forget(self, connection: Connection) -> None:
        """Take `connection`, which is about to close its socket, out of the loop."""
        del self._handlers[connection.fd], self._connections[connection.fd]
        # Closing would do where nobody else has the socket; a process that the application forked may.
        self._epoll.unregister(connection.fd)
        if self.draining and self.oneshot:
            self.call_soon(lambda: None)  # it may have been the last one

    # The loop's own.

    def _accept(self, listener: socket.socket) -> None:
        # One at a time: what is left wakes the sibling workers as well.
        try:
            sock, address = listener.accept()
            # A request may have closed 0, 1 or 2, and what the application prints must not go to this peer.
            sock = above_standard(sock)
        except BlockingIOError:
            return  # a sibling was faster
        except OSError as error:
            if error.errno in _EXHAUSTED:
                complain(f"cannot accept connections for now: {error}")
                self._rest_from_accepting()
            return  # anything else is the fate of one connection (accept(2), "Error handling")
        sock.setblocking(False)
        server, peer = ("localhost", "80"), ("", "")
        if listener.family != socket.AF_UNIX:
            here = sock.getsockname()
            server, peer = (here[0], str(here[1])), (address[0], str(address[1]))
        connection = Connection(self, sock, base_environ(server=server, peer=peer, threads=self.threads))
        fd = connection.fd
        self._connections[fd] = connection
        self._handlers[fd] = connection.on_event
        self._epoll.register(fd, EPOLLIN | (EPOLLONESHOT if self.oneshot else 0))

    def _rest_from_accepting(self) -> None:
        for listener in self._listeners:
            self._unwatch(listener)
        self._accepting_again_at = time.monotonic() + ACCEPT_PAUSE_SECONDS

    def _next_timeout(self) -> float | None:
        """Return the seconds until something is due, 0.0 where it is; None where nothing will be."""
        if self._accepting_again_at is None and self._deadline is None:
            return None
        now = time.monotonic()
        if self._accepting_again_at is not None and now >= self._accepting_again_at:
            self._accepting_again_at = None
            for listener in self._listeners:
                self._watch(listener)
        due = [moment for moment in (self._accepting_again_at, self._deadline) if moment is not None]
        return max(0.0, min(due) - now) if due else None

    def _watch(self, listener: socket.socket) -> None:
        # EPOLLEXCLUSIVE: a new connection wakes one of the waiting workers instead of all.
        self._epoll.register(listener.fileno(), EPOLLIN | EPOLLEXCLUSIVE)

    def _unwatch(self, listener: socket.socket) -> None:
        if self._accepting_again_at is None:
            self._epoll.unregister(listener.fileno())

    def _close_idle(self) -> None:
        with self.giving_back:
            # A copy, made in one step: other threads forget their connections meanwhile.
            for connection in list(self._connections.values()):
                connection.close_if_idle()

    def _run_soon(self) -> None:
        os.read(self._wakeup, 64 * 1024)
        while self._soon:
            self._soon.popleft()()

    def _serve_waiting(self) -> None:
        """What each pool thread runs."""
        while (connection := self._waiting.get()) is not None:
            try:
                connection.pump()
            except BaseException:
                # The application's errors were dealt with where it was called. This one is the engine's own:
                # the worker ends, as it would with one thread, and is replaced.
                self.call_soon(self.stop)
                raise
