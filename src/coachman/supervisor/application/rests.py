"""Slots that stay empty for a while, because their workers keep failing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from coachman.policy.backoff import restart_delay


class Rests:
    """Counts failures in a row by slot, and keeps slots empty for as long as these ask for.

    `on_end` is called whenever a slot may be filled again.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._failures: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    @property
    def slots(self) -> tuple[int, ...]:
        """Those that stay empty at this moment."""
        return tuple(self._timers)

    @property
    def left(self) -> float:
        """Seconds until the first of them may be filled; 0.0 where none rests."""
        due = [timer.when() for timer in self._timers.values()]
        return max(0.0, min(due, default=0.0) - asyncio.get_running_loop().time())

    def failures(self, slot: int) -> int:
        """Return how often in a row workers in `slot` have failed."""
        return self._failures.get(slot, 0)

    def begin(self, slot: int, failures: int) -> float:
        """Note so many failures in a row, and keep `slot` empty accordingly; return for how many seconds."""
        self._failures[slot] = failures
        delay = restart_delay(failures)
        if delay:
            loop = asyncio.get_running_loop()
            self._timers[slot] = loop.call_later(delay, partial(self._end, slot))
        return delay

    def forget(self) -> None:
        """Begin anew with all slots: what has failed says nothing about what is to come."""
        self._failures.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _end(self, slot: int) -> None:
        del self._timers[slot]
        self._on_end()
