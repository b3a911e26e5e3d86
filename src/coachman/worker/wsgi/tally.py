"""What a WSGI worker says of its requests on the scoreboard.

For every request there is one write: how many are in the application, since when, and the line of this
one, so that it is known what a worker was doing when it is killed. Counters are kept here and written once
a turn of the loop, or when a thread runs out of work, or at once after a call that took long.
"""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from struct import Struct
from time import monotonic_ns
from typing import Final

from coachman.policy.expectation import Expectation
from coachman.policy.slow_calls import Usage
from coachman.protocol.scoreboard import (
    CELL_SIZE,
    DURATION_BOUNDS,
    DURATION_BUCKETS,
    DURATION_SUM,
    IN_FLIGHT,
    REQUEST_LINE_SIZE,
    REQUESTS,
    STATUS_CLASSES,
)

NOTABLE: Final = 500_000
"""Nanoseconds from which on a call may make others wait for too long."""

_BOUNDS: Final = tuple(int(bound * 1e9) for bound in DURATION_BOUNDS)
assert _BOUNDS[0] > NOTABLE, "a call that is not notable is counted in the first bucket"

# Native order and size: each cell is written in one step by the hardware.
CALL_AT: Final = IN_FLIGHT * CELL_SIZE
pack_call: Final = Struct(f"@QQQ{REQUEST_LINE_SIZE}s").pack_into
_pack_no_call: Final = Struct("@QQ").pack_into

# The counters are one run of cells, from REQUESTS to the last bucket; these are indices in it.
_COUNTERS_AT: Final = REQUESTS * CELL_SIZE
_COUNTERS: Final = DURATION_BUCKETS + len(_BOUNDS) + 1 - REQUESTS
_SUM, _BUCKETS = DURATION_SUM - REQUESTS, DURATION_BUCKETS - REQUESTS
_CLASS_OF: Final = {str(first): STATUS_CLASSES - REQUESTS + first - 1 for first in range(1, 6)}
_COMMON: Final = _BUCKETS + 1
"""Counters up to the first bucket: the others change with long calls alone."""
_pack_common: Final = Struct(f"@{_COMMON}Q").pack_into


def used_since(before: resource.struct_rusage) -> Usage:
    """Return what this thread has used since `before`."""
    now = resource.getrusage(resource.RUSAGE_THREAD)
    seconds = now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
    return Usage(seconds, now.ru_nvcsw - before.ru_nvcsw)


