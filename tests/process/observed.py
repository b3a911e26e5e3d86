"""An `Application` in the test's own process, for which it can wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from coachman.config.addresses import TcpAddress
from coachman.config.application_location import locate_application
from coachman.config.building import application_config
from coachman.config.model import ApplicationConfig, ProcessCount, SpawnMethod
from coachman.protocol.status import ApplicationStatus, RestartStatus
from coachman.supervisor.application.application import Application
from coachman.supervisor.log.log import Log


class Observed(Application):
    """An application for which a test can wait."""

    def __init__(self, config: ApplicationConfig, log: Log) -> None:
        self._changed = asyncio.Event()
        super().__init__(config, log, on_change=self._changed.set)

    async def restart(self, cause: str) -> RestartStatus:
        """Begin a restart, and return what comes of it."""
        return await asyncio.shield(self.begin_restart(cause).finished)

    async def until(self, condition: Callable[[ApplicationStatus], bool]) -> None:
        """Wait until its state is so, which is looked at whenever it may have changed."""
        async with asyncio.timeout(30):
            while not condition(self.status()):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def application(folder: Path, **given: Any) -> AsyncIterator[Observed]:
    """Give an application of one process, which is not started, and stop it at the end."""
    settings = {
        "bind": (TcpAddress("127.0.0.1", 0),),
        "processes": ProcessCount(1, 1),
        "spawn-method": SpawnMethod.DIRECT,  # a fork of a preloader would not become a child of this process
        **{key.replace("_", "-"): value for key, value in given.items()},
    }
    log = Log(folder / "log")
    try:
        application = Observed(application_config(locate_application(str(folder), folder), settings), log)
        try:
            yield application
        finally:
            await application.stop()
            application.close()
    finally:
        log.close()
