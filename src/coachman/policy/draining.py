"""How a worker that is to end divides its time: what is in hand first, then the rest is told to go."""

from __future__ import annotations

from typing import Final, NamedTuple

FAREWELL_SHARE: Final = 0.2
FAREWELL_SECONDS: Final = 2.0
SHUTDOWN_SHARE: Final = 0.1
SHUTDOWN_SECONDS: Final = 0.5


class DrainPlan(NamedTuple):
    """Moments of one clock, in seconds, in the order in which they come."""

    farewell_at: float
    """Whatever waits for the client alone (an open WebSocket) is told to go."""
    give_up_at: float
    """Requests that are still in hand are given up: the application has the rest to shut down."""
    deadline: float
    """Everything has to be over."""


def drain_plan(now: float, seconds: float) -> DrainPlan:
    """Divide `seconds` from `now` on: all but a bounded share of them belongs to the requests in hand."""
    deadline = now + seconds
    return DrainPlan(
        farewell_at=deadline - min(FAREWELL_SECONDS, FAREWELL_SHARE * seconds),
        give_up_at=deadline - min(SHUTDOWN_SECONDS, SHUTDOWN_SHARE * seconds),
        deadline=deadline,
    )
