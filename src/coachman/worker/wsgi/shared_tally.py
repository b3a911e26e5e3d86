"""What a WSGI worker with a pool of threads says of its requests on the scoreboard."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from coachman.policy.expectation import Expectation
from coachman.worker.wsgi.tally import CALL_AT, NOTABLE, Tally, pack_call


class SharedTally(Tally):
    """The slot of a worker that calls the application in other threads than its loop's.

    What is written is written under a lock: of two threads that add to one number at the same time, one would
    be lost. The end of a brief request is not written: the thread that ends it either begins another, which
    is, or goes to wait, and calls `write` first.
    """

    def __init__(self, before: Tally) -> None:
        """Go on where `before`, which nobody uses any more, has left off."""
        super().__init__(before.cells, before._on_notable_call)
        before._add_brief()
        self._counters, self._held = before._counters, before._held
        self.unwritten = before.unwritten
        self._lock = threading.Lock()
        self._ended: deque[tuple[int, str]] = deque()
        """Brief requests that are not counted yet: how long they took, and their status."""
        self.expectation: Expectation = Expectation()

    def begin(self, key: object, line: bytes) -> int:
        """Note that a request goes into the application; return when, for `end`."""
        held, start = self._held, monotonic_ns()
        with self._lock:
            held[key] = (start, line)
            if len(held) == 1:
                pack_call(self.cells, CALL_AT, 1, start, len(line), line)
            else:
                self._write_held()
        return start

    def hold(self, key: object, start: int, line: bytes) -> None:
        """Note that a request goes on: every one is held from its begin to its end."""

    def end(self, key: object, start: int, status: str) -> None:
        """Note that a request has ended, with that status; "": nobody has seen one."""
        took = monotonic_ns() - start
        if took < NOTABLE and self.calls_are_brief:
            del self._held[key]
            self._ended.append((took, status))
            self.unwritten = True
            return
        with self._lock:
            _, line = self._held.pop(key)
            self.expectation.note(line, took / 1e9)
            self._count(took, status)
            self._write()

    def count_late(self, start: int, status: str) -> None:
        """Count a request that went into the application at `start`, is still there, and was answered for."""
        with self._lock:
            super().count_late(start, status)

    def leave(self, key: object) -> None:
        """Note that a request which is counted already has left the application."""
        with self._lock:
            start, line = self._held.pop(key)
            self.expectation.note(line, (monotonic_ns() - start) / 1e9)
            self._write()

    def answered(self, status: str) -> None:
        """Note an answer that was given without the application."""
        with self._lock:
            super().answered(status)
            self._write()

    def write(self) -> None:
        """Bring the slot up to date."""
        with self._lock:
            if self.unwritten:
                self._write()

    def add(self, cell: int) -> None:
        """Add one to a counter that is not about requests."""
        with self._lock:
            super().add(cell)

    def show(self, cell: int, value: Callable[[], int]) -> None:
        """Write what `value` returns, as long as no other thread does, and all that is not written yet."""
        with self._lock:
            super().show(cell, value)
            if self.unwritten:
                self._write()  # the loop may have ended a request, whose reader was gone

    def totals(self) -> tuple[int, int]:
        """Return the requests that have ended, and the nanoseconds that they took together."""
        with self._lock:
            self._add_brief()
            return super().totals()

    def _add_brief(self) -> None:
        ended = self._ended
        while ended:
            took, status = ended.popleft()
            self._brief_sum += took
            self._brief[status] += 1
        super()._add_brief()
