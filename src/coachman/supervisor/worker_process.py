"""A worker as the supervisor has it: an application process with a control channel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from coachman.config import ServeConfig
from coachman.errors import ChannelError
from coachman.policy.lifecycle import Event, State, next_state
from coachman.protocol import control
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.application_process import (
    ENDING_GRACE_SECONDS,
    ApplicationProcess,
    first_of,
)
from coachman.supervisor.log import Log, Source
from coachman.supervisor.pipes import PipeReader
from coachman.supervisor.spawner import SpawnedWorker
from coachman.unix.async_channel import AsyncMessageChannel
from coachman.unix.listeners import Listener
from coachman.unix.processes import Ending

HEARING_SECONDS = 1.0
"""How long the control channel of an ended process may stay open before what is left of it is given up."""


class WorkerProcess(ApplicationProcess):
    """A worker in a slot of the pool, serving on `listeners` once it is ready."""

    def __init__(
        self,
        slot: int,
        spawned: SpawnedWorker,
        config: ServeConfig,
        listeners: Sequence[Listener],
        log: Log,
    ) -> None:
        pid = spawned.process.child.pid
        super().__init__(spawned.process, _request(config, spawned.control_fd), Source(pid), log)
        self.slot = slot
        self._config = config
        self._listeners = listeners
        self._control = AsyncMessageChannel(spawned.control)
        self._conversation = asyncio.create_task(self._converse())

    async def start(self, timeout: float) -> Ready:
        """See the worker through its start, as any application process; it gets the listening sockets."""
        with suppress(ChannelError):  # a process that has ended is explained by its exit status
            for listener in self._listeners:
                # They wait in the channel until the application is loaded.
                await self._control.write(control.LISTEN, listener.address.advertised)
                await self._control.send_io(listener.sock, negotiate=False)
        return await super().start(timeout)

    async def drain(self) -> None:
        """Ask the worker to finish what it has in hand and end; see to it that it has ended in time."""
        if self.state is State.READY:
            self.state = next_state(self.state, Event.DRAIN)
        seconds = self._config.drain_timeout
        with suppress(ChannelError):
            await self._control.write(control.DRAIN, seconds)
        await first_of(self._exited, timeout=seconds + ENDING_GRACE_SECONDS)
        if not self._exited.done():
            self._log.note(f"worker {self.slot} (pid {self.pid}) did not end in time and is killed")
            self.kill()

    async def ended(self) -> Ending:
        """Wait for the worker to end; reap it, end what it left behind, and close every descriptor."""
        ending = await super().ended()
        self._control.close()
        return ending

    async def _converse(self) -> None:
        """Take in what the worker says, until it closes the channel."""
        with suppress(ChannelError):
            async for message in self._control:
                match message:
                    case [control.STDOUT]:
                        fd = await self._control.recv_io(negotiate=False)
                        if fd is not None:
                            self._pipes.append(PipeReader(fd, self._lines("stdout")))
                    case [control.DRAINED, "no"]:
                        self._log.note(
                            f"worker {self.slot} (pid {self.pid}) gave up requests that took too long"
                        )

    async def _hear_out(self) -> None:
        # The conversation ends by itself, unless something that outlived the process holds the channel open.
        await first_of(self._conversation, timeout=HEARING_SECONDS)
        self._conversation.cancel()
        await super()._hear_out()


def _request(config: ServeConfig, control_fd: int) -> dict[str, str]:
    """Return the fields that the wrapper is sent."""
    application = config.application
    request = {
        "app_root": str(application.root),
        "app_type": "wsgi",
        "startup_attribute": application.attribute,
        "control_fd": str(control_fd),
        "threads": str(config.threads),
        "start_timeout": f"{config.start_timeout:g}",
    }
    if application.file is not None:
        request["startup_file"] = str(application.file)
    if application.module is not None:
        request["startup_module"] = application.module
    return request
