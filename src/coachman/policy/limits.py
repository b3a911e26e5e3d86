"""Which limit a worker has reached, after which it is replaced."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from coachman.counted import counted

COUNT_PERIOD: Final = 1.0
"""Seconds between two looks at how many requests were answered."""
MEMORY_PERIOD: Final = 5.0
"""Seconds between two looks at the memory: the kernel walks through all of it for that."""
SHORTEST_PERIOD: Final = 0.05
REQUEST_TIMEOUT: Final = "request-timeout"
"""The name of the limit that a request has reached which took too long."""
WATCHDOG_GRACE: Final = 2.0
"""Seconds after which a request that takes too long is our matter: the worker's own watchdog comes first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may take and do. 0: there is no such limit."""

    requests: int = 0
    memory: int = 0
    """Bytes."""
    age: float = 0.0
    """Seconds, as are the following."""
    request_time: float = 0.0
    silence: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerUse:
    """What a worker has taken and done so far."""

    requests: int = 0
    memory: int | None = None
    """None: it was not looked at."""
    age: float = 0.0
    oldest_request: float = 0.0
    """Seconds that the oldest of its requests has been in the application."""
    idle_for: float = math.inf
    """Seconds for which no request has been seen there."""
    silent_for: float = 0.0
    """Seconds for which it has owed an answer to a ping."""
    stopped: bool = False
    """Whether a signal has stopped the process, as SIGSTOP does."""


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that was reached."""

    key: str
    """The limit's name, for statistics."""
    reason: str
    """For people."""
    stuck: bool = False
    """Whether it cannot be expected to finish anything: its stacks are of interest, and it is aborted."""


def excess(use: WorkerUse, limits: Limits) -> Excess | None:
    """Return the limit that was reached; None: there is none.

    A worker that does not answer a ping is not stuck as long as it has a request in the application: an
    application that is called in the loop, or that keeps the interpreter to itself, may take its time, up to
    the limit for requests. Once that is over, the loop has as long again for the ping that has waited.
    """
    if limits.silence and use.silent_for >= limits.silence:
        if use.stopped:
            return Excess("heartbeat-timeout", "a signal has stopped it", stuck=True)
        if use.idle_for >= limits.silence:
            reason = f"it has given no sign of life for {use.silent_for:.0f} s"
            return Excess("heartbeat-timeout", reason, stuck=True)
    late = limits.request_time + WATCHDOG_GRACE
    if limits.request_time and use.oldest_request >= late and use.silent_for >= WATCHDOG_GRACE:
        reason = f"a request has been in the application for {use.oldest_request:.0f} s"
        return Excess(REQUEST_TIMEOUT, reason, stuck=True)
    if limits.requests and use.requests >= limits.requests:
        return Excess("max-requests", f"it has answered {counted(use.requests, 'request')}")
    if limits.memory and use.memory is not None and use.memory > limits.memory:
        return Excess("max-worker-memory", f"it takes {use.memory / 2**20:.0f} MiB of memory")
    if limits.age and use.age >= limits.age:
        return Excess("max-worker-age", f"it has served for {use.age:.0f} s")
    return None


def ping_period(limits: Limits) -> float | None:
    """Return the seconds between two pings; None: none are needed."""
    found = [limits.silence / 2] if limits.silence else []
    if limits.request_time:
        found.append(max(1.0, limits.request_time / 4))
    return max(SHORTEST_PERIOD, min(found)) if found else None


def check_period(limits: Limits, ages: Iterable[float]) -> float | None:
    """Return the seconds until workers of these ages are to be looked at; None: they need not be."""
    found = []
    if (ping := ping_period(limits)) is not None:
        found.append(ping)
    if limits.requests:
        found.append(COUNT_PERIOD)
    if limits.memory:
        found.append(MEMORY_PERIOD)
    if limits.age:
        found += [limits.age - age for age in ages]
    return max(SHORTEST_PERIOD, min(found)) if found else None
