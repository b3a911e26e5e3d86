"""Many things that all have the same time to happen, with one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `on_expired` with each thing that was watched for `seconds` and not forgotten meanwhile.

    `seconds` of 0 are no limit. All wait equally long, so the order in which they were added is that in
    which they expire, and the timer is that of the oldest. Watching and forgetting cost an entry in a
    dictionary: a timer for each connection, armed and cancelled with each request, would be a good part of
    what a short request costs.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, on_expired: Callable[[T], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._on_expired = on_expired
        self._since: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timers: dict[T, asyncio.TimerHandle] = {}
        """Of those that have got more time than all."""

    def watch(self, thing: T) -> None:
        """Let its time begin now; what is watched already must be forgotten first."""
        if not self._seconds:
            return
        now = self._loop.time()
        self._since[thing] = now
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._seconds, self._look)

    def watch_until(self, thing: T, moment: float) -> None:
        """Watch what has expired on, until `moment` of the loop's time. That costs a timer: it is for few."""
        self._timers[thing] = self._loop.call_at(moment, self._expire, thing)

    def forget(self, thing: T) -> None:
        """Watch it no longer; nothing happens where it is not watched."""
        self._since.pop(thing, None)
        if self._timers and (timer := self._timers.pop(thing, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Forget everything."""
        self._since.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, thing: T) -> None:
        del self._timers[thing]
        self._on_expired(thing)

    def _look(self) -> None:
        now = self._loop.time()
        try:
            while self._since:
                oldest, since = next(iter(self._since.items()))
                if since + self._seconds > now:
                    break
                del self._since[oldest]
                self._on_expired(oldest)
        finally:  # whatever has gone wrong with one, the others' time is running
            first = next(iter(self._since.values()), None)
            self._timer = None if first is None else self._loop.call_at(first + self._seconds, self._look)
