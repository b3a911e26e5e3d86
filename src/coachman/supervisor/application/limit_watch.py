"""Looks at workers from time to time, and marks those that have reached a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from coachman.config.model import ApplicationConfig
from coachman.policy.lifecycle import State
from coachman.policy.limits import (
    MEMORY_PERIOD,
    Excess,
    Limits,
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

    def __init__(
        self, config: ApplicationConfig, pool: Pool, scoreboard: Scoreboard, note: Callable[[str], None]
    ) -> None:
        restart = config.restart
        self._limits = Limits(
            requests=restart.max_requests,
            memory=restart.max_worker_memory,
            age=restart.max_worker_age,
            request_time=config.worker.request_timeout,
            silence=restart.heartbeat_timeout,
        )
        self._jitter = restart.max_requests_jitter
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
        if self._timer is None and not self._stopped:
            self._sleep()

    async def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        await self._background.wait()

    def _sleep(self) -> None:
        ages = [worker.age for _, worker in self._ready()]
        period = check_period(self._limits, ages) if ages else None
        if period is not None:
            self._timer = asyncio.get_running_loop().call_later(period, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        period = ping_period(self._limits)
        weighing, pinging = now >= self._memory_due, period is not None and now >= self._ping_due
        if weighing:
            self._memory_due = now + MEMORY_PERIOD
        if pinging and period is not None:
            self._ping_due = now + period
        expired = False
        for member, worker in self._ready():
            found = excess(self._use(member, worker, now, weighing=weighing), self._limits_of(member))
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

    def _use(self, member: Member, worker: WorkerProcess, now: float, *, weighing: bool) -> WorkerUse:
        view = self._scoreboard.view(worker.slot)
        if view.in_flight:
            member.busy_at = now
        return WorkerUse(
            requests=view.counters.requests,
            memory=proportional_memory(worker.pid) if weighing and self._limits.memory else None,
            age=worker.age,
            in_flight=view.in_flight,
            idle_for=now - member.busy_at,
            oldest_request=0.0 if view.oldest_start is None else now - view.oldest_start,
            silent_for=worker.silent_for,
            stopped=worker.silent_for > 0 and is_stopped(worker.pid),
        )

    def _limits_of(self, member: Member) -> Limits:
        if not self._limits.requests:
            return self._limits
        more = int(member.luck * (self._jitter + 1))
        return replace(self._limits, requests=self._limits.requests + more)

    def _ready(self) -> list[tuple[Member, WorkerProcess]]:
        """Return those that serve and have reached no limit yet."""
        return [
            (member, member.process)
            for member in self._pool.members
            if member.process is not None and member.state is State.READY and member.excess is None
        ]
