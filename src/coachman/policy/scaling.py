"""How many workers there are to be: more when requests wait, fewer when some were not needed for long."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

GROW_AFTER: Final = 0.1
"""Seconds for which requests have to wait before the pool grows: a moment's crowd is no demand."""
GROWTH: Final = 4
"""How many times as many workers there may be after one step."""
UNBOUNDED_CAPACITY: Final = 100
"""Requests at the same time that are taken for enough for one worker, where nothing bounds them (ASGI)."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What there is to do at a moment."""

    at: float
    """Monotonic seconds."""
    ready: int
    """Workers that are ready."""
    in_flight: int
    """Requests in the application, in all workers together."""
    waiting: int
    """Requests that wait for a thread of a worker, and connections that wait to be accepted."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what the pool may grow and shrink."""

    least: int
    most: int
    threads: int
    """Requests that one worker handles at the same time; 0: nothing bounds them."""
    idle_time: float
    """Seconds after which a worker that was not needed is one too many; 0: it never is."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many workers are wanted, and what has led to that."""

    wanted: int
    needed_at: tuple[float, ...] = ()
    """When the first, the second, the third... of the workers beyond the least was last needed."""
    pressed_since: float | None = None
    """Since when requests have been waiting; None: none are."""


def scaled_to(scaling: Scaling, demand: Demand, bounds: Bounds) -> Scaling:
    """Return what is wanted after another look at the demand."""
    capacity = bounds.threads or UNBOUNDED_CAPACITY
    needed = ceil((demand.in_flight + demand.waiting) / capacity)
    wanted = min(max(scaling.wanted, bounds.least), bounds.most)

    pressed_since = scaling.pressed_since if demand.waiting else None
    if demand.waiting and pressed_since is None:
        pressed_since = demand.at
    pressed = pressed_since is not None and demand.at - pressed_since >= GROW_AFTER
    # One step after the other: what those that are being started will bring is not known yet.
    if pressed and needed > wanted and demand.ready >= wanted:
        wanted = min(needed, GROWTH * wanted, bounds.most)

    extra = wanted - bounds.least
    needed_at = tuple(
        demand.at if number < needed - bounds.least or number >= len(scaling.needed_at) else last
        for number, last in zip(range(extra), (*scaling.needed_at, *[demand.at] * extra), strict=False)
    )
    while bounds.idle_time and needed_at and demand.at - needed_at[-1] >= bounds.idle_time:
        needed_at = needed_at[:-1]
    return Scaling(bounds.least + len(needed_at), needed_at, pressed_since)


def affordable(wanted: int, *, least: int, workers: int, memory: int, budget: int) -> int:
    """Return how many of the `wanted` workers there may be, where `workers` take `memory` bytes now.

    A further worker is expected to take what those that are there take on average, so `budget` is kept
    without trying out whether it would be. `least` workers there may be at any rate. `budget` 0: any.
    """
    if not budget or not workers:
        return wanted
    each = max(1, memory // workers)
    return max(least, min(wanted, workers + (budget - memory) // each))
