"""When a connection that waits for a thread is better off in the handoff queue."""

from __future__ import annotations

from typing import Final

PATIENCE_SECONDS: Final = 0.002
"""How long a connection waits for a thread of its own worker before others may have it."""

WORTHWHILE_SECONDS: Final = 0.0005
"""Calls from this length on: to hand a connection over and take it in costs a small fraction of it."""


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
