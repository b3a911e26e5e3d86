"""The layout of the scoreboard: what a worker says of itself in shared memory, in cells of 64 bits.

The worker alone writes its slot, but for `AWAITED`, and except when it is cleared for a worker to come.
Everybody reads. A cell is read and written in one step by the hardware; two cells that belong together may be
seen one write apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

CELL_SIZE: Final = 8
CELLS: Final = 128
"""Cells in one slot."""

# Indices of cells. Plain numbers, because they are used for every request; what is written together is
# together.
PID: Final = 0
GENERATION: Final = 1
HEARTBEAT: Final = 2
"""When the worker's loop last answered a ping, in monotonic nanoseconds."""
THREADS: Final = 3
"""Requests that the worker can have in the application at the same time; 0 where nothing bounds them."""
TAKES: Final = 4
"""1 where the worker takes connections from the handoff queue, 0 where it does not (any more)."""
CONNECTIONS: Final = 5
"""Open connections."""
WAITING: Final = 6
"""Connections that wait in the worker for a thread."""
AWAITED: Final = 7
"""1 where the supervisor waits to be told of the next connection; the worker that has one puts it back."""
ACCEPTED: Final = 8
"""Connections accepted from the kernel."""
HANDED_OVER: Final = 9
"""Connections put into the handoff queue."""
TAKEN_OVER: Final = 10
"""Connections taken from the handoff queue."""
REQUESTS: Final = 16
"""Requests answered."""
STATUS_CLASSES: Final = 17
"""The first of five: responses with a status of 1xx, 2xx, 3xx, 4xx and 5xx."""
DURATION_SUM: Final = 22
"""Nanoseconds that all answered requests took together."""
DURATION_BUCKETS: Final = 23
"""The first of so many as there are `DURATION_BOUNDS`, and one more: requests that took at most so long."""
IN_FLIGHT: Final = 46
"""Requests that are in the application."""
OLDEST_START: Final = 47
"""When the oldest request that is in the application went there, in monotonic nanoseconds; 0: none is."""
REQUEST_LINE_LENGTH: Final = 48
REQUEST_LINE: Final = 49
"""The first cell of the line of a request that is in the application: bytes, up to `REQUEST_LINE_SIZE`."""
REQUEST_LINE_SIZE: Final = (CELLS - REQUEST_LINE) * CELL_SIZE

DURATION_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets in seconds; what takes longer is in one more."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What only ever grows; sums of those of several workers mean something."""

    requests: int = 0
    accepted: int = 0
    handed_over: int = 0
    taken_over: int = 0
    statuses: tuple[int, ...] = (0,) * 5
    """Of 1xx to 5xx."""
    duration_sum: float = 0.0
    """Seconds."""
    durations: tuple[int, ...] = (0,) * (len(DURATION_BOUNDS) + 1)
    """Requests in each bucket by itself, not in all below as well."""

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.requests + other.requests,
            self.accepted + other.accepted,
            self.handed_over + other.handed_over,
            self.taken_over + other.taken_over,
            tuple(map(sum, zip(self.statuses, other.statuses, strict=True))),
            self.duration_sum + other.duration_sum,
            tuple(map(sum, zip(self.durations, other.durations, strict=True))),
        )


@dataclass(frozen=True, slots=True)
class SlotView:
    """What one slot said at a moment."""

    pid: int
    generation: int
    heartbeat: float
    """Monotonic seconds, as is `oldest_start`."""
    threads: int
    in_flight: int
    waiting: int
    connections: int
    oldest_start: float | None
    request_line: bytes
    """Of a request in the application; b"" where none is."""
    counters: Counters = field(default_factory=Counters)


def view_of(cells: Sequence[int]) -> SlotView:
    """Read the cells of one slot."""
    length = min(cells[REQUEST_LINE_LENGTH], REQUEST_LINE_SIZE)
    line = b"".join(cell.to_bytes(CELL_SIZE, "little") for cell in cells[REQUEST_LINE:CELLS])
    return SlotView(
        pid=cells[PID],
        generation=cells[GENERATION],
        heartbeat=cells[HEARTBEAT] / 1e9,
        threads=cells[THREADS],
        in_flight=cells[IN_FLIGHT],
        waiting=cells[WAITING],
        connections=cells[CONNECTIONS],
        oldest_start=cells[OLDEST_START] / 1e9 or None,
        request_line=line[:length] if cells[IN_FLIGHT] else b"",
        counters=Counters(
            requests=cells[REQUESTS],
            accepted=cells[ACCEPTED],
            handed_over=cells[HANDED_OVER],
            taken_over=cells[TAKEN_OVER],
            statuses=tuple(cells[STATUS_CLASSES : STATUS_CLASSES + 5]),
            duration_sum=cells[DURATION_SUM] / 1e9,
            durations=tuple(cells[DURATION_BUCKETS : DURATION_BUCKETS + len(DURATION_BOUNDS) + 1]),
        ),
    )
