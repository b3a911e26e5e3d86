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
from coachman.protocol.journey import Step
from coachman.protocol.lines import LastLines
from coachman.protocol.log_format import Source
from coachman.protocol.stdio import decode_text
from coachman.protocol.supervisor_half import SupervisorHalf
from coachman.supervisor.failures.failure import FailureKind, StartFailed, StartFailure
from coachman.supervisor.failures.start_record import StartRecord
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.pipe_writer import PipeWriter
from coachman.supervisor.process.pipes import LineReceiver, PipeReader
from coachman.supervisor.process.spawner import SpawnedProcess
from coachman.unix.memory_kills import MemoryKillWatch
from coachman.unix.processes import Ending

LAST_WORDS_SECONDS = 1.0
"""How long the last words of an ended process wait for a slow log before they are taken in all the same."""

LAST_LINE_LENGTH = 200
"""Characters of its last line that the note about a worker's death quotes."""

ENDING_GRACE_SECONDS = 2.0
"""How long a process whose start has failed, or that has closed its stdout, may take to end and explain."""


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
        self._record = StartRecord(spawned.journey, _application_in(request))
        self._memory_kills = MemoryKillWatch(self.pid)
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
        await first_of(self._decided, self._exited, timeout=timeout)
        if self._decided.done() or self._exited.done():
            decision = await self._decision(failed_at=time.monotonic())
        else:
            decision = await self._timed_out(timeout, failed_at=time.monotonic())
        if isinstance(decision, StartFailure):
            self.kill()
            raise StartFailed(decision)
        for key, value in decision.unknown_fields.items():
            self._log.debug(f"process {self.pid} sent the field {key!r}, which means nothing here: {value!r}")
        self._record.enter(Step.READY, time.monotonic())
        self.state = next_state(self.state, Event.READY)
        self.ready_at = time.monotonic()
        return decision

    async def _decision(self, *, failed_at: float) -> supervisor_half.Ready | StartFailure:
        if not self._decided.done():
            # It has ended, but something that it started holds its stdout open.
            self._pipes[0].close()
        match self._decided.result():
            case supervisor_half.Ready() as ready:
                objection = self._objection_to(ready)
                if not objection:
                    return ready
                decision: supervisor_half.Event = supervisor_half.Broken(objection)
            case failed:
                decision = failed
        # Whoever reports on stdout explains itself on stderr, and is about to end.
        await first_of(self._exited, timeout=ENDING_GRACE_SECONDS)
        ending = self._child.ending
        if ending is not None:
            await self._hear_out()
            if isinstance(decision, supervisor_half.Broken):
                decision = supervisor_half.Broken(f"{decision.reason}; it ended with {ending}")
        return self._record.failure_after(
            decision,
            self.pid,
            ending=ending,
            memory_evidence=self.memory_evidence,
            failed_at=failed_at,
        )

    def _objection_to(self, ready: supervisor_half.Ready) -> str:
        """Say what is wrong with what the process reports of itself, "" where nothing is."""
        return ""

    async def _timed_out(self, timeout: float, *, failed_at: float) -> StartFailure:
        if self._negotiation.step is supervisor_half.Step.ERROR_TEXT:
            # It has said why it failed, and then neither ended nor closed its stdout.
            (refused,) = self._negotiation.receive(b"")
            return self._record.failure_after(
                refused, self.pid, ending=None, memory_evidence=None, failed_at=failed_at
            )
        step = self._record.journey.step.value
        stacks = await self._stacks()
        reason = f"after {timeout:g} s it was in the step {step}"
        return self._record.failure(
            FailureKind.TIMED_OUT, self.pid, reason, failed_at=failed_at, stacks=stacks
        )

    async def _stacks(self) -> bytes:
        """Return where the threads of the process are, where it can tell; that may end it."""
        return b""

    # What it prints.

    @property
    def last_line(self) -> str:
        """The last line that it has printed, on either pipe, shortened; "" where it printed none."""
        last = self._last_lines.last(1)
        return decode_text(last[0])[:LAST_LINE_LENGTH] if last else ""

    def _receive_stdout(self, data: bytes) -> None:
        """Take in what stdout brings: the negotiation until it is decided, then lines for the log."""
        if self._stdout_lines is not None:
            self._stdout_lines(data)
            return
        for event in self._negotiation.receive(data):
            match event:
                case supervisor_half.Send(answer):
                    self._record.enter(Step.HANDSHAKE, time.monotonic())
                    self._stdin.write(answer)
                    self._record.enter(Step.LOAD, time.monotonic())
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
        if self.ready_at is None:  # whether it runs or has ended: its last words belong to a failed start
            self._record.add_lines(stream, block.removesuffix(b"\n").split(b"\n"))
        self._log.write(self._source, stream, block)

    async def _hear_out(self) -> None:
        """Read what an ended process has left in its pipes: its last words."""
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        for pipe in self._pipes:
            await pipe.hear_out(deadline)

    # The end.

    @property
    def memory_evidence(self) -> str | None:
        """What speaks for a kill by the kernel for want of memory, once it has ended; None: nothing."""
        ending = self._child.ending
        killed = ending is not None and ending.signal == signal.SIGKILL
        return self._memory_kills.evidence() if killed else None

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


def _application_in(request: Mapping[str, str]) -> str:
    """Return the application's name for people."""
    source = request.get("startup_file") or request.get("startup_module") or request.get("app_root", "")
    attribute = request.get("startup_attribute")
    return f"{source}:{attribute}" if attribute else source


async def first_of(*futures: asyncio.Future[Any], timeout: float | None = None) -> None:
    """Wait until one of them is done, or the time is up; unlike awaiting them, this never cancels any."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
