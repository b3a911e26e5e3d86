"""The preloader as the supervisor has it, with one that answers when the test says so."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from coachman.config.application_location import ApplicationLocation
from coachman.config.model import ApplicationConfig
from coachman.supervisor.process.preloader_process import PreloaderProcess
from coachman.unix.processes import ChildProcess


class Silent:
    """A control channel that takes everything and says nothing."""

    async def write(self, *_: object) -> None:
        """Take a message."""


class Preloader(PreloaderProcess):
    """One without a process."""

    def __init__(self) -> None:
        self._config = ApplicationConfig(location=ApplicationLocation(root=Path("/")))
        self._control = Silent()  # type: ignore[assignment]  # as far as it is used here
        self._conversation = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]  # likewise
        self._reply = None


def test_a_worker_that_comes_as_its_start_is_called_off_is_ended() -> None:
    process = subprocess.Popen(["sleep", "600"])
    process.returncode = 0  # it is reaped by somebody else

    async def use() -> None:
        preloader = Preloader()
        forking = asyncio.create_task(preloader._ask(1, 1, []))
        await asyncio.sleep(0)
        preloader._answer(ChildProcess(process.pid))
        forking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forking
        preloader._conversation.cancel()

    asyncio.run(use())
    with pytest.raises(ProcessLookupError):  # reaped as well
        os.kill(process.pid, 0)
