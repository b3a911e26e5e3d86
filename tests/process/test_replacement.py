"""Workers that end, or begin to, without having been asked by the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from coachman.protocol.supervisor_half import Ready
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
