"""Connections that leave a worker while they are open: to less busy siblings, or because it drains."""

from __future__ import annotations

from itertools import islice
from math import inf
from select import EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, Final

from coachman.policy.draining import drain_plan
from coachman.policy.handing_over import (
    AVERAGED_REQUESTS,
    PATIENCE_SECONDS,
    WORTHWHILE_SECONDS,
    AverageCall,
    hopes_until,
    worth_handing_over,
)
from coachman.protocol.http.glance import method_and_target
from coachman.protocol.scoreboard import HANDED_OVER
from coachman.worker.handoff import Handoff

if TYPE_CHECKING:
    from coachman.worker.wsgi.connection import Connection
    from coachman.worker.wsgi.pool import Pool
    from coachman.worker.wsgi.serving_loop import ServingLoop

PATIENCE = int(PATIENCE_SECONDS * 1e9)

REBALANCED = 16
"""Idle connections that go to an idle sibling after one long turn of brief calls."""

_ROOM: Final = EPOLLOUT
_SIBLING: Final = EPOLLIN


class Departures:
    """Puts connections into the handoff queue, in the loop's thread."""

    def __init__(self, engine: ServingLoop) -> None:
        self._engine = engine
        self._handoff: Handoff | None = None
        self._awaits = 0
        """What is waited for, with nothing put into the queue meanwhile: `_ROOM`, `_SIBLING`; 0: nothing."""
        self._draining = False
        self._hopes_until = inf
        """Until when a full queue is believed to have room before the drain is over, in monotonic seconds."""
        self._farewell_at = inf
        """When idle connections are closed, if the queue has no room by then; in the same seconds."""
        self._farewell = False
        """Whether that moment has come, and there still is none."""
        self._not_before = 0.0
        """When to look at waiting connections again, in monotonic seconds: it was not worthwhile."""
        self._average = AverageCall()

    def join(self, handoff: Handoff) -> None:
        """Use `handoff`, which stays the caller's."""
        self._handoff = handoff

    # Waiting connections.

    def look_at_events(self) -> None:
        """After a long call in the loop: hand over those whose events have waited for it too long."""
        engine, handoff = self._engine, self._handoff
        if handoff is None or engine.pool is not None or engine.tally.now - engine.turn_began < PATIENCE:
            return
        if self._draining or self._awaits or not handoff.siblings or not self._worthwhile(handoff):
            return
        for fd, _events in engine.events:
            connection = engine.connections.get(fd)
            # What cannot go, and what is no connection, comes up again in the next turn.
            if connection is not None and connection.idle and not self._put(handoff, connection):
                break

    def look_at_turn(self, events: int) -> None:
        """After a turn of the loop: where it was long for the number of its events alone, share the peers."""
        engine, handoff = self._engine, self._handoff
        if handoff is None or engine.tally.now - engine.turn_began < PATIENCE or self._draining:
            return
        if events > REBALANCED and not self._awaits and handoff.idle_siblings:
            idle = (connection for connection in engine.connections.values() if connection.idle)
            for connection in list(islice(idle, REBALANCED)):  # a copy: those that leave are taken out
                if not self._put(handoff, connection):
                    break

    def next_look(self, pool: Pool) -> float:
        """Return when the connection that waits longest for a thread will have waited too long, or inf."""
        if self._awaits == _SIBLING and self._some_may_overtake():
            self._await(0)
        if self._handoff is None or self._awaits or self._draining:
            return inf
        return max(self._not_before, pool.unread_since + PATIENCE_SECONDS)

    def look_at_pool(self, pool: Pool, now: float) -> None:
        """After a turn of the loop: hand over those that have waited for a thread for too long."""
        handoff = self._handoff
        if handoff is None or now < self.next_look(pool):
            return
        if not self._some_may_overtake() and handoff.is_alone():
            self._await(_SIBLING)
        elif pool.full or self._worthwhile(handoff):
            pool.hand_over(now - PATIENCE_SECONDS, lambda connection: self._put(handoff, connection))
        else:
            self._not_before = now + PATIENCE_SECONDS

    def pass_on_waking(self) -> None:
        """Wake a sibling for what is in the queue: the kernel has woken this worker alone, which is busy.

        So on until one can take it or nobody waits for the queue any more: who has found out that he is busy
        looks when he is done, and who has not found out would not.
        """
        handoff = self._handoff
        if handoff is not None and handoff.siblings:
            handoff.wake()

    def flee(self, stuck: Connection) -> None:
        """Let others go, because the loop is in the application for `stuck`, and maybe for ever.

        In another thread than the loop's, which is kept from going on meanwhile.
        """
        engine, handoff = self._engine, self._handoff
        if handoff is None or engine.closing or self._awaits == _ROOM:
            return
        idle = [each for each in engine.connections.values() if each is not stuck and each.idle]
        # First those that wait for an answer: there may be no room for all, nor anybody to see when there is.
        for connection in sorted(idle, key=lambda each: not each.has_unread()):
            if not self._put(handoff, connection):
                break

    # Draining.

    def begin(self, *, hand_over: bool, now: float, deadline: float) -> None:
        """Let every connection go as soon as nothing of a request is here: to siblings, or for good."""
        engine = self._engine
        self._draining = True
        self._hopes_until = min(self._hopes_until, hopes_until(now, deadline))
        self._farewell_at = min(self._farewell_at, drain_plan(now, deadline - now).farewell_at)
        if self._awaits == _SIBLING:
            self._await(0)  # siblings or not: connections wait in the queue for who comes after
        if not hand_over or self._handoff is None:
            engine.closing = engine.answers_are_last = True
        self.go_on()

    def heed_deadline(self, now: float) -> float:
        """Have peers told that their connections end where these will hardly move any more.

        Those that are still idle shortly before the deadline are closed while nothing is under way on them:
        at the deadline a request that has just come would be lost. Returns when to look again, in monotonic
        seconds; infinity: something else happens first.
        """
        engine = self._engine
        if self._awaits != _ROOM or self._farewell or engine.closing:
            return inf
        if now < self._hopes_until:
            return self._hopes_until
        engine.answers_are_last = True
        if now < self._farewell_at:
            return self._farewell_at
        self._farewell = True
        self.go_on()
        return now  # that may have been all of them

    def go_on(self) -> None:
        """Let those go that are idle."""
        engine, handoff = self._engine, self._handoff
        if engine.closing or self._farewell:
            with engine.giving_back:
                # A copy, made in one step: other threads forget their connections meanwhile.
                for connection in list(engine.connections.values()):
                    connection.close_if_idle()
        elif handoff is not None and not self._awaits:
            if engine.pool is not None:
                engine.pool.hand_over(inf, lambda connection: self._put(handoff, connection))
            with engine.giving_back:
                for connection in list(engine.connections.values()):
                    if connection.lingers:
                        connection.close()
                    elif connection.idle and not self._put(handoff, connection):
                        break

    # The queue.

    def _put(self, handoff: Handoff, connection: Connection) -> bool:
        """Put a connection into the queue; return False, with an eye on the queue, where there is no room."""
        if not handoff.put(connection.sock, connection.passport, express=self._may_overtake(connection)):
            self._await(_ROOM)
            return False
        connection.leave()
        self._engine.tally.add(HANDED_OVER)
        return True

    def _may_overtake(self, connection: Connection) -> bool:
        """Whether the request that waits on `connection` is so brief among long ones that it goes first."""
        expectation = self._engine.tally.expectation
        if expectation is None or not expectation.knows_long_calls:
            return False
        line = method_and_target(connection.glance())
        return line is not None and expectation.may_overtake(line)

    def _some_may_overtake(self) -> bool:
        """Whether the queue is of use to a worker that is alone as well: brief calls go first in it."""
        expectation = self._engine.tally.expectation
        return expectation is not None and expectation.knows_long_calls and not self.calls_are_brief()

    def _await(self, events: int) -> None:
        """Put nothing into the queue until `events` happen on that end of it; 0: go on at once."""
        assert self._handoff is not None
        if self._awaits:
            self._engine.remove_reader(self._handoff.put_fd)
        self._awaits = events
        if events:
            self._engine.watch(self._handoff.put_fd, events, self._on_queue)

    def _on_queue(self, _events: int) -> None:
        self._await(0)
        if self._draining:
            self._engine.answers_are_last = self._engine.closing
            self._farewell = False
            self.go_on()

    # The length of calls.

    def calls_are_brief(self) -> bool:
        """Whether calls of the application have been too brief lately for moving connections."""
        return self._average_call() < WORTHWHILE_SECONDS

    def expects_brief_calls(self) -> bool:
        """Whether enough calls of the application have been brief to count on the next one being so."""
        return self.calls_are_brief() and self._average.requests >= AVERAGED_REQUESTS

    def _worthwhile(self, handoff: Handoff) -> bool:
        return worth_handing_over(average_call=self._average_call(), idle_siblings=handoff.idle_siblings)

    def _average_call(self) -> float:
        average = self._average.seconds(*self._engine.tally.totals())
        self._engine.tally.calls_are_brief = average < WORTHWHILE_SECONDS
        return average
