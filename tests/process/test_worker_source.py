"""Where workers come from, with preloaders that do what the test says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from coachman.config.application_location import ApplicationLocation
from coachman.config.model import ApplicationConfig
from coachman.supervisor.application.worker_source import WorkerSource
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.spawner import Account


@pytest.fixture
def location(tmp_path: Path) -> ApplicationLocation:
    return ApplicationLocation(root=tmp_path, module="wsgi")


def test_a_preloader_that_cannot_fork_is_tried_once_however_many_wait_for_it(
    location: ApplicationLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        log = Log(None)
        source = WorkerSource(ApplicationConfig(location=location), Account(), 1, log)
        tried: list[None] = []

        async def leaves_a_thread() -> None:
            tried.append(None)
            await asyncio.sleep(0)
            source._direct = True

        monkeypatch.setattr(source, "_start_preloader", leaves_a_thread)
        monkeypatch.setattr(source, "_execute", lambda: "a process")
        found: list[Any] = await asyncio.gather(*(source.worker(slot) for slot in range(4)))
        assert (found, len(tried)) == (["a process"] * 4, 1)
        log.close()

    asyncio.run(use())


def test_a_preloader_rests_after_its_last_fork_however_long_that_took(
    location: ApplicationLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        pid = 7
        stopped = asyncio.Event()

        async def fork(self, _slot: int, _generation: int) -> str:
            for _turn in range(10):  # longer than it may have nothing to do
                await asyncio.sleep(0)
            return "a process"

        async def stop(self) -> None:
            self.stopped.set()

    async def use() -> None:
        log = Log(None)
        config = ApplicationConfig(location=location, max_preloader_idle_time=1e-9)
        source = WorkerSource(config, Account(), 1, log)
        preloader = Slow()
        monkeypatch.setattr(source, "_preloader", preloader)
        assert await source.worker(1) == "a process"  # type: ignore[comparison-overlap]  # what the stub gives
        async with asyncio.timeout(30):
            await preloader.stopped.wait()
        await source.stop()
        log.close()

    asyncio.run(use())
