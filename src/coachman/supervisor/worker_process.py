"""One worker as the supervisor has it: its process, its pipes, its control channel, its life."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial as partial_function
from typing import Any

from coachman.config import ServeConfig
from coachman.errors import ChannelError
from coachman.policy.lifecycle import Event, State, next_state
from coachman.protocol import control, supervisor_half
from coachman.protocol.stdio import decode_text
from coachman.protocol.supervisor_half import SupervisorHalf
from coachman.supervisor.failure import FailureKind, StartFailed, StartFailure
from coachman.supervisor.log import Log
from coachman.supervisor.pipes import LineReceiver, PipeReader
from coachman.supervisor.spawner import SpawnedProcess
from coachman.unix.async_channel import AsyncMessageChannel
from coachman.unix.listeners import Listener
from coachman.unix.processes import Ending

LAST_LINES = 20
"""How many lines a failure quotes of what a process printed."""

HEARING_SECONDS = 1.0
"""How long the control channel of an ended process may stay open before what is left of it is given up."""

ENDING_GRACE_SECONDS = 2.0
"""How long a process that has closed its stdout may take to end, before that itself is the failure."""


class WorkerProcess:
    """A worker, from the moment its process runs until it is reaped.

    It owns everything in `spawned`. `ended` has to be awaited to the end: it reaps and closes.
    """

    def __init__(self, slot: int, spawned: SpawnedProcess, config: ServeConfig, log: Log) -> None:
        self.slot = slot
        self.pid = spawned.child.pid
        self.state = State.SPAWNING
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        self._child = spawned.child
        self._stdin = spawned.stdin
        self._control = AsyncMessageChannel(spawned.control)
        self._log = log
        self._config = config
        self._negotiation = SupervisorHalf(_request(config, spawned.control_fd))
        self._last_lines: deque[bytes] = deque(maxlen=LAST_LINES)
        loop = asyncio.get_running_loop()
        self._decided: asyncio.Future[supervisor_half.Event] = loop.create_future()
        self._exited: asyncio.Future[Ending] = loop.create_future()
        loop.add_reader(self._child.fileno(), self._on_exit)
        self._pipes = [
            PipeReader(spawned.stdout, self._receive_stdout),
            PipeReader(spawned.stderr, self._lines("stderr")),
        ]
        self._stdout_lines: LineReceiver | None = None
        """What takes stdout once the start is decided."""
        self._conversation = loop.create_task(self._converse())

    # Starting.

    async def start(self, listeners: Sequence[Listener]) -> None:
        """See the process through its start; raise `StartFailed` where that fails, with the process killed.

        `ended` is still to be awaited then.
        """
        try:
            async with asyncio.timeout(self._config.start_timeout):
                await self._offer(listeners)
                failure = await self._decision()
        except TimeoutError:
            step = self._negotiation.step.name.lower()
            reason = f"{self._config.start_timeout:g} seconds, in the step {step}"
            failure = self._failure(FailureKind.TIMED_OUT, reason)
        if failure is not None:
            self.kill()
            raise StartFailed(failure)
        self.state = next_state(self.state, Event.READY)
        self.ready_at = time.monotonic()

    async def _offer(self, listeners: Sequence[Listener]) -> None:
        """Send the listening sockets; they wait in the channel until the application is loaded."""
        with suppress(ChannelError):  # a process that has ended is explained by its exit status
            for listener in listeners:
                await self._control.write(control.LISTEN, listener.address.advertised)
                await self._control.send_io(listener.sock, negotiate=False)

    async def _decision(self) -> StartFailure | None:
        await _first_of(self._decided, self._exited)
        if not self._decided.done():
            # It has ended, but something that it started holds its stdout open.
            self._pipes[0].close()
        match self._decided.result():
            case supervisor_half.Ready():
                return None
            case supervisor_half.Refused(text):
                return self._failure(FailureKind.REFUSED, text)
            case supervisor_half.Broken(reason):
                return self._failure(FailureKind.PROTOCOL_BROKEN, reason)
            case _:
                await _first_of(self._exited, timeout=ENDING_GRACE_SECONDS)
                if not self._exited.done():
                    return self._failure(FailureKind.CHANNEL_CLOSED, "")
                await self._hear_out()
                return self._failure(FailureKind.ENDED, "")

    async def _hear_out(self) -> None:
        """Read what an ended process has left in its channel and pipes: its last words."""
        # The conversation ends by itself, unless something that outlived the process holds the channel open.
        await _first_of(self._conversation, timeout=HEARING_SECONDS)
        self._conversation.cancel()
        for pipe in self._pipes:
            pipe.read_available()

    def _failure(self, kind: FailureKind, reason: str) -> StartFailure:
        lines = tuple(decode_text(line) for line in self._last_lines)
        ending = self._child.ending
        return StartFailure(kind, self.pid, reason, ending, lines)

    def _receive_stdout(self, data: bytes) -> None:
        """Take in what stdout brings: the negotiation until it is decided, then lines for the log."""
        if self._stdout_lines is not None:
            self._stdout_lines(data)
            return
        for event in self._negotiation.receive(data):
            match event:
                case supervisor_half.Send(answer):
                    with suppress(BrokenPipeError):
                        os.write(self._stdin, answer)
                case supervisor_half.Output(line):
                    self._print("stdout", [line])
                case _:
                    if not self._decided.done():
                        self._decided.set_result(event)
        if self._negotiation.decided:
            self._stdout_lines = self._lines("stdout", self._negotiation.rest())

    def _lines(self, stream: str, partial: bytes = b"") -> LineReceiver:
        return LineReceiver(partial_function(self._print, stream), partial)

    def _print(self, stream: str, lines: list[bytes]) -> None:
        self._last_lines.extend(lines)
        self._log.write(f"App {self.pid} {stream}", lines)

    # The control channel.

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

    async def drain(self) -> None:
        """Ask the worker to finish what it has in hand and end; see to it that it has ended in time."""
        if self.state is State.READY:
            self.state = next_state(self.state, Event.DRAIN)
        seconds = self._config.drain_timeout
        with suppress(ChannelError):
            await self._control.write(control.DRAIN, seconds)
        await _first_of(self._exited, timeout=seconds + ENDING_GRACE_SECONDS)
        if not self._exited.done():
            self._log.note(f"worker {self.slot} (pid {self.pid}) did not end in time and is killed")
            self.kill()

    # The end.

    def kill(self) -> None:
        """Kill the process and everything in its group."""
        if self.state is not State.GONE and self._child.ending is None:
            # The group exists as long as its leader is not reaped, and nobody but us reaps it.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def ended(self) -> Ending:
        """Wait for the process to end; reap it, end what it left behind, and close every descriptor."""
        await _first_of(self._exited)
        self.state = next_state(self.state, Event.EXIT)
        await self._hear_out()
        for pipe in self._pipes:
            pipe.close()
        self._control.close()
        os.close(self._stdin)
        self._child.close()
        return self._exited.result()

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._child.fileno())
        # What it started and left behind goes with it, while its zombie still keeps the group's number.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        ending = self._child.wait(0)
        assert ending is not None
        self._exited.set_result(ending)


async def _first_of(*futures: asyncio.Future[Any], timeout: float | None = None) -> None:
    """Wait until one of them is done, or the time is up; unlike awaiting them, this never cancels any."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


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
