"""What a worker with threads does about having no free one: it leaves new connections to others.

To look at this costs something in every turn of the loop, so what is brief is let pass: threads that are busy
for less than a millisecond are free in no time.
"""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Final

from coachman.protocol.scoreboard import OLDEST_START, WAITING
from coachman.worker.wsgi.crowd import Crowd
from coachman.worker.wsgi.departures import Departures
from coachman.worker.wsgi.intake import Intake, Rest

if TYPE_CHECKING:
    from coachman.worker.wsgi.pool import Pool
    from coachman.worker.wsgi.serving_loop import ServingLoop

SATURATION_SECONDS: Final = 0.001
"""How long all threads have to be busy before the worker takes no connections: less is cheaper to ignore."""

RELIEF_SECONDS: Final = 0.01
"""How long it accepts none at most, while requests are being finished: nobody outside may wait for ever."""

WRITE_INTERVAL: Final = 10_000_000
"""Nanoseconds between two writes of the counters while threads are busy; who runs out of work writes too."""

READING_AHEAD: Final = 1_000_000
"""Nanoseconds that the oldest call may have taken where the loop reads for threads that are busy."""


class Saturation:
    """Looks at the pool around each turn of the loop. All but `on_free` is for the loop's thread."""

    def __init__(self, engine: ServingLoop, intake: Intake, departures: Departures, crowd: Crowd) -> None:
        self._engine = engine
        self._intake = intake
        self._departures = departures
        self._crowd = crowd
        self._since: float | None = None
        """Since when all threads are busy, as far as the loop has seen; in monotonic seconds."""
        self._full_since = 0.0
        self._requests_seen = 0
        self._shown_waiting = 0
        self._written_at = 0
        self._calls_are_brief = False

    def may_read_ahead(self) -> bool:
        """Whether the loop may read for threads that are busy, in the turn that begins."""
        if not self._calls_are_brief:
            return False
        engine = self._engine
        oldest = engine.tally.cells[OLDEST_START]
        return oldest == 0 or engine.turn_began - oldest < READING_AHEAD

    def look(self, pool: Pool) -> None:
        """After a turn: hand over what waits for too long, and take no more than there are threads for."""
        engine = self._engine
        if engine.turn_began - self._written_at > WRITE_INTERVAL:
            self._written_at = engine.turn_began
            engine.tally.write()
            self._calls_are_brief = self._departures.expects_brief_calls()
        if pool.has_free_thread():
            self._since = None
        else:
            self._heed_lack(pool, engine.turn_began / 1e9)
        waiting = pool.waiting  # without those that have just been handed over
        if waiting != self._shown_waiting:
            self._shown_waiting = waiting
            engine.tally.cells[WAITING] = waiting

    def _heed_lack(self, pool: Pool, now: float) -> None:
        """After a turn at whose end no thread is free."""
        engine = self._engine
        if engine.reads_ahead:
            self._since = now
        else:
            requests = engine.tally.totals()[0]
            if self._since is None or (
                # Under a flood of brief requests threads are free all the time, between two looks.
                requests != self._requests_seen and self._departures.calls_are_brief()
            ):
                self._since, self._requests_seen = now, requests
            elif now - self._since >= SATURATION_SECONDS and not pool.full:
                self.take_nothing(pool)
        if pool.has_unread():
            self._departures.look_at_pool(pool, now)

    def next_look(self, pool: Pool) -> float:
        """Return when to look again although nothing happens, in monotonic seconds; infinity: not at all."""
        moment = inf if self._since is None or pool.full else self._since + SATURATION_SECONDS
        return min(moment, self._departures.next_look(pool)) if pool.has_unread() else moment

    def take_nothing(self, pool: Pool) -> None:
        """Leave it to others to take connections, until a thread is free."""
        pool.full = True
        if pool.has_free_thread():  # since a moment ago, and it did not find the mark
            pool.full = False
        else:
            self._full_since = time.monotonic()
            self._intake.rest(Rest.FULL)

    def on_free(self) -> None:
        """In a pool's thread: it has finished something while the worker took nothing."""
        pool = self._engine.pool
        assert pool is not None
        if pool.has_free_thread() or time.monotonic() - self._full_since >= RELIEF_SECONDS:
            self._engine.call_soon(self._relieve)

    def _relieve(self) -> None:
        pool = self._engine.pool
        if pool is None or not pool.full:
            return
        if pool.has_free_thread():
            pool.full = False
            self._since = None
            self._intake.resume(Rest.FULL)
        else:
            self._full_since = time.monotonic()
            if not self._crowd.let_in():
                self._intake.accept_waiting()
