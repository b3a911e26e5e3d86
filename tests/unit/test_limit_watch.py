"""The looks at workers, with a worker that is only what is asked of it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from coachman.config.application_location import ApplicationLocation
from coachman.config.model import ApplicationConfig, RestartConfig
from coachman.policy.lifecycle import State
from coachman.policy.limits import Limits
from coachman.supervisor.application.limit_watch import LimitWatch
from coachman.supervisor.application.member import Member
from coachman.unix.scoreboard import Scoreboard

SILENCE: Final = 0.2


class Worker:
    """Answers each ping at once. Between the first one and its answer, the supervisor's loop is held up."""

    slot, pid, age = 0, os.getpid(), 1.0

    def __init__(self) -> None:
        self.pings = 0
        self.seen_to = asyncio.Event()
        self._pinged_at: float | None = None

    @property
    def silent_for(self) -> float:
        return 0.0 if self._pinged_at is None else time.monotonic() - self._pinged_at

    async def ping(self) -> None:
        self.pings += 1
        self._pinged_at = time.monotonic()
        if self.pings == 1:
            threading.Event().wait(5 * SILENCE)
        else:
            self.seen_to.set()
        # As from a socket: one turn of the loop finds it, behind whose timers another one reads it.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._answer)

    def _answer(self) -> None:
        self._pinged_at = None


@pytest.fixture
def scoreboard() -> Iterator[Scoreboard]:
    board = Scoreboard.create(1)
    yield board
    board.close()


def member(worker: Worker, limits: Limits) -> SimpleNamespace:
    return SimpleNamespace(process=worker, state=State.READY, limits=limits, excess=None, seen_busy_at=0.0)


def test_siblings_do_not_reach_the_number_of_requests_together() -> None:
    def limits_of(restart: RestartConfig) -> set[int]:
        config = ApplicationConfig(location=ApplicationLocation(root=Path()), restart=restart)
        generation: Any = SimpleNamespace(config=config)
        return {Member(slot, generation).limits.requests for slot in range(1000)}

    assert limits_of(RestartConfig(max_requests=10, max_requests_jitter=2)) == {10, 11, 12}
    assert limits_of(RestartConfig(max_requests=10)) == {10}
    assert limits_of(RestartConfig(max_requests_jitter=2)) == {0}, "there is no limit to begin with"


def test_an_answer_that_a_supervisor_was_held_up_from_reading_is_no_silence(scoreboard: Scoreboard) -> None:
    notes: list[str] = []

    async def watch() -> None:
        worker = Worker()
        members = [member(worker, Limits(silence=SILENCE))]
        pool: Any = SimpleNamespace(members=members, reconcile=worker.seen_to.set)
        watching = LimitWatch(pool, scoreboard, notes.append)
        watching.wake()
        async with asyncio.timeout(30):
            await worker.seen_to.wait()
        await watching.stop()

    asyncio.run(watch())
    assert notes == []


def test_a_worker_with_shorter_limits_is_looked_at_in_time(scoreboard: Scoreboard) -> None:
    async def watch() -> None:
        old, new = Worker(), Worker()
        members = [member(old, Limits(age=3600))]
        pool: Any = SimpleNamespace(members=members, reconcile=new.seen_to.set)
        watching = LimitWatch(pool, scoreboard, lambda _: None)
        watching.wake()
        members.append(member(new, Limits(silence=SILENCE)))
        watching.wake()
        async with asyncio.timeout(30):
            await new.seen_to.wait()
        await watching.stop()

    asyncio.run(watch())
