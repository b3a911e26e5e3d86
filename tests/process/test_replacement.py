"""Workers that end, or begin to, without having been asked by the supervisor."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from functools import partial
from pathlib import Path

import pytest

from coachman.protocol.status import ApplicationStatus
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.application.application import Application
from coachman.supervisor.process.worker_process import WorkerProcess
from coachman.unix.processes import Ending

from ..end_to_end.applications import HELLO, write_application
from .observed import application


def test_a_worker_that_drains_before_it_is_known_to_be_ready_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = WorkerProcess.start

    async def told_to_drain(worker: WorkerProcess, timeout: float) -> Ready:
        ready = await start(worker, timeout)
        if worker.slot == 1:
            # As if it had said so by now.
            os.kill(worker.pid, signal.SIGTERM)
            worker.accepts = False
            worker._on_draining = lambda: None
        return ready

    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            await served.until(lambda status: [worker.slot for worker in status.workers] == [2])
            await served.until(lambda status: status.ready == 1)
            assert served.status().totals.replacements == {"asked to end": 1}
            assert served.status().totals.spawns == 2

    write_application(tmp_path, HELLO)
    monkeypatch.setattr(WorkerProcess, "start", told_to_drain)
    asyncio.run(use())


def grown_old(served: Application) -> int:
    """Let the only worker have served for an hour; return its pid."""
    (member,) = served.pool.members
    assert member.process is not None
    assert member.process.ready_at is not None
    member.process.ready_at -= 3600
    return member.process.pid


def has_replaced(replacements: dict[str, int], status: ApplicationStatus) -> bool:
    """Whether these were replaced, and a worker is there again."""
    return status.totals.replacements == replacements and status.ready == 1


def test_all_that_is_known_of_a_death_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            pid = grown_old(served)
            monkeypatch.setattr(WorkerProcess, "memory_evidence", "oom_kill went from 1 to 2")
            os.kill(pid, signal.SIGKILL)
            await served.until(partial(has_replaced, {"died": 1}))

    write_application(tmp_path, "print('these words')", HELLO)
    asyncio.run(use())
    assert re.search(
        r"ended with SIGKILL, killed by the kernel because memory ran out \(oom_kill went from 1 to 2\), "
        r"after 0 requests in 36\d\d\.\d s, and had last printed: these words; replacing it\n",
        (tmp_path / "log").read_text(),
    )


def test_a_worker_that_has_served_well_is_forgiven_earlier_deaths(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            for number in range(3):
                pid = grown_old(served)
                os.kill(pid, signal.SIGKILL)
                deaths = {"died": number + 1}
                await served.until(partial(has_replaced, deaths))

    write_application(tmp_path, HELLO)
    asyncio.run(use())
    ends = re.findall(r"; replacing it(.*)", (tmp_path / "log").read_text())
    assert ends == ["", "", ""], "none of them has to wait"


def test_a_worker_of_which_the_end_is_still_looked_into_keeps_its_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = WorkerProcess.ended

    async def use() -> None:
        gone, go_on = asyncio.Event(), asyncio.Event()

        async def ended_when_it_may(worker: WorkerProcess) -> Ending:
            ending = await ended(worker)
            gone.set()
            await go_on.wait()  # as long as something may hold its pipes open
            return ending

        monkeypatch.setattr(WorkerProcess, "ended", ended_when_it_may)
        async with application(tmp_path) as served:
            try:
                await served.start()
                (victim,) = served.status().workers
                os.kill(victim.pid, signal.SIGKILL)
                await gone.wait()
                served.scale("2")  # anything that makes the pool look at its workers
                await served.until(lambda status: status.ready == 1)
                slots = {worker.pid: worker.slot for worker in served.status().workers}
                assert slots.pop(victim.pid) == 1
                assert list(slots.values()) == [2]
            finally:
                go_on.set()
            await served.until(lambda status: status.ready == 2)
            assert {worker.slot for worker in served.status().workers} == {1, 2}
            assert served.status().totals.replacements == {"died": 1}

    write_application(tmp_path, HELLO)
    asyncio.run(use())
