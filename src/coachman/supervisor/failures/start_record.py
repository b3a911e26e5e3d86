"""What becomes known of a start while it goes on: it is fed what happens, and says what failed in the end."""

from __future__ import annotations

from collections.abc import Iterable

from coachman.protocol import control, import_times, supervisor_half
from coachman.protocol.journey import Journey, Step
from coachman.supervisor.failures.printed import Printed, PrintedLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coachman.protocol.application_report import ApplicationReport
    from coachman.supervisor.failures.failure import FailureKind, StartFailure
    from coachman.unix.processes import Ending

REPORT_LIMIT = 2 * 1024 * 1024
"""Bytes that a report may have; a wrapper of ours sends less."""
STACKS_LIMIT = 256 * 1024
"""Bytes of the stacks that are kept."""


class StartRecord:
    """The record of one start. Without I/O: times, messages and lines are given to it."""

    def __init__(self, journey: Journey, application: str = "") -> None:
        self.journey = journey
        self.application = application
        self.stacks_signal: int | None = None
        """The signal upon which the process writes the stacks of its threads and ends."""
        self.imports: tuple[import_times.PackageImport, ...] = ()
        self.interface: tuple[str, str] | None = None
        """What the application is called by, and how that is known."""
        self._printed = Printed()
        self._raised_at: float | None = None
        self._report: bytes | None = None

    def enter(self, step: Step, at: float) -> None:
        """Note that `step` begins; one that cannot follow is the other side's mistake, no reason to fail."""
        try:
            self.journey = self.journey.enter(step, at)
        except ValueError:
            pass

    def add_lines(self, stream: str, lines: Iterable[bytes]) -> None:
        """Take in what the process printed."""
        self._printed.add(stream, lines)

    def printed(self) -> tuple[PrintedLine, ...]:
        """Return what the process printed during its start."""
        return self._printed.lines()

    def add_message(self, message: list[str]) -> None:
        """Take in what the process tells of its start on the control channel."""
        try:
            match message:
                case [control.STEP, name, at]:
                    self._told(Step(name), float(at))
                case [control.RAISED, at]:
                    self._raised_at = float(at)
                case [control.STACKS, number]:
                    self.stacks_signal = int(number)
                case [control.INTERFACE, name, reason]:
                    self.interface = (name, reason)
                case [control.IMPORTS, *packages]:
                    self.imports = import_times.from_fields(packages)
        except ValueError:
            pass  # details that are not understood are not worth a start that works

    def add_report(self, data: bytes) -> None:
        """Take in why the application could not be loaded."""
        self._report = data

    def _told(self, step: Step, at: float) -> None:
        if any(taken is step for taken, _ in self.journey.entered):
            self.journey = self.journey.correct(step, at)
        else:
            self.enter(step, at)

    def failure(
        self,
        kind: FailureKind,
        pid: int,
        reason: str,
        *,
        failed_at: float,
        ending: Ending | None = None,
        stacks: bytes = b"",
        html: bool = False,
    ) -> StartFailure:
        """Return the failure with everything that is on record."""
        from coachman.supervisor.failures.failure import StartFailure
        from coachman.supervisor.failures.stacks import application_stacks

        return StartFailure(
            kind,
            pid,
            reason,
            ending,
            self._printed.lines(),
            self.journey.end(failed_at if self._raised_at is None else self._raised_at),
            self._decoded_report(),
            application_stacks(stacks[:STACKS_LIMIT].decode("utf-8", "backslashreplace")),
            self.application,
            html,
        )

    def failure_after(
        self,
        decision: supervisor_half.Event,
        pid: int,
        *,
        ending: Ending | None,
        memory_evidence: str | None,
        failed_at: float,
    ) -> StartFailure:
        """Return the failure that `decision` means, of a process that has ended so (None: it lives)."""
        from coachman.supervisor.failures.failure import FailureKind, kind_of_ending

        match decision:
            case supervisor_half.Refused(reason, html):
                kind = FailureKind.REFUSED
            case supervisor_half.Broken(reason):
                kind, html, ending = FailureKind.PROTOCOL_BROKEN, False, None
            case _ if ending is None:
                kind, reason, html = FailureKind.CHANNEL_CLOSED, "", False
            case _:
                kind = kind_of_ending(ending, memory_evidence=memory_evidence)
                reason, html = memory_evidence or "", False
        return self.failure(kind, pid, reason, failed_at=failed_at, ending=ending, html=html)

    def _decoded_report(self) -> ApplicationReport | None:
        if self._report is None:
            return None
        from coachman.protocol.application_report import decode_report

        try:
            return decode_report(self._report)
        except ValueError:
            return None  # the text that comes with the error still says what happened
