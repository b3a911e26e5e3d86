"""The engine of a WSGI worker: it takes connections, waits for peers, and lets connections proceed.

With one thread the application is called inline, in the loop, as long as its calls are brief. With more
threads, or once calls have turned out to be slow, a pool calls it: whoever has a connection in hand takes
it out of the loop (`EPOLLONESHOT`) and gives it back by arming it again, so that no connection is ever
touched by two threads.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from coachman.config.model import WorkerConfig
from coachman.protocol.scoreboard import THREADS
from coachman.worker.handoff import Handoff
from coachman.worker.wsgi.parting import Parting
from coachman.worker.wsgi.serving_loop import Application, ServingLoop
from coachman.worker.wsgi.threads import Threads

if TYPE_CHECKING:
    from coachman.worker.services import Services

__all__ = ["Application", "Engine"]

_DEFAULTS = WorkerConfig()


class Engine(ServingLoop):
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
        super().__init__(application, config, self._on_notable_call)
        self.loop = None
        """No event loop of asyncio."""
        self.at_end_of_turn: Callable[[], object] | None = None
        """What the loop calls when it has dealt with all that was ready."""
        self._handoff: Handoff | None = None
        self._deadline: float | None = None
        """When draining gives up, in monotonic seconds."""
        self._helpers = Threads(lambda: self.call_soon(self.stop))
        self._parting = Parting(self, self._helpers, self._loop, self._over)
        if services is not None:
            self.use_services(services)

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
        from coachman.worker.wsgi.serviced import ServicedConnection

        self.services = services
        self._arrivals.connection_type = ServicedConnection
        access_log = services.access_log
        if access_log is not None:
            self.at_end_of_turn = access_log.flush
            # In the loop's thread: in another one it might be forgotten by a loop that has just written all.
            access_log.on_stuck = lambda: self.call_soon(
                lambda: self.call_when_writable(access_log.fd, access_log.flush)
            )

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
        for fd in handoff.take_fds:
            self.handle(fd, self._on_takeable)
        self._intake.join(handoff)
        self._arrivals.join(handoff)
        self._departures.join(handoff)
        self._crowd.join(handoff)
        handoff.announce(True)

    def drain(self, seconds: float, *, hand_over: bool = False) -> None:
        """Take no more connections, finish what is in hand, and end `run`, at the latest after `seconds`.

        `hand_over`: siblings go on, or come after: connections go to them as soon as nothing of a request is
        here. Otherwise idle ones are closed, and every response is the last one on its connection. Called
        again: the earlier deadline counts, and there is no way back to handing over.
        """
        now = time.monotonic()
        self._deadline = min(inf if self._deadline is None else self._deadline, now + seconds)
        if not self.draining:
            self.draining = True
            self._intake.close_listeners()
            self._intake.leave()
            if self._handoff is not None:
                self._handoff.announce(False)
        self._departures.begin(hand_over=hand_over, now=now, deadline=self._deadline)

    def run(self) -> bool:
        """Serve. Return True where everything in hand was finished, False where some was given up."""
        if self.threads > 1:
            pool = self.begin_pool()
            for number in range(1, self.threads + 1):
                self._helpers.start(pool.work, f"request-{number}")
        self._loop()
        self._parting.stay()
        self.tally.write()
        return not self.connections

    def close(self, timeout: float = 1.0) -> bool:
        """Close every connection and descriptor, after `run`.

        Threads that are still inside the application after `timeout` seconds keep what they have. Returns
        False then: the process has to end without waiting for them.
        """
        self.stop()
        self._parting.end()  # where `run` has failed before
        if self.pool is not None:
            self.pool.end()
        if not self._helpers.join(timeout):
            return False
        for connection in list(self.connections.values()):
            connection.close()
        self.scratch_files.close()
        self._intake.close_listeners()
        self._close_loop()
        return True

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
                self._crowd.disperse()
                self._departures.look_at_turn(len(found))
            if self.at_end_of_turn is not None:
                self.at_end_of_turn()

    def _over(self) -> bool:
        if not self.draining:
            return self._stopped
        if self._stopped or (self._deadline is not None and time.monotonic() >= self._deadline):
            return True
        if self.connections and not self._only_given_up():
            return False
        # The last ones to go see to what nobody has taken.
        return not (self.closing and self._arrivals.take_in())

    def _only_given_up(self) -> bool:
        """Return whether nothing is in hand any more but requests that took too long."""
        if not self._given_up or self.threads == 1:  # the only thread is that of `run`, which cannot return
            return False
        return self._given_up.issuperset(list(self.connections.values()))

    def _next_timeout(self) -> float | None:
        """Return the seconds until something is due, 0.0 where it is; None where nothing will be."""
        lookout = self._lookout
        if (
            lookout.next == inf
            and self._intake.again_at is None
            and self._deadline is None
            and self.pool is None
        ):
            return None
        now = time.monotonic()
        if now >= lookout.next:
            lookout.look(now)
        moment = lookout.next
        if self._intake.again_at is not None:
            self._intake.resume_when_due(now)
            moment = min(moment, self._intake.again_at or inf)
        if self._deadline is not None:
            moment = min(moment, self._deadline, self._departures.heed_deadline(now))
        if self.pool is not None:
            moment = min(moment, self._saturation.next_look(self.pool))
        return None if moment == inf else max(0.0, moment - now)

    def _on_takeable(self, _events: int) -> None:
        if self.draining:
            return  # it was in hand already when that began; what comes may get the number of what has gone
        pool = self.pool
        if pool is None or pool.has_free_thread():
            if not self._arrivals.take_in():
                # A sibling may have waked us for what it was woken for itself, and could not accept.
                self._intake.accept_waiting()
            return
        # What is in the queue keeps its place there, rather than to wait here and go back to its end.
        self._saturation.take_nothing(pool)
        self._departures.pass_on_waking()

    def _on_notable_call(self, took: int) -> None:
        self._parting.note(took)
        if self.pool is None:
            self._crowd.look()
        self._departures.look_at_events()