class Tally:
    """The slot of a worker that calls the application in its loop.

    More than one request may be in hand all the same: a response that its reader takes slowly is suspended.
    """

    def __init__(self, cells: memoryview[int], on_notable_call: Callable[[int], None]) -> None:
        """`on_notable_call` is told for how many nanoseconds a call held up the loop, if that is a lot."""
        self.cells = cells
        self.now = 0
        """Monotonic nanoseconds: when the loop's turn began or the last request ended."""
        self._on_notable_call = on_notable_call
        self._counters = [0] * _COUNTERS
        self._brief: defaultdict[str, int] = defaultdict(int)
        """Brief requests, by their status, and how long they took together: not in the counters yet."""
        self._brief_sum = 0
        self._held: dict[object, tuple[int, bytes]] = {}
        """When requests that go on went into the application, and their lines; the oldest first."""
        self.unwritten = False
        """Whether the slot lacks something."""
        self.expectation: Expectation | None = None
        """What is learned of calls, where other threads make them: here nobody waits for a single one."""
        self.calls_are_brief = True
        """Whether they have been lately, on average: what they take is not worth a note then."""
        self.watched = 0
        """Calls that are still to be watched for what they use."""
        self.used_before: resource.struct_rusage | None = None
        """What the thread had used when the call in hand began; None where nobody watches."""

    def begin(self, key: object, line: bytes) -> int:
        """Note that a request goes into the application; return when, for `end`."""
        start = self.now
        if self.watched:
            self._watch()
        if self._held:
            oldest = next(iter(self._held.values()))[0]
            pack_call(self.cells, CALL_AT, 1 + len(self._held), oldest, len(line), line)
        else:
            pack_call(self.cells, CALL_AT, 1, start, len(line), line)
        return start

    def hold(self, key: object, start: int, line: bytes) -> None:
        """Note that a request goes on, maybe beyond this turn: its response is made block by block."""
        self._held[key] = (start, line)

    def end(self, key: object, start: int, status: str) -> None:
        """Note that a request has ended, with that status; "": nobody has seen one."""
        before = self.now
        now = self.now = monotonic_ns()
        if self._held:
            self._held.pop(key, None)
        took = now - start
        if took < NOTABLE:
            self._brief_sum += took
            self._brief[status] += 1
            self.unwritten = True
        else:
            self._count(took, status)
            self.write()
            if now - before > NOTABLE:  # and not only its reader has taken long
                self._on_notable_call(now - before)

    def count_late(self, start: int, status: str) -> None:
        """Count a request that went into the application at `start`, is still there, and was answered for.

        `leave` is to be called for it instead of `end`. In any thread, as long as the application's own is
        kept from calling anything here.
        """
        self._count(monotonic_ns() - start, status)
        # At once: the application may never come back, nor the loop.
        self._add_brief()
        _pack_common(self.cells, _COUNTERS_AT, *self._counters[:_COMMON])

    def leave(self, key: object) -> None:
        """Note that a request which is counted already has left the application."""
        before = self.now
        now = self.now = monotonic_ns()
        self._held.pop(key, None)
        self._write()
        if now - before > NOTABLE:
            self._on_notable_call(now - before)

    def answered(self, status: str) -> None:
        """Note an answer that was given without the application."""
        self.unwritten = True
        self._counters[0] += 1
        self._counters[_CLASS_OF[status[0]]] += 1

    def write(self) -> None:
        """Bring the slot up to date, between two requests."""
        if self.unwritten:
            self._write()

    def totals(self) -> tuple[int, int]:
        """Return the requests that have ended, and the nanoseconds that they took together."""
        return self._counters[0] + sum(self._brief.values()), self._counters[_SUM] + self._brief_sum

    def add(self, cell: int) -> None:
        """Add one to a counter that is not about requests."""
        self.cells[cell] += 1

    def show(self, cell: int, value: Callable[[], int]) -> None:
        """Write what `value` returns."""
        self.cells[cell] = value()

    def _watch(self) -> None:
        self.watched -= 1
        self.used_before = resource.getrusage(resource.RUSAGE_THREAD) if self.watched else None

    def _count(self, took: int, status: str) -> None:
        counters = self._counters
        counters[0] += 1
        counters[_SUM] += took
        bucket = _BUCKETS + bisect_left(_BOUNDS, took)
        counters[bucket] += 1
        self.cells[REQUESTS + bucket] = counters[bucket]
        if status:
            counters[_CLASS_OF[status[0]]] += 1
        self.unwritten = True

    def _write(self) -> None:
        self.unwritten = False
        self._add_brief()
        _pack_common(self.cells, _COUNTERS_AT, *self._counters[:_COMMON])
        self._write_held()

    def _add_brief(self) -> None:
        counters = self._counters
        for status, count in self._brief.items():
            counters[0] += count
            counters[_BUCKETS] += count
            if status:
                counters[_CLASS_OF[status[0]]] += count
        counters[_SUM] += self._brief_sum
        self._brief.clear()
        self._brief_sum = 0

    def _write_held(self) -> None:
        held = list(self._held.values())  # in one step: other threads take theirs out meanwhile
        if held:
            start, line = held[0]
            pack_call(self.cells, CALL_AT, len(held), start, len(line), line)
        else:
            _pack_no_call(self.cells, CALL_AT, 0, 0)
