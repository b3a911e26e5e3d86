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
from math import inf
from queue import SimpleQueue
from select import EPOLLEXCLUSIVE, EPOLLIN, EPOLLONESHOT, EPOLLOUT, epoll
from sys import maxsize
from typing import TYPE_CHECKING, Any, TypeAlias

from coachman.config.model import WorkerConfig
from coachman.policy.exhaustion import obstacle
from coachman.policy.repetition import Repetition
from coachman.protocol.http.forwarded import ForwardedReader
from coachman.protocol.http.head import HeadBounds
from coachman.protocol.http.trusted_peers import TrustedPeers
from coachman.unix.scoreboard import private_cells
from coachman.unix.standard_descriptors import above_standard
from coachman.worker.complaints import complain
from coachman.worker.wsgi.connection import Connection
from coachman.worker.wsgi.environ import Environ, base_environ
from coachman.worker.wsgi.response import ExceptionInfo, Headers
from coachman.worker.wsgi.timeouts import Agenda, shortest

if TYPE_CHECKING:
    from coachman.worker.services import Services

StartResponse: TypeAlias = Callable[[str, Headers, ExceptionInfo | None], Callable[[bytes], None]]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

ACCEPT_PAUSE_SECONDS = 0.2
"""How long accepting rests where the process or the system has run out of descriptors or memory."""

_DEFAULTS = WorkerConfig()

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Engine:
    """Serves `application` on the listeners it is given, until it is drained or stopped.

    `run` belongs to one thread; `call_soon` may be used from any thread and from signal handlers.
    """

    def __init__(
        self,
        application: Application,
        config: WorkerConfig = _DEFAULTS,
        services: Services | None = None,
    ) -> None:
        """`services` stay the caller's, and are closed after this."""
        self.application = application
        self.services = services
        self._repetition = Repetition()
        self.at_end_of_turn: Callable[[], object] | None = None
        """What the loop calls when it has dealt with all that was ready."""
        self._connection_type: type[Connection] = Connection
        if services is not None:
            self._use(services)
        self.bounds = bounds = config.bounds
        self.head_bounds = HeadBounds(
            bounds.request_line or maxsize, bounds.header_size or maxsize, bounds.header_count or maxsize
        )
        self.threads = threads = config.threads
        self.trusted = TrustedPeers(config.trusted_proxies)
        self.forwarded = ForwardedReader(self.trusted)
        self.proxy_protocol = config.proxy_protocol
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
        self._look_interval = shortest(bounds)
        self._agenda = Agenda(min(1.0, self._look_interval / 8))
        """When to look whether a peer's time is up."""
        self._soon: deque[Callable[[], None]] = deque()
        # A pipe and no eventfd: that does not take the single bytes which the interpreter writes.
        self._wakeup, self.wakeup_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        """Any byte written to `wakeup_fd` wakes the loop: it is made for `signal.set_wakeup_fd`."""
        self.add_reader(self._wakeup, self._run_soon)
        self._waiting: SimpleQueue[Connection | None] = SimpleQueue()
        self._pool: list[threading.Thread] = []

    # What the worker calls.

    def add_listener(self, listener: socket.socket) -> None:
        """Accept on `listener`, a non-blocking listening socket; the engine closes it when it drains."""
        if listener.family != socket.AF_UNIX:
            # Inherited by what is accepted: small blocks of a response go out when they are made.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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

    def call_when_writable(self, fd: int, function: Callable[[], bool]) -> None:
        """Have the loop call `function` when `fd` can be written to, until it returns True."""

        def on_event(_events: int) -> None:
            if function():
                self.remove_reader(fd)

        self._handlers[fd] = on_event
        with suppress(FileExistsError):  # another thread has asked for it already
            self._epoll.register(fd, EPOLLOUT)

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
            if self.at_end_of_turn is not None:
                self.at_end_of_turn()
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
        self._agenda.discard(connection.fd)
        # Closing would do where nobody else has the socket; a process that the application forked may.
        self._epoll.unregister(connection.fd)
        if self.draining and self.oneshot:
            self.call_soon(lambda: None)  # it may have been the last one

    # The loop's own.

    def _use(self, services: Services) -> None:
        # Here, because a worker without services does without the modules as well.
        from coachman.worker.wsgi.serviced import ServicedConnection, with_request_ids

        self._connection_type = ServicedConnection
        access_log = services.access_log
        if access_log is not None:
            self.application = with_request_ids(self.application)
            self.at_end_of_turn = access_log.flush
            access_log.on_stuck = lambda: self.call_when_writable(access_log.fd, access_log.flush)

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
                if self._repetition.kept_quiet(error.errno, time.monotonic()) is not None:
                    complain(f"cannot accept connections for now: {obstacle(error)}")
                self._rest_from_accepting()
            return  # anything else is the fate of one connection (accept(2), "Error handling")
        sock.setblocking(False)
        server, peer = ("localhost", "80"), ("", "")
        if listener.family != socket.AF_UNIX:
            here = sock.getsockname()
            server, peer = (here[0], str(here[1])), (address[0], str(address[1]))
        connection = self._connection_type(
            self, sock, base_environ(server=server, peer=peer, threads=self.threads)
        )
        fd = connection.fd
        self._connections[fd] = connection
        self._handlers[fd] = connection.on_event
        self._agenda.add(fd, time.monotonic() + self._look_interval)
        self._epoll.register(fd, EPOLLIN | (EPOLLONESHOT if self.oneshot else 0))

    def _rest_from_accepting(self) -> None:
        for listener in self._listeners:
            self._unwatch(listener)
        self._accepting_again_at = time.monotonic() + ACCEPT_PAUSE_SECONDS

    def _next_timeout(self) -> float | None:
        """Return the seconds until something is due, 0.0 where it is; None where nothing will be."""
        agenda = self._agenda
        if self._accepting_again_at is None and self._deadline is None and agenda.next == inf:
            return None
        now = time.monotonic()
        if now >= agenda.next:
            self._give_up_overdue(now)
        if self._accepting_again_at is not None and now >= self._accepting_again_at:
            self._accepting_again_at = None
            for listener in self._listeners:
                self._watch(listener)
        due = [moment for moment in (self._accepting_again_at, self._deadline) if moment is not None]
        moment = min(due, default=inf)
        if agenda.next < moment:
            # Never 0.0, which would mean that the time for draining is up.
            return max(agenda.next - now, 0.001)
        return None if moment == inf else max(0.0, moment - now)

    def _give_up_overdue(self, now: float) -> None:
        for fd in self._agenda.due(now):
            connection = self._connections.get(fd)
            if connection is not None:
                moment = connection.give_up_if_overdue(now)
                if self._connections.get(fd) is connection:
                    self._agenda.add(fd, min(moment, now + self._look_interval))

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
