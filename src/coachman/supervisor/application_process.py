"""An application process as the supervisor has it: the process, its three pipes, its start and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial as partial_function
from typing import Any

from coachman.policy.lifecycle import Event, State, next_state
from coachman.protocol import supervisor_half
from coachman.protocol.lines import LastLines
from coachman.protocol.log_format import Source
from coachman.protocol.stdio import decode_text
from coachman.protocol.supervisor_half import Step, SupervisorHalf
from coachman.supervisor.failure import FailureKind, StartFailed, StartFailure
from coachman.supervisor.log import Log
from coachman.supervisor.pipe_writer import PipeWriter
from coachman.supervisor.pipes import LineReceiver, PipeReader
from coachman.supervisor.spawner import SpawnedProcess
from coachman.unix.processes import Ending

LAST_LINES = 20
"""How many lines a failure quotes of what a process printed."""

LAST_WORDS_SECONDS = 1.0
"""How long the last words of an ended process wait for a slow log before they are taken in all the same."""

ENDING_GRACE_SECONDS = 2.0
"""How long a process that has closed its stdout may take to end, before that itself is the failure."""

STDERR_GRACE_SECONDS = 2.0
"""How long stderr is read on for the report after a start has failed, before the process is killed."""


class ApplicationProcess:
    """A process on the stdio channel, from the moment it runs until it is reaped.

    It owns everything in `spawned`. `ended` has to be awaited to the end: it reaps and closes.
    """

    def __init__(self, spawned: SpawnedProcess, request: Mapping[str, str], source: Source, log: Log) -> None:
        self.pid = spawned.child.pid
        self.state = State.SPAWNING
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        self._child = spawned.child
        self._stdin = PipeWriter(spawned.stdin)
        self._log = log
        self._source = source
        self._negotiation = SupervisorHalf(request)
        self._last_lines = LastLines()
        loop = asyncio.get_running_loop()
        self._decided: asyncio.Future[supervisor_half.Event] = loop.create_future()
        self._exited: asyncio.Future[Ending] = loop.create_future()
        loop.add_reader(self._child.fileno(), self._on_exit)
        self._pipes = [
            # Urgent until the start is decided: a slow reader of the log must not make a start time out.
            PipeReader(spawned.stdout, self._receive_stdout, log.gate, urgent=True),
            PipeReader(spawned.stderr, self._lines("stderr"), log.gate),
        ]
        self._stdout_lines: LineReceiver | None = None
        """What takes stdout once the start is decided."""

    # The start.

    async def start(self, timeout: float) -> supervisor_half.Ready:
        """See the process through its start, for so many seconds at most; return what it says of itself.

        Raises `StartFailed` where that fails, with the process killed; `ended` is still to be awaited then.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._until_decided()
        except TimeoutError:
            decision: supervisor_half.Ready | StartFailure = self._timed_out(timeout)
        else:
            decision = await self._decision()
        if isinstance(decision, StartFailure):
            self.kill()
            raise StartFailed(decision)
        self.state = next_state(self.state, Event.READY)
        self.ready_at = time.monotonic()
        return decision

    async def _until_decided(self) -> None:
        await first_of(self._decided, self._exited)
        if not self._decided.done():
            # It has ended, but something that it started holds its stdout open.
            self._pipes[0].close()

    async def _decision(self) -> supervisor_half.Ready | StartFailure:
        match self._decided.result():
            case supervisor_half.Ready() as ready:
                objection = self._objection_to(ready)
                return await self._reported(FailureKind.PROTOCOL_BROKEN, objection) if objection else ready
            case supervisor_half.Refused(text):
                return await self._reported(FailureKind.REFUSED, text)
            case supervisor_half.Broken(reason):
                return await self._reported(FailureKind.PROTOCOL_BROKEN, reason)
            case _:
                await first_of(self._exited, timeout=ENDING_GRACE_SECONDS)
                if not self._exited.done():
                    return self._failure(FailureKind.CHANNEL_CLOSED, "")
                await self._hear_out()
                return self._failure(FailureKind.ENDED, "")

    def _objection_to(self, ready: supervisor_half.Ready) -> str:
        """Say what is wrong with what the process reports of itself, "" where nothing is."""
        return ""

    async def _reported(self, kind: FailureKind, reason: str) -> StartFailure:
        """Return a failure that stdout told of, once stderr has been heard on it."""
        # Not only until stderr is at its end: then it is about to exit, and how is part of the report.
        await first_of(self._exited, timeout=STDERR_GRACE_SECONDS)
        await self._hear_out()
        if kind is FailureKind.PROTOCOL_BROKEN and self._exited.done():
            reason = f"{reason}; it ended with {self._exited.result()}"
        return self._failure(kind, reason)

    def _timed_out(self, timeout: float) -> StartFailure:
        step = self._negotiation.step
        if step is Step.ERROR_TEXT:
            # It has said why it failed, and then neither ended nor closed its stdout.
            (refused,) = self._negotiation.receive(b"")
            assert isinstance(refused, supervisor_half.Refused)
            return self._failure(FailureKind.REFUSED, refused.text)
        return self._failure(FailureKind.TIMED_OUT, f"{timeout:g} seconds, in the step {step.name.lower()}")

    def _failure(self, kind: FailureKind, reason: str) -> StartFailure:
        lines = tuple(decode_text(line) for line in self._last_lines.last(LAST_LINES))
        return StartFailure(kind, self.pid, reason, self._child.ending, lines)

    # What it prints.

    def _receive_stdout(self, data: bytes) -> None:
        """Take in what stdout brings: the negotiation until it is decided, then lines for the log."""
        if self._stdout_lines is not None:
            self._stdout_lines(data)
            return
        for event in self._negotiation.receive(data):
            match event:
                case supervisor_half.Send(answer):
                    self._stdin.write(answer)
                case supervisor_half.Output(line):
                    self._print("stdout", line + b"\n")
                case _:
                    if not self._decided.done():
                        self._decided.set_result(event)
        if self._negotiation.decided:
            self._stdout_lines = self._lines("stdout", self._negotiation.rest())
            self._pipes[0].urgent = False

    def _lines(self, stream: str, partial: bytes = b"") -> LineReceiver:
        return LineReceiver(partial_function(self._print, stream), partial)

    def _print(self, stream: str, block: bytes) -> None:
        self._last_lines.add(block)
        self._log.write(self._source, stream, block)

    async def _hear_out(self) -> None:
        """Read what an ended process has left in its pipes: its last words."""
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        for pipe in self._pipes:
            await pipe.hear_out(deadline)

    # The end.

    def kill(self) -> None:
        """Kill the process and everything in its group."""
        if self.state is not State.GONE and self._child.ending is None:
            # The group exists as long as its leader is not reaped, and nobody but us reaps it.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def ended(self) -> Ending:
        """Wait for the process to end; reap it, end what it left behind, and close every descriptor."""
        await first_of(self._exited)
        self.state = next_state(self.state, Event.EXIT)
        await self._hear_out()
        for pipe in self._pipes:
            pipe.close()
        self._stdin.close()
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


async def first_of(*futures: asyncio.Future[Any], timeout: float | None = None) -> None:
    """Wait until one of them is done, or the time is up; unlike awaiting them, this never cancels any."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
