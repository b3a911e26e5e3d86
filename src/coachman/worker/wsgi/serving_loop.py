"""What the connections of a WSGI worker have in common: its loop, its settings, its pool."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from select import EPOLLONESHOT, EPOLLRDHUP
from typing import TYPE_CHECKING, Any, TypeAlias

from coachman.config.model import WorkerConfig
from coachman.protocol.http.forwarded import ForwardedReader
from coachman.protocol.http.trusted_peers import TrustedPeers
from coachman.protocol.scoreboard import CONNECTIONS
from coachman.unix.scoreboard import private_cells
from coachman.worker.head_bounds import head_bounds
from coachman.worker.wsgi.arrivals import Arrivals
from coachman.worker.wsgi.crowd import Crowd
from coachman.worker.wsgi.departures import Departures
from coachman.worker.wsgi.environ import Environ
from coachman.worker.wsgi.intake import Intake
from coachman.worker.wsgi.lookout import Lookout
from coachman.worker.wsgi.loop import Loop
from coachman.worker.wsgi.pool import Pool
from coachman.worker.wsgi.saturation import Saturation
from coachman.worker.wsgi.scratch_files import ScratchFiles
from coachman.worker.wsgi.shared_tally import SharedTally
from coachman.worker.wsgi.tally import Tally

if TYPE_CHECKING:
    from coachman.worker.services import Services
    from coachman.worker.wsgi.client_socket import ClientSocket
    from coachman.worker.wsgi.connection import Connection

Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]


class ServingLoop(Loop):
    """A loop, and all that the connections in it look at or call."""

    def __init__(
        self,
        application: Application,
        config: WorkerConfig,
        on_notable_call: Callable[[int], None],
    ) -> None:
        """`on_notable_call` is told for how many nanoseconds a call held up the loop, if that is a lot."""
        super().__init__()
        self.application = application
        self.services: Services | None = None
        self.bounds = bounds = config.bounds
        self.head_bounds = head_bounds(bounds)
        self.trusted = TrustedPeers(config.trusted_proxies)
        self.forwarded = ForwardedReader(self.trusted)
        self.proxy_protocol = config.proxy_protocol
        self.threads = config.threads
        self.scratch_files = ScratchFiles()
        self.tally = Tally(private_cells(), on_notable_call)
        self.pool: Pool | None = None
        """What calls the application; None while the loop itself does."""
        self.giving_back = threading.Lock()
        """Held while a thread gives a connection back, so that the loop never finds one half given."""
        self.draining = False
        """Connections are taken no more; what is idle goes."""
        self.closing = False
        """It goes for good: nobody comes after this worker."""
        self.answers_are_last = False
        """Every answer is the last one on its connection, which ends with it or can hardly move any more."""
        self.on_connection: Callable[[], object] = _do_nothing
        """What is called for every connection that comes, once it is on the scoreboard; in any thread."""
        self.connections: dict[int, Connection] = {}
        """Every open connection, by its descriptor."""
        self.events: Iterator[tuple[int, int]] = iter(())
        """What is left of the events in hand."""
        self.turn_began = 0
        """When they were fetched, in monotonic nanoseconds."""
        self.reads_ahead = False
        """Whether what comes is read in the loop although all threads are busy: they will be free in no time,
        and threads that read themselves contend for the interpreter."""
        self._stopped = False
        self._lookout = Lookout(self.connections, bounds)
        self._intake = Intake(self._epoll, lambda sock, passport: self._arrivals.on_accepted(sock, passport))
        self._arrivals = Arrivals(self, self._intake)
        self._departures = Departures(self)
        self._crowd = Crowd(self, self._intake, config.max_queue)
        self._saturation = Saturation(self, self._intake, self._departures, self._crowd)

    def stop(self) -> None:
        """End `run` after the events in hand; what is not answered by then stays unanswered."""
        self._stopped = True

    def begin_pool(self) -> Pool:
        """Have threads call the application from now on, those that call `work` of the pool returned."""
        self.tally = SharedTally(self.tally)
        self.pool = Pool(self._arrivals.take_between, self._saturation.on_free, self.tally.write)
        if self.services is not None and self.services.access_log is not None:
            self.pool.after_each = self.services.access_log.flush
        return self.pool

    # What connections call.

    def proceed(self, connection: Connection) -> None:
        """Let `connection` go on, where it may call the application."""
        pool = self.pool
        if pool is not None and connection.needs_application:
            pool.add_begun(connection)
        else:
            connection.pump()

    def arm(self, connection: ClientSocket, events: int) -> None:
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

    def forget(self, connection: ClientSocket) -> None:
        """Take `connection`, which is about to close its socket, out of the loop."""
        del self._handlers[connection.fd], self.connections[connection.fd]
        self._lookout.forget(connection)
        if connection.registered:
            # Closing would do where nobody else has the socket; a queue or a forked process may.
            self._epoll.unregister(connection.fd)
        self.tally.show(CONNECTIONS, self.connections.__len__)
        # It may have been the last one, or one too many. Not by their number: threads end some at once.
        if self.draining or self._arrivals.at_bound:
            self.call_soon(self._arrivals.heed_bound)

    def look_later(self, connection: Connection) -> None:
        """Look at a connection that is fresh here in time, whether its peer's time is up."""
        self._lookout.add(connection)


def _do_nothing() -> None:
    pass
