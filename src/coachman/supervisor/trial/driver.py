"""What sees a process that was forked for a trial through its start and its end."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from coachman.errors import RemoteProtocolError
from coachman.protocol import control, supervisor_half
from coachman.protocol.journey import Step
from coachman.protocol.lines import LineSplitter
from coachman.protocol.messages import Decoder
from coachman.supervisor.failures.start_record import REPORT_LIMIT, STACKS_LIMIT, StartRecord
from coachman.unix.memory_kills import MemoryKillWatch
from coachman.unix.processes import ChildProcess, end_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coachman.supervisor.failures.failure import StartFailure

READ_SIZE = 64 * 1024
ENDING_SECONDS = 2.0
"""How long the process may take to end once its start is decided, or it was asked for its stacks."""


class Driver:
    """Sees the process through its start and its end. The descriptors stay the caller's."""

    def __init__(
        self,
        record: StartRecord,
        request: Mapping[str, str],
        child: ChildProcess,
        ours: list[int],
        stacks: int,
    ) -> None:
        stdin, channel, stderr, stdout, control_fd = ours
        self._record = record
        self._child = child
        self._stdin = stdin
        self._stacks = stacks
        self._negotiation = supervisor_half.SupervisorHalf(request)
        self._decision: supervisor_half.Event | None = None
        self._messages = Decoder()
        self._report_follows = False
        self._memory_kills = MemoryKillWatch(child.pid)
        self._readers: dict[int, Callable[[bytes], None]] = {
            channel: self._negotiate,
            stderr: partial(self._print, "stderr", LineSplitter()),
            stdout: partial(self._print, "stdout", LineSplitter()),
            control_fd: self._take_messages,
        }
        self._poll = select.poll()
        for fd in (*self._readers, child.fileno()):
            self._poll.register(fd, select.POLLIN)

    def run(self, timeout: float) -> StartFailure | None:
        """Return why it failed; None: it became ready."""
        self._pump(lambda: self._decision is not None, timeout)
        failed_at = time.monotonic()
        if self._decision is None and self._child.ending is None:
            return self._timed_out(timeout, failed_at)
        self._pump(lambda: False, 0 if isinstance(self._decision, supervisor_half.Broken) else ENDING_SECONDS)
        if isinstance(self._decision, supervisor_half.Ready):
            return None
        ending = self._child.ending
        killed = ending is not None and ending.signal == signal.SIGKILL
        return self._record.failure_after(
            self._decision or supervisor_half.Ended(self._negotiation.step),
            self._child.pid,
            ending=ending,
            memory_evidence=self._memory_kills.evidence() if killed else None,
            failed_at=failed_at,
        )

    def _timed_out(self, timeout: float, failed_at: float) -> StartFailure:
        from coachman.supervisor.failures.failure import FailureKind

        step = self._record.journey.step.value
        stacks = b""
        if self._record.stacks_signal is not None:
            self._child.send_signal(self._record.stacks_signal)
            self._pump(lambda: False, ENDING_SECONDS)
            stacks = os.pread(self._stacks, STACKS_LIMIT, 0)
        reason = f"after {timeout:g} s it was in the step {step}"
        kind = FailureKind.TIMED_OUT
        return self._record.failure(kind, self._child.pid, reason, failed_at=failed_at, stacks=stacks)

    def _pump(self, done: Callable[[], bool], timeout: float) -> None:
        """Take in what comes until `done`, the process has ended, or the time is up."""
        deadline = time.monotonic() + timeout
        while not done():
            ready = [fd for fd, _ in self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000)]
            for fd in ready:
                if fd in self._readers:
                    self._read(fd)
            if self._child.fileno() in ready:
                end_group(self._child)
                self._read_rest()
                return
            if not ready and time.monotonic() >= deadline:
                return

    def _read_rest(self) -> None:
        """Read what the ended process left in its pipes; what it started may hold them open."""
        for fd in list(self._readers):
            os.set_blocking(fd, False)
            with suppress(BlockingIOError):
                while fd in self._readers:
                    self._read(fd)

    def _read(self, fd: int) -> None:
        data = os.read(fd, READ_SIZE)
        receive = self._readers[fd]
        if not data:
            del self._readers[fd]
            self._poll.unregister(fd)
        receive(data)

    def _negotiate(self, data: bytes) -> None:
        for event in self._negotiation.receive(data):
            match event:
                case supervisor_half.Send(answer):
                    self._record.enter(Step.HANDSHAKE, time.monotonic())
                    with suppress(BrokenPipeError):
                        os.write(self._stdin, answer)
                    self._record.enter(Step.LOAD, time.monotonic())
                case supervisor_half.Output(line):
                    self._record.add_lines("stdout", [line])
                case supervisor_half.Ready():
                    self._decision = event
                    self._record.enter(Step.READY, time.monotonic())
                case _:
                    self._decision = event

    def _print(self, stream: str, splitter: LineSplitter, data: bytes) -> None:
        self._record.add_lines(stream, splitter.feed(data) if data else splitter.flush())

    def _take_messages(self, data: bytes) -> None:
        self._messages.feed(data)
        try:
            while True:
                if self._report_follows:
                    report = self._messages.scalar(REPORT_LIMIT)
                    if report is None:
                        return
                    self._record.add_report(report)
                    self._report_follows = False
                message = self._messages.array()
                if message is None:
                    return
                self._report_follows = message == [control.REPORT]
                self._record.add_message(message)
        except RemoteProtocolError:
            pass  # the application got hold of the channel: its details are lost, its start is not
