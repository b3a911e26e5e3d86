"""What the scoreboard is told of an ASGI worker, in which many requests are in the application at a time."""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import Final

from coachman.protocol.scoreboard import (
    CELL_SIZE,
    CONNECTIONS,
    DURATION_BOUNDS,
    DURATION_BUCKETS,
    DURATION_SUM,
    IN_FLIGHT,
    OLDEST_START,
    REQUEST_LINE,
    REQUEST_LINE_LENGTH,
    REQUEST_LINE_SIZE,
    REQUESTS,
    STATUS_CLASSES,
)
from coachman.unix.scoreboard import private_cells

_BOUNDS: Final = tuple(int(bound * 1e9) for bound in DURATION_BOUNDS)
_LINE_AT: Final = REQUEST_LINE * CELL_SIZE


class Board:
    """Keeps one worker's slot: `began` and `ended` for every request, in the loop's thread."""

    def __init__(self) -> None:
        self._started: dict[object, tuple[int, bytes]] = {}
        """When the requests in the application went there, and their lines; the oldest first."""
        self.use(private_cells())

    def use(self, cells: memoryview[int]) -> None:
        """Write to `cells` from here on; they stay the caller's."""
        self.cells = cells
        self._bytes = cells.cast("B")

    def release(self) -> None:
        """Keep no view of the cells."""
        self._bytes.release()

    def began(self, request: object, line: bytes) -> int:
        """Note that `request`, any object of its own, goes into the application; return when.

        Here and below, times are in nanoseconds, of the monotonic clock.
        """
        started, cells = self._started, self.cells
        start = time.monotonic_ns()
        started[request] = (start, line)
        cells[IN_FLIGHT] = count = len(started)
        if count == 1:
            self._show_oldest(start, line)
        return start

    def ended(self, request: object, status: int) -> int:
        """Note that `request` has left the application with a `status`; 0: it has none to show.

        Returns how long it was there.
        """
        started, cells = self._started, self.cells
        start, _ = started.pop(request)
        took = time.monotonic_ns() - start
        cells[IN_FLIGHT] = len(started)
        cells[REQUESTS] += 1
        cells[DURATION_SUM] += took
        cells[DURATION_BUCKETS + bisect_left(_BOUNDS, took)] += 1
        if status:
            cells[STATUS_CLASSES - 1 + status // 100] += 1
        if start == cells[OLDEST_START]:
            self._show_oldest(*next(iter(started.values()), (0, b"")))
        return took

    def answered(self, status: int) -> None:
        """Note an answer that was given without the application."""
        self.cells[REQUESTS] += 1
        self.cells[STATUS_CLASSES - 1 + status // 100] += 1

    def totals(self) -> tuple[int, int]:
        """Return the requests that have ended, and how long they took together."""
        return self.cells[REQUESTS], self.cells[DURATION_SUM]

    @property
    def in_hand(self) -> tuple[int, str]:
        """How many requests are in the application, and the line of the oldest of them, "" where none is."""
        _, line = next(iter(self._started.values()), (0, b""))
        return len(self._started), line.decode(errors="backslashreplace")

    def connections(self, count: int) -> None:
        """Note how many connections are open."""
        self.cells[CONNECTIONS] = count

    def add(self, cell: int) -> None:
        """Add one to a counter."""
        self.cells[cell] += 1

    def _show_oldest(self, start: int, line: bytes) -> None:
        self.cells[OLDEST_START] = start
        line = line[:REQUEST_LINE_SIZE]
        self._bytes[_LINE_AT : _LINE_AT + len(line)] = line
        self.cells[REQUEST_LINE_LENGTH] = len(line)
