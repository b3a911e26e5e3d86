"""Looks at workers from time to time, and marks those that have reached a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from coachman.policy.lifecycle import State
from coachman.policy.limits import (
    MEMORY_PERIOD,
    Excess,
    WorkerUse,
    check_period,
    excess,
    ping_period,
)
from coachman.supervisor.application.background import Background
from coachman.supervisor.application.member import Member
from coachman.supervisor.application.pool import Pool
from coachman.supervisor.process.worker_process import WorkerProcess
from coachman.unix.process_usage import is_stopped, proportional_memory
from coachman.unix.scoreboard import Scoreboard


class LimitWatch:
    """Marks workers that have reached a limit as expired, upon which the pool replaces them one by one.

    It sleeps as long as no limit can have been reached; without limits, for ever.
    """

    def __init__(self, pool: Pool, scoreboard: Scoreboard, note: Callable[[str], None]) -> None:
        self._pool = pool
        self._scoreboard = scoreboard
        self._note = note
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._memory_due = 0.0
        self._ping_due = 0.0
        self._background = Background()

    def wake(self) -> None:
        """Look when there may be something to see: to be called when workers have come or gone."""
        if not self._stopped:
            self._sleep()

    async def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        await self._background.wait()

    def _sleep(self) -> None:
        """Look again when a limit may have been reached; where that was to be earlier, as it was to be."""
        period = _shortest(check_period(member.limits, [worker.age]) for member, worker in self._ready())
        if period is None:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + period
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        period = _shortest(ping_period(member.limits) for member, _ in self._ready())
        weighing, pinging = now >= self._memory_due, period is not None and now >= self._ping_due
        if weighing:
            self._memory_due = now + MEMORY_PERIOD
        if pinging and period is not None:
            self._ping_due = now + period
        expired = False
        for member, worker in self._ready():
            weighed = weighing and member.limits.memory > 0
            found = excess(self._use(member, worker, now, weighed=weighed), member.limits)
            if found is not None:
                self._expire(member, worker, found)
                expired = True
            elif pinging:
                self._background.run(worker.ping())
        self._sleep()
        if expired:
            self._pool.reconcile()

    def _expire(self, member: Member, worker: WorkerProcess, found: Excess) -> None:
        self._note(f"worker {worker.slot} (pid {worker.pid}) is to be replaced: {found.reason}")
        member.excess = found
        if found.stuck:
            self._background.run(worker.dump())

    def _use(self, member: Member, worker: WorkerProcess, now: float, *, weighed: bool) -> WorkerUse:
        view = self._scoreboard.view(worker.slot)
        if view.in_flight:
            member.seen_busy_at = now
        return WorkerUse(
            requests=view.counters.requests,
            memory=proportional_memory(worker.pid) if weighed else None,
            age=worker.age,
            oldest_request=0.0 if view.oldest_start is None else now - view.oldest_start,
            idle_for=now - member.seen_busy_at,
            silent_for=worker.silent_for,
            stopped=worker.silent_for > 0 and is_stopped(worker.pid),
        )

    def _ready(self) -> list[tuple[Member, WorkerProcess]]:
        """Return those that serve and have reached no limit yet."""
        return [
            (member, member.process)
            for member in self._pool.members
            if member.process is not None and member.state is State.READY and member.excess is None
        ]


def _shortest(periods: Iterable[float | None]) -> float | None:
    return min((period for period in periods if period is not None), default=None)
