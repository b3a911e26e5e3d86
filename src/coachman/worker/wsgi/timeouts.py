"""How long a client may take for what, and when to look whether it has taken longer.

Nothing is scheduled or cancelled for a request. Each connection notes when its present phase began, and is
looked at once in the shortest of all timeouts, or earlier where one is due by then: so none is found late,
and thousands of idle connections cost a few looks a second. Time is an argument everywhere, in monotonic
seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from math import inf
from typing import Final

from coachman.config.model import Bounds
from coachman.counted import counted
from coachman.policy.body_pace import body_deadline, too_slow

LINGER_TIMEOUT: Final = 10.0
"""Seconds for which a client that was refused may go on sending, until it has read why."""


class Phase(Enum):
    """What a connection waits for."""

    IDLE = auto()
    """The first byte of a request."""
    HEAD = auto()
    """The rest of a head."""
    BODY = auto()
    """The rest of a body."""
    RESPONSE = auto()
    """That the peer takes more of a response."""
    LINGER = auto()
    """That the peer, which was refused, closes the connection."""


class Wait:
    """What one connection waits for, and since when."""

    __slots__ = ("phase", "progress", "received", "since")

    def __init__(self, phase: Phase, since: float, progress: float = 0.0, received: int = 0) -> None:
        self.phase = phase
        self.since = since
        """When the phase began."""
        self.progress = progress
        """When the peer last sent or took something in it."""
        self.received = received
        """Bytes of the body that have come."""


def deadline(wait: Wait, bounds: Bounds) -> float:
    """Return when the peer's time is up; infinity where it has any amount."""
    return _DEADLINES[wait.phase](wait, bounds)


def _after(begin: float, timeout: float) -> float:
    return begin + timeout if timeout else inf


def _body_deadline(wait: Wait, bounds: Bounds) -> float:
    timeout = bounds.body_timeout
    return body_deadline(since=wait.since, progress=wait.progress, received=wait.received, timeout=timeout)


_DEADLINES: Final[dict[Phase, Callable[[Wait, Bounds], float]]] = {
    Phase.IDLE: lambda wait, bounds: _after(wait.since, bounds.keep_alive_timeout),
    Phase.HEAD: lambda wait, bounds: _after(wait.since, bounds.header_timeout),
    Phase.BODY: _body_deadline,
    Phase.RESPONSE: lambda wait, bounds: _after(wait.progress, bounds.write_timeout),
    Phase.LINGER: lambda wait, bounds: wait.since + LINGER_TIMEOUT,
}


def overdue(phase: Phase, bounds: Bounds) -> str:
    """Say for the log what a peer did not do in its time."""
    return _OVERDUE[phase](bounds)


_OVERDUE: Final[dict[Phase, Callable[[Bounds], str]]] = {
    Phase.IDLE: lambda bounds: f"no request in {counted(bounds.keep_alive_timeout, 'second')}",
    Phase.HEAD: lambda bounds: f"no complete headers in {counted(bounds.header_timeout, 'second')}",
    Phase.BODY: lambda bounds: too_slow(bounds.body_timeout),
    Phase.RESPONSE: lambda bounds: (
        f"nothing of the response was taken for {counted(bounds.write_timeout, 'second')}"
    ),
    Phase.LINGER: lambda bounds: f"no end of the connection in {LINGER_TIMEOUT:g} seconds",
}


def shortest(bounds: Bounds) -> float:
    """Return how often each connection has to be looked at, so that no timeout is found late."""
    timeouts = (bounds.keep_alive_timeout, bounds.header_timeout, bounds.body_timeout, bounds.write_timeout)
    return min([LINGER_TIMEOUT, *(timeout for timeout in timeouts if timeout)])


class Agenda:
    """When to look at which connection: keys by moments, in steps of `step` seconds.

    Adding, discarding and finding what is due take the same time however many keys there are. Keys may be
    discarded in any thread; everything else belongs to one.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._keys: dict[int, set[int]] = {}
        """By the number of the step at whose end they are due."""
        self._steps: dict[int, int] = {}
        self.next = inf
        """When something is due, at the earliest; infinity where there is nothing."""

    def add(self, key: int, moment: float) -> None:
        """Have `key`, which is not in the agenda, come up at `moment` or up to a step later."""
        step = int(moment / self._step) + 1
        self._steps[key] = step
        self._keys.setdefault(step, set()).add(key)
        self.next = min(self.next, step * self._step)

    def discard(self, key: int) -> None:
        """Forget `key`, if it is there."""
        step = self._steps.pop(key, None)
        if step is not None and (keys := self._keys.get(step)) is not None:
            keys.discard(key)

    def due(self, now: float, at_most: int) -> list[int]:
        """Take out and return keys whose moment has come: so many at most, the others when asked again."""
        if now < self.next:
            return []
        found: list[int] = []
        for step in sorted(step for step in self._keys if step * self._step <= now):
            keys = self._keys[step]
            while len(found) < at_most:
                try:
                    key = keys.pop()  # in one step, since connections may be discarded in any thread
                except KeyError:
                    del self._keys[step]
                    break
                if self._steps.pop(key, None) is not None:
                    found.append(key)
        self.next = min(self._keys, default=inf) * self._step
        return found
