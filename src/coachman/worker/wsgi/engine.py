"""The loop of a WSGI worker: it takes connections, waits for peers, and lets connections proceed.

With one thread the application is called inline, in the loop, as long as its calls are brief. With more
threads, or once calls have turned out to be slow, a pool calls it: whoever has a connection in hand takes
it out of the loop (`EPOLLONESHOT`) and gives it back by arming it again, so that no connection is ever
touched by two threads. An application with one thread stays in the thread that has called it from the
beginning; it is the loop that moves to another.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from math import inf
from select import EPOLLONESHOT, EPOLLRDHUP
from sys import maxsize
from typing import TYPE_CHECKING, Any, TypeAlias

from coachman.config.model import WorkerConfig
from coachman.policy.repetition import Repetition
from coachman.policy.slow_calls import AMONG, SLOW_SECONDS, SlowCalls, Verdict
from coachman.protocol.http.forwarded import ForwardedReader
from coachman.protocol.http.head import HeadBounds
from coachman.protocol.http.trusted_peers import TrustedPeers
from coachman.protocol.scoreboard import CONNECTIONS, THREADS
from coachman.unix.scoreboard import private_cells
from coachman.worker.complaints import complain
from coachman.worker.handoff import Handoff
from coachman.worker.wsgi.arrivals import Arrivals
from coachman.worker.wsgi.connection import Connection
from coachman.worker.wsgi.departures import Departures
from coachman.worker.wsgi.environ import Environ
from coachman.worker.wsgi.intake import Intake
from coachman.worker.wsgi.loop import Loop
from coachman.worker.wsgi.pool import Pool
from coachman.worker.wsgi.response import ExceptionInfo, Headers
from coachman.worker.wsgi.saturation import Saturation
from coachman.worker.wsgi.shared_tally import SharedTally
from coachman.worker.wsgi.tally import Tally, used_since
from coachman.worker.wsgi.timeouts import Agenda, shortest

if TYPE_CHECKING:
    from coachman.worker.services import Services

StartResponse: TypeAlias = Callable[[str, Headers, ExceptionInfo | None], Callable[[bytes], None]]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

_DEFAULTS = WorkerConfig()

GIVEN_UP_AT_ONCE = 50
"""Connections that are looked at, and perhaps given up, before others get a turn."""


class Engine(Loop):
    """Serves `application` on the listeners it is given, until it is drained or stopped.

    `run` belongs to one thread; `call_soon` may be used from any thread and from signal handlers, everything
    else before `run` and in what the loop calls.
    """

    def __init__(
        self,
        application: Application,
        config: WorkerConfig = _DEFAULTS,
        services: Services | None = None,
    ) -> None:
        """`services` stay the caller's, and are closed after this."""
        super().__init__()
        self.application = application
        self.loop = None
        """No event loop of asyncio."""
        self.services: Services | None = None
        self.at_end_of_turn: Callable[[], object] | None = None
        """What the loop calls when it has dealt with all that was ready."""
        self._intake = Intake(self._epoll, lambda sock, passport: self._arrivals.on_accepted(sock, passport))
        self._arrivals = Arrivals(self, self._intake)
        self._departures = Departures(self)
        self._saturation = Saturation(self, self._intake, self._departures)
        if services is not None:
            self.use_services(services)
        self.bounds = bounds = config.bounds
        self.head_bounds = HeadBounds(
            bounds.request_line or maxsize, bounds.header_size or maxsize, bounds.header_count or maxsize
        )
        self.trusted = TrustedPeers(config.trusted_proxies)
        self.forwarded = ForwardedReader(self.trusted)
        self.proxy_protocol = config.proxy_protocol
        self.threads = config.threads
        self.tally = Tally(private_cells(), self._on_notable_call)
        self.pool: Pool | None = None
        """What calls the application; None while the loop itself does."""
        self.giving_back = threading.Lock()
        """Held while a thread gives a connection back, so that the loop never finds one half given."""
        self.draining = False
        """Connections are taken no more; what is idle goes."""
        self.closing = False
        """It goes for good: nobody comes after this worker. Every response is the last on its connection."""
        self.connections: dict[int, Connection] = {}
        """Every open connection, by its descriptor."""
        self.events: Iterator[tuple[int, int]] = iter(())
        """What is left of the events in hand."""
        self.reads_ahead = False
        """Whether what comes is read in the loop although all threads are busy: they will be free in no time,
        and threads that read themselves contend for the interpreter."""
        self.turn_began = 0
        """When they were fetched, in monotonic nanoseconds."""
        self._look_interval = shortest(bounds)
        self._agenda = Agenda(min(1.0, self._look_interval / 8))
        """When to look whether a peer's time is up."""
        self._deadline: float | None = None
        """When draining gives up, in monotonic seconds."""
        self._stopped = False
        self._handoff: Handoff | None = None
        self._slow_calls = SlowCalls()
        self._helpers: list[threading.Thread] = []
        """Threads beside that of `run`."""
        self._loop_thread: threading.Thread | None = None
        """The one that the loop moves to when it parts from the application; None as long as it has not."""
        self._parted = threading.Event()
        """Set once the thread of `run` has left the loop."""
        self._repetition = Repetition()
        self._failure: BaseException | None = None
        """What has ended the loop where it runs in a thread of its own."""

    # What the worker calls.

    @property
    def cells(self) -> memoryview[int]:
        """The slot of the scoreboard that is written to; it stays the property of whoever sets it."""
        return self.tally.cells

    @cells.setter
    def cells(self, cells: memoryview[int]) -> None:
        self.tally.cells = cells
        self.tally.show(THREADS, lambda: self.threads)

    def prepare(self) -> None:
        """WSGI has nothing that an application does before its first request."""

    def use_services(self, services: Services) -> None:
        """Serve with `services`, which stay the caller's; before the first connection."""
        # Here, because a worker without services does without the modules as well.
        from coachman.worker.wsgi.request_ids import with_request_ids
        from coachman.worker.wsgi.serviced import ServicedConnection

        self.services = services
        self._arrivals.connection_type = ServicedConnection
        access_log = services.access_log
        if access_log is not None:
            self.application = with_request_ids(self.application)
            self.at_end_of_turn = access_log.flush
            access_log.on_stuck = lambda: self.call_when_writable(access_log.fd, access_log.flush)

    def add_listener(self, listener: socket.socket) -> None:
        """Accept on `listener`, a non-blocking listening socket; the engine closes it when it drains."""
        if listener.family != socket.AF_UNIX:
            # Inherited by what is accepted: small blocks of a response go out when they are made.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.handle(listener.fileno(), lambda _events: self._intake.accept(listener))
        self._intake.add_listener(listener)

    def join_handoff(self, handoff: Handoff) -> None:
        """Share connections with the siblings through `handoff`, which stays the caller's."""
        self._handoff = handoff
        self.handle(handoff.take_fd, self._on_takeable)
        self._intake.join(handoff)
        self._arrivals.join(handoff)
        self._departures.join(handoff)
        handoff.announce(True)

    def drain(self, seconds: float, *, hand_over: bool = False) -> None:
        """Take no more connections, finish what is in hand, and end `run`, at the latest after `seconds`.

        `hand_over`: siblings go on, or come after: connections go to them as soon as nothing of a request is
        here. Otherwise idle ones are closed, and every response is the last one on its connection. Called
        again: the earlier deadline counts, and there is no way back to handing over.
        """
        deadline = time.monotonic() + seconds
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)
        if not self.draining:
            self.draining = True
            self._intake.close_listeners()
            self._intake.leave()
            if self._handoff is not None:
                self._handoff.announce(False)
        self._departures.begin(hand_over=hand_over)

    def stop(self) -> None:
        """End `run` after the events in hand; what is not answered by then stays unanswered."""
        self._stopped = True

    def run(self) -> bool:
        """Serve. Return True where everything in hand was finished, False where some was given up."""
        if self.threads > 1:
            pool = self._begin_pool()
            for number in range(1, self.threads + 1):
                self._start(lambda: self._in_thread(pool.work), f"request-{number}")
        self._loop()
        if self._loop_thread is not None:
            # From now on the loop is elsewhere; this thread has called the application, and goes on with
            # that.
            assert self.pool is not None
            over = self._over()
            if over:
                self.stop()
            self._parted.set()
            try:
                if not over:
                    self.pool.work()
            finally:
                self.call_soon(self.stop)
                self._loop_thread.join()
            if self._failure is not None:
                raise self._failure
        self.tally.write()
        return not self.connections

    def close(self, timeout: float = 1.0) -> bool:
        """Close every connection and descriptor, after `run`.

        Threads that are still inside the application after `timeout` seconds keep what they have. Returns
        False then: the process has to end without waiting for them.
        """
        deadline = time.monotonic() + timeout
        self.stop()
        self._parted.set()  # where `run` has failed before
        if self.pool is not None:
            self.pool.end()
        for thread in self._helpers:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._helpers):
            return False
        for connection in list(self.connections.values()):
            connection.close()
        self._intake.close_listeners()
        self._close_loop()
        return True

    # What connections call.

    def proceed(self, connection: Connection) -> None:
        """Let `connection` go on, where it may call the application."""
        pool = self.pool
        if pool is not None and connection.needs_application:
            pool.add_begun(connection)
        else:
            connection.pump()

    def arm(self, connection: Connection, events: int) -> None:
        """Wait for `events` on `connection`. The loop may use it from this moment on."""
        if self.pool is not None:
            events |= EPOLLONESHOT | EPOLLRDHUP
        if connection.registered:
            self._epoll.modify(connection.fd, events)
        else:
            connection.registered = True
            self._epoll.register(connection.fd, events)

    def release(self) -> None:
        """While the worker drains: a connection that was in hand is idle, and armed."""
        self.call_soon(self._departures.go_on)

    def forget(self, connection: Connection) -> None:
        """Take `connection`, which is about to close its socket, out of the loop."""
        del self._handlers[connection.fd], self.connections[connection.fd]
        self._agenda.discard(connection.fd)
        if connection.registered:
            # Closing would do where nobody else has the socket; a queue or a forked process may.
            self._epoll.unregister(connection.fd)
        self.tally.show(CONNECTIONS, self.connections.__len__)
        if self.draining or len(self.connections) + 1 == self.bounds.connections:
            self.call_soon(self._arrivals.heed_bound)  # it may have been the last one, or one too many

    def look_later(self, connection: Connection) -> None:
        """Look at a connection that is fresh here in time, whether its peer's time is up."""
        if self.connections.get(connection.fd) is connection:
            self._agenda.add(connection.fd, time.monotonic() + self._look_interval)

    # The loop's own.

    def _loop(self) -> None:
        """Serve until it is over; with one thread, or until its calls have turned out to be slow."""
        handlers, poll, tally, pool = self._handlers, self._epoll.poll, self.tally, self.pool
        saturation = self._saturation
        while self.pool is pool and not self._over():
            found = poll(self._next_timeout())
            self.turn_began = tally.now = time.monotonic_ns()
            if pool is not None:
                self.reads_ahead = saturation.may_read_ahead()
            self.events = iter(found)
            for fd, events in self.events:
                # A handler may have ended what a later event of the same batch belongs to.
                handler = handlers.get(fd)
                if handler is not None:
                    handler(events)
            if pool is not None:
                saturation.look(pool)
            elif tally.unwritten:
                tally.write()
                self._departures.look_at_turn(len(found))
            if self.at_end_of_turn is not None:
                self.at_end_of_turn()

    def _over(self) -> bool:
        if not self.draining:
            return self._stopped
        if self._stopped or (self._deadline is not None and time.monotonic() >= self._deadline):
            return True
        if self.connections:
            return False
        # The last ones to go see to what nobody has taken.
        return not (self.closing and self._arrivals.take_in())

    def _next_timeout(self) -> float | None:
        """Return the seconds until something is due, 0.0 where it is; None where nothing will be."""
        agenda = self._agenda
        if (
            agenda.next == inf
            and self._intake.again_at is None
            and self._deadline is None
            and self.pool is None
        ):
            return None
        now = time.monotonic()
        if now >= agenda.next:
            self._give_up_overdue(now)
        moment = agenda.next
        if self._intake.again_at is not None:
            self._intake.resume_when_due(now)
            moment = min(moment, self._intake.again_at or inf)
        if self._deadline is not None:
            moment = min(moment, self._deadline)
        if self.pool is not None:
            moment = min(moment, self._saturation.next_look(self.pool))
        return None if moment == inf else max(0.0, moment - now)

    def _give_up_overdue(self, now: float) -> None:
        for fd in self._agenda.due(now, GIVEN_UP_AT_ONCE):
            connection = self.connections.get(fd)
            if connection is not None:
                moment = connection.give_up_if_overdue(now)
                if self.connections.get(fd) is connection:
                    self._agenda.add(fd, min(moment, now + self._look_interval))

    def _on_takeable(self, _events: int) -> None:
        pool = self.pool
        if pool is None or pool.has_free_thread():
            self._arrivals.take_in()
            return
        # What is in the queue keeps its place there, rather than to wait here and go back to its end.
        self._saturation.take_nothing(pool)
        self._departures.pass_on_waking()

    # With a pool.

    def _begin_pool(self) -> Pool:
        self.tally = SharedTally(self.tally)
        self.pool = Pool(self._arrivals.take_between, self._saturation.on_free, self.tally.write)
        return self.pool

    def _on_notable_call(self, took: int) -> None:
        """Decide what a long call, which the loop has just made, means for others."""
        if took > SLOW_SECONDS * 1e9:
            tally = self.tally
            used = None if tally.used_before is None else used_since(tally.used_before)
            verdict = self._slow_calls.note(tally.totals()[0], took / 1e9, used)
            if verdict is Verdict.MOVE_OFF:
                self.call_soon(self._move_off)
            elif verdict is Verdict.WATCH:
                tally.watched = AMONG
        self._departures.look_at_events()

    def _move_off(self) -> None:
        """Have the loop and the application part, after this turn."""
        if self.pool is not None:
            return
        try:
            # Before anything is changed: there may be no thread to be had.
            self._loop_thread = self._start(self._loop_apart, "loop")
        except RuntimeError as error:
            if self._repetition.kept_quiet(str(error), time.monotonic()) is not None:
                complain(f"slow calls hold up the connections: {error} for these (TasksMax=, ulimit -u)")
            return  # the next slow calls bring it up again
        self._begin_pool()
        for connection in list(self.connections.values()):
            connection.arm_again()
        # Arming them again brings what was left of this turn's events up again.
        deque(self.events, maxlen=0)

    def _start(self, target: Callable[[], None], name: str) -> threading.Thread:
        """Start a thread; raise RuntimeError where the system gives none."""
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._helpers.append(thread)
        return thread

    def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            # The application's errors were dealt with where it was called. This one is the engine's own:
            # the worker ends, as it would with one thread, and is replaced.
            self.call_soon(self.stop)
            raise

    def _loop_apart(self) -> None:
        self._parted.wait()
        assert self.pool is not None
        try:
            self._loop()
        except BaseException as error:
            self._failure = error
        finally:
            self.pool.end()
