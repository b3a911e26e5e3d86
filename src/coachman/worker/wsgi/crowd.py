"""Those who wait while the application is busy: how many they are, and who lets them in."""

from __future__ import annotations

from operator import length_hint
from typing import TYPE_CHECKING, Final

from coachman.protocol.scoreboard import WAITING
from coachman.worker.handoff import Handoff
from coachman.worker.wsgi.intake import Intake

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop


LET_IN: Final = 64
"""Connections up to which a worker that is alone takes all that come; others wait in the kernel. With
`--max-queue`, which turns away those that do, it takes no more than may wait."""


class Crowd:
    """Lets connections in that nobody else would take, and tells the scoreboard how many wait for their turn.

    A turn of the loop takes one connection from each listener, so that the others go to siblings. Where there
    are none, each turn is longer by a call for every connection that was taken: the last of 32 that come at
    once would wait for 500 calls.
    """

    def __init__(self, engine: ServingLoop, intake: Intake, max_queue: int) -> None:
        """`max_queue`: connections that may wait; 0: any."""
        self._engine = engine
        self._max_queue = max_queue
        self._intake = intake
        self._handoff: Handoff | None = None
        self._shown = 0

    def join(self, handoff: Handoff) -> None:
        """Leave connections to the siblings that `handoff`, which stays the caller's, tells of."""
        self._handoff = handoff

    def look(self) -> None:
        """After a long call in the loop."""
        self._show(max(0, length_hint(self._engine.events) - 1))  # the next one is about to be served
        self.let_in()

    def disperse(self) -> None:
        """After a turn of the loop that calls the application: nobody waits any more."""
        if self._shown:
            self._show(0)

    def let_in(self) -> bool:
        """Take all connections that wait, if the worker is alone; return whether it is."""
        engine, handoff = self._engine, self._handoff
        if handoff is not None and handoff.siblings:
            return False
        most = min(LET_IN, engine.threads + self._max_queue) if self._max_queue else LET_IN
        # Also one that is alone has put those into the queue that may be overtaken.
        room = most - (0 if handoff is None else handoff.waiting)
        while len(engine.connections) < room and self._intake.accept_waiting():
            pass
        return True

    def _show(self, waiting: int) -> None:
        self._shown = waiting
        self._engine.tally.cells[WAITING] = waiting
