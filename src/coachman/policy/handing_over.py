"""When a connection that waits for a thread, or for an event loop, is better off in the handoff queue."""

from __future__ import annotations

from typing import Final

PATIENCE_SECONDS: Final = 0.002
"""How long a connection waits for a thread of its own worker before others may have it."""

WORTHWHILE_SECONDS: Final = 0.0005
"""Calls from this length on: to hand a connection over and take it in costs a small fraction of it."""

AVERAGED_REQUESTS: Final = 50
"""Requests over which the average duration is taken, at least."""

MOVING_SECONDS: Final = 0.0001
"""What two event loops spend on moving a connection from one to the other, about."""

MOVING_SHARE: Final = 0.05
"""How much of the time that an event loop is late may be spent on moving connections."""


HOPE_SHARE: Final = 0.5
"""For this part of a drain, a full queue is expected to have room for everybody before the end."""


def hopes_until(now: float, deadline: float) -> float:
    """Return when connections that found the queue full have to be told that they will end.

    A worker drains from `now` until `deadline`, both in monotonic seconds. Until the moment returned they are
    kept alive: a full queue mostly means that the next worker is being started, so who is told to go would
    wait for that, and who stays is served. After it, answers to the requests that still come are the last.
    """
    return now + HOPE_SHARE * (deadline - now)


def worth_handing_over(*, average_call: float, idle_siblings: int) -> bool:
    """Return whether connections that have waited long enough go into the queue.

    `average_call` is what a call of the application takes, in seconds. Where calls are long they always go,
    also when no sibling is idle: the queue then is the one line in which all wait. (Handing over only to idle
    siblings was tried, and did not help: under load none is.) Where calls are short, a long line is gone
    in no time, and moving connections would cost more than it; unless a sibling has nothing to do.
    """
    return average_call >= WORTHWHILE_SECONDS or idle_siblings > 0


def moving_from_a_late_loop(*, late: float, average_call: float, siblings: int, idle_siblings: int) -> int:
    """Return how many of the connections that wait for an event loop go into the queue.

    `late`: for how many seconds the loop has not come to look at them. A loop that is late because it has
    very much to do, rather than because a call holds it up, must not be kept busy with moving besides: so
    moving is bounded by a share of the time that was lost.
    """
    if late < PATIENCE_SECONDS or not siblings:
        return 0
    if not worth_handing_over(average_call=average_call, idle_siblings=idle_siblings):
        return 0
    return max(1, int(late * MOVING_SHARE / MOVING_SECONDS))


class AverageCall:
    """What a call of the application takes on average, over the last `AVERAGED_REQUESTS` or some more."""

    def __init__(self) -> None:
        self.requests = 0
        """Requests that had ended when the average was last taken."""
        self._duration = 0
        self._average = 0.0

    def seconds(self, requests: int, duration: int) -> float:
        """Return it, given the requests that have ended and the nanoseconds that they took together."""
        if requests - self.requests >= AVERAGED_REQUESTS or not self._average:
            self._average = (duration - self._duration) / max(1, requests - self.requests) / 1e9
            self.requests, self._duration = requests, duration
        return self._average
