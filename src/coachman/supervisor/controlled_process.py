"""An application process with a control channel: what workers and preloaders have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from coachman.errors import ChannelError
from coachman.protocol import control
from coachman.protocol.log_format import Source
from coachman.supervisor.application_process import ApplicationProcess, first_of
from coachman.supervisor.log import Log
from coachman.supervisor.pipes import PipeReader
from coachman.supervisor.spawner import ControlledSpawn
from coachman.unix.async_channel import AsyncMessageChannel
from coachman.unix.processes import Ending

HEARING_SECONDS = 1.0
"""How long the control channel of an ended process may stay open before what is left of it is given up."""


class ControlledProcess(ApplicationProcess):
    """An application process that also talks on a control channel."""

    def __init__(
        self, spawned: ControlledSpawn, request: Mapping[str, str], source: Source, log: Log
    ) -> None:
        if spawned.control_fd is not None:
            request = {**request, "control_fd": str(spawned.control_fd)}
        super().__init__(spawned.process, request, source, log)
        self._control = AsyncMessageChannel(spawned.control)
        self._conversation = asyncio.create_task(self._converse())

    async def ended(self) -> Ending:
        """Wait for the process to end; reap it, end what it left behind, and close every descriptor."""
        ending = await super().ended()
        self._control.close()
        return ending

    async def _receive(self, message: list[str]) -> None:
        """Act on a message of the process; what follows it in the channel is to be read here as well."""

    async def _converse(self) -> None:
        """Take in what the process says, until it closes the channel."""
        with suppress(ChannelError):
            async for message in self._control:
                if message == [control.STDOUT]:
                    fd = await self._control.recv_io(negotiate=False)
                    if fd is not None:
                        self._pipes.append(PipeReader(fd, self._lines("stdout"), self._log.gate))
                else:
                    await self._receive(message)

    async def _hear_out(self) -> None:
        # The conversation ends by itself, unless something that outlived the process holds the channel open.
        await first_of(self._conversation, timeout=HEARING_SECONDS)
        self._conversation.cancel()
        await super()._hear_out()
