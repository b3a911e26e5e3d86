"""An application process with a control channel: what workers and preloaders have in common."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial

from coachman.errors import ChannelError, MessageCut, RemoteProtocolError
from coachman.protocol import control
from coachman.protocol.log_format import Source
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.failures.start_record import REPORT_LIMIT, STACKS_LIMIT
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.application_process import ApplicationProcess, first_of
from coachman.supervisor.process.pipes import REST_SECONDS, LineReceiver, PipeReader
from coachman.supervisor.process.spawner import ControlledSpawn
from coachman.unix.async_channel import AsyncMessageChannel
from coachman.unix.processes import Ending

HEARING_SECONDS = 1.0
"""How long the control channel of an ended process may stay open before what is left of it is given up."""

STACKS_SECONDS = 2.0
"""How long a process may take to write the stacks of its threads."""


class ControlledProcess(ApplicationProcess):
    """An application process that also talks on a control channel."""

    def __init__(
        self, spawned: ControlledSpawn, request: Mapping[str, str], source: Source, log: Log
    ) -> None:
        if spawned.control_fd is not None:
            request = {**request, "control_fd": str(spawned.control_fd)}
        super().__init__(spawned.process, request, source, log)
        self._stacks_fd: int | None = None
        """Where the process writes the stacks of its threads; its start lasts as long."""
        self._tether: int | None = None
        """What this process must not close, or the other one is killed by the kernel."""
        self._control = AsyncMessageChannel(spawned.control)
        self._conversation = asyncio.create_task(self._converse())

    @property
    def interface(self) -> tuple[str, str] | None:
        """What the application is called by, and how that is known; None where it was loaded elsewhere."""
        return self._record.interface

    async def start(self, timeout: float) -> Ready:
        """See the process through its start, as any application process."""
        ready = await super().start(timeout)
        # The process closes its end at this moment. What the application prints has a pipe of its own.
        self._pipes[0].close()
        return ready

    async def ended(self) -> Ending:
        """Wait for the process to end; reap it, end what it left behind, and close every descriptor."""
        ending = await super().ended()
        self._control.close()
        self._close_stacks()
        tether, self._tether = self._tether, None
        if tether is not None:
            os.close(tether)
        return ending

    async def _receive(self, message: list[str]) -> None:
        """Act on a message of the process; what follows it in the channel is to be read here as well."""

    async def _converse(self) -> None:
        """Take in what the process says, until it closes the channel; end one that cannot be heard."""
        try:
            await self._hear()
        except MessageCut:  # it has ended in the middle of one
            pass
        except RemoteProtocolError as error:
            # Nothing it says can be taken in, so it can be neither served with nor forked from.
            self._log.note(f"process {self.pid} is killed, because its control channel is broken: {error}")
            self.kill()
        except ChannelError:  # it was closed
            pass

    async def _hear(self) -> None:
        async for message in self._control:
            match message:
                case [control.STDOUT]:
                    fd = await self._control.recv_io(negotiate=False)
                    if fd is not None:
                        self._pipes.append(PipeReader(fd, self._lines("stdout"), self._log.gate))
                case [control.TETHER]:
                    self._tether = await self._control.recv_io(negotiate=False)
                case [control.ACCESS]:
                    fd = await self._control.recv_io(negotiate=False)
                    if fd is not None:
                        receive = LineReceiver(partial(self._log.write, self._source, "access"))
                        self._pipes.append(PipeReader(fd, receive, self._log.gate, rest=REST_SECONDS))
                case [control.STACKS, _]:
                    self._close_stacks()
                    self._stacks_fd = await self._control.recv_io(negotiate=False)
                    self._record.add_message(message)
                case [control.REPORT]:
                    report = await self._control.read_scalar(REPORT_LIMIT)
                    if report is not None:
                        self._record.add_report(report)
                case [control.STEP | control.RAISED | control.INTERFACE, *_]:
                    self._record.add_message(message)
                case _:
                    await self._receive(message)

    async def _stacks(self) -> bytes:
        number = self._record.stacks_signal
        if self._stacks_fd is None or number is None:
            return b""
        self._child.send_signal(number)
        # It writes them and ends by that signal; where it cannot, it is killed without having told.
        await first_of(self._exited, timeout=STACKS_SECONDS)
        return os.pread(self._stacks_fd, STACKS_LIMIT, 0)

    def _close_stacks(self) -> None:
        fd, self._stacks_fd = self._stacks_fd, None
        if fd is not None:
            os.close(fd)

    async def _hear_out(self) -> None:
        # The conversation ends by itself, unless something that outlived the process holds the channel open.
        await first_of(self._conversation, timeout=HEARING_SECONDS)
        self._conversation.cancel()
        await super()._hear_out()
