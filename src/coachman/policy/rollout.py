"""Which workers to start and which to drain: from the pool as it is towards the pool as it should be.

One rule covers the first start, growing, shrinking, deaths, limits and rolling restarts. It is asked again
upon every event, and what it answers depends on nothing but what is there at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import TypeAlias

from coachman.policy.lifecycle import State


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker, from the decision to start it until it is known how it has ended."""

    slot: int
    generation: int
    state: State
    expired: bool = False
    """Whether it has reached a limit: to be replaced by one of its own generation."""


@dataclass(frozen=True, slots=True)
class PoolView:
    """The pool at a moment."""

    workers: tuple[WorkerView, ...]
    wanted: int
    """Workers that are to serve."""
    surge: int
    """How many there may be beyond that for a while, those that drain included. At least 1."""
    serving: int | None
    """The generation that serves; None: none has become ready yet."""
    coming: int | None = None
    """The generation of which the first worker has still to become ready."""
    coming_waits: bool = False
    """Whether the first worker of `coming` must not be started yet, because it has just failed."""
    resting: tuple[int, ...] = ()
    """Slots that are to stay empty for a while, because their workers keep failing."""
    starts_at_once: int = 4
    """Workers that may be starting at the same time, the first of `coming` apart."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker of `generation` in the empty `slot`."""

    slot: int
    generation: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Have a worker that is ready finish what it has in hand and end."""

    slot: int


@dataclass(frozen=True, slots=True)
class CallOff:
    """End a worker that is not ready yet."""

    slot: int


Step: TypeAlias = Start | Drain | CallOff


def next_steps(pool: PoolView) -> list[Step]:
    """Return what to do now.

    There are never more than `wanted` + `surge` workers, whatever their state, once those that a smaller
    `wanted` has made too many are gone. A worker that serves is drained only while `wanted` others do.
    """
    # One that is gone keeps its slot until it is known how it has ended: that decides whether the slot rests.
    called_off: list[Step] = [
        CallOff(worker.slot)
        for worker in pool.workers
        if worker.state is State.SPAWNING and worker.generation not in (pool.serving, pool.coming)
    ]
    expired = _to_replace(pool)
    return called_off + _room_for_trial(pool) + _starts(pool, expired) + _drains(pool, expired)


def _room_for_trial(pool: PoolView) -> list[Step]:
    """Call a start of the generation that serves off, where that of the one that comes has no other room.

    As long as that is tried, nobody needs what would only replace a worker that serves; and whoever restarts
    may do so because just these starts hang.
    """
    if not _to_be_tried(pool) or _room(pool) > 0:
        return []
    if sum(worker.state is State.READY for worker in pool.workers) < pool.wanted:
        return []
    # Always the same one, until it is gone and its place is free.
    replacements = [
        worker.slot
        for worker in pool.workers
        if worker.state is State.SPAWNING and worker.generation == pool.serving
    ]
    return [CallOff(max(replacements))] if replacements else []


def _to_be_tried(pool: PoolView) -> bool:
    """Return whether the first worker of the generation that comes is to be started."""
    if pool.coming is None or pool.coming_waits:
        return False
    return not any(worker.generation == pool.coming for worker in pool.workers)


def _room(pool: PoolView) -> int:
    """Return how many workers there may be beyond those that are there."""
    return pool.wanted + pool.surge - len(pool.workers)


def _starts(pool: PoolView, expired: WorkerView | None) -> list[Step]:
    spawning = sum(worker.state is State.SPAWNING for worker in pool.workers)
    room = _room(pool)
    free = _free_slots(pool)
    steps: list[Step] = []
    # The first of a generation goes alone: what is broken is reported once, and what an application does on
    # its first start (a migration, say) is done before others come.
    if pool.coming is not None and _to_be_tried(pool) and room > 0:
        steps.append(Start(next(free), pool.coming))
        room -= 1
    if pool.serving is not None:
        fresh = [
            worker
            for worker in pool.workers
            if worker.generation == pool.serving
            and worker.state is not State.DRAINING
            and worker is not expired
        ]
        missing = pool.wanted - len(fresh) - len(pool.resting)
        # Not of the one that comes: whoever restarts may do so because these starts hang.
        at_once = pool.starts_at_once - spawning - len(steps)
        steps += [Start(slot, pool.serving) for slot in islice(free, max(0, min(missing, room, at_once)))]
    return steps


def _drains(pool: PoolView, expired: WorkerView | None) -> list[Step]:
    ready = [worker for worker in pool.workers if worker.state is State.READY]
    stale = sorted(
        (worker for worker in ready if worker.generation != pool.serving),
        key=lambda worker: (worker.generation, worker.slot),
    )
    # The highest slots are the last that were needed.
    spare = sorted((worker for worker in ready if worker not in stale), key=lambda worker: -worker.slot)
    order = [*stale, *spare]
    if expired in spare:
        assert expired is not None
        order.remove(expired)
        order.insert(len(stale), expired)
    return [Drain(worker.slot) for worker in order[: max(0, len(ready) - pool.wanted)]]


def _to_replace(pool: PoolView) -> WorkerView | None:
    """Return the one worker of those that have reached a limit whose turn it is."""
    expired = [worker for worker in pool.workers if worker.expired and worker.generation == pool.serving]
    if any(worker.state is State.DRAINING for worker in expired):
        return None
    return min((w for w in expired if w.state is State.READY), key=lambda w: w.slot, default=None)


def _free_slots(pool: PoolView) -> Iterator[int]:
    taken = {worker.slot for worker in pool.workers}.union(pool.resting)
    return (slot for slot in count(1) if slot not in taken)
