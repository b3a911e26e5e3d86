"""One start for trial: the process is forked from this one, and nothing is served.

The negotiation, the wrapper and the record are those of every start. What differs is what an interpreter of
its own and an event loop would cost, for a command that runs for a moment: there is one poll and one fork.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from coachman.errors import RemoteProtocolError
from coachman.protocol import control, supervisor_half
from coachman.protocol.import_times import PackageImport
from coachman.protocol.journey import Journey, Step
from coachman.protocol.lines import LineSplitter
from coachman.protocol.messages import Decoder
from coachman.protocol.trial import Ends
from coachman.supervisor.failures.printed import PrintedLine
from coachman.supervisor.failures.start_record import REPORT_LIMIT, STACKS_LIMIT, StartRecord
from coachman.unix.memory_kills import MemoryKillWatch
from coachman.unix.processes import ChildProcess

if TYPE_CHECKING:
    from coachman.supervisor.failures.failure import StartFailure

READ_SIZE = 64 * 1024
ENDING_SECONDS = 2.0
"""How long the process may take to end once its start is decided, or it was asked for its stacks."""

Become = Callable[[Ends, str, dict[str, str]], NoReturn]
"""What the forked process runs: its descriptors, its folder, its environment."""


class Trial(NamedTuple):
    """What came of it."""

    application: str
    pid: int
    journey: Journey
    interface: tuple[str, str] | None
    """What the application is called by, and how that is known; None where it did not come that far."""
    imports: tuple[PackageImport, ...]
    printed: tuple[PrintedLine, ...]
    failure: StartFailure | None


def try_start(
    request: Mapping[str, str],
    *,
    application: str,
    folder: str,
    environment: dict[str, str],
    timeout: float,
    become: Become,
) -> Trial:
    """Start an application once and end it; no process is left when this returns or raises."""
    with ExitStack() as on_end:
        record = StartRecord(Journey.begin(time.monotonic()), application)
        stacks = os.memfd_create("coachman-stacks")
        on_end.callback(os.close, stacks)
        ours: list[int] = []
        childs: list[int] = []
        with ExitStack() as childs_ends:
            for child_writes in (False, True, True, True, True, False):
                ends = os.pipe()
                our_end, childs_end = ends if child_writes else ends[::-1]
                on_end.callback(os.close, our_end)
                childs_ends.callback(os.close, childs_end)
                ours.append(our_end)
                childs.append(childs_end)
            record.enter(Step.FORK, time.monotonic())
            pid = os.fork()
            if pid == 0:
                for fd in ours:
                    os.close(fd)
                stdin, channel, stderr, stdout, control_fd, tether = childs
                kept = Ends(stdin, channel, stderr, stdout, control_fd, tether, stacks)
                become(kept, folder, environment)
        child = ChildProcess(pid)
        on_end.callback(child.close)
        on_end.callback(_end, child)
        driver = _Driver(record, request, child, ours[:-1], stacks)
        failure = driver.run(timeout)
        journey, interface, printed = record.journey, record.interface, record.printed()
        return Trial(application, pid, journey, interface, record.imports, printed, failure)


class _Driver:
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
        reason = f"{timeout:g} seconds, in the step {step}"
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
                _end(self._child)
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


def _end(child: ChildProcess) -> None:
    """Kill the process, or what it has left behind in its group, and reap it."""
    # The group as long as its leader is not reaped; the process itself where it does not lead one yet.
    if child.ending is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.send_signal(signal.SIGKILL)
        child.wait()
