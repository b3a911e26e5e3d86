"""Why a start failed: a value that holds everything that is known of it."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass
from enum import Enum, auto
from typing import Self

from coachman.errors import ApplicationError
from coachman.policy.exhaustion import obstacle
from coachman.protocol.application_report import ApplicationReport
from coachman.protocol.journey import Journey, Step
from coachman.supervisor.failures.printed import PrintedLine
from coachman.unix.processes import Ending


class FailureKind(Enum):
    """What kind of failure it was: it decides what to look at first."""

    MISCONFIGURED = auto()
    """The configuration that was read for it cannot be used."""
    WRAPPER_MISSING = auto()
    """The program, or the folder to run it in, does not exist."""
    NOT_EXECUTABLE = auto()
    """The program exists and may not, or cannot, be executed."""
    NOT_EXECUTED = auto()
    """The system could not make the process."""
    NOT_FORKED = auto()
    """The preloader could not fork a worker; `pid` is the preloader's."""
    REFUSED = auto()
    """The application's own error, which its side reported."""
    EXITED = auto()
    """The process ended by itself before it was ready."""
    KILLED = auto()
    """A signal ended it."""
    KILLED_FOR_MEMORY = auto()
    """The kernel ended it because memory ran out, and there is evidence of that."""
    CHANNEL_CLOSED = auto()
    """The process closed its stdout before it was ready, and lives."""
    PROTOCOL_BROKEN = auto()
    TIMED_OUT = auto()


@dataclass(frozen=True, slots=True)
class StartFailure:
    """A start that failed, of the process `pid` (None where there was none yet)."""

    kind: FailureKind
    pid: int | None
    reason: str
    """What the failing side said, or what was found out about it."""
    ending: Ending | None = None
    """How the process ended by itself; None where it had to be ended."""
    printed: tuple[PrintedLine, ...] = ()
    """What the process printed, on either pipe, as it arrived; of long output the middle is left out."""
    journey: Journey | None = None
    report: ApplicationReport | None = None
    """What the wrapper told of the application's error. Only our own Python wrapper tells it."""
    stacks: str = ""
    """Where every thread was when the time was up, the innermost frame first."""
    application: str = ""
    """What was to be started, in the words of the person who started it."""
    html: bool = False
    """Whether `reason` is HTML, as some wrappers write it."""

    @classmethod
    def not_executed(cls, error: OSError, reason: str | None = None) -> Self:
        """Return the failure of a program that could not be executed; `reason` says more than `error`."""
        match error.errno:
            case errno.ENOENT | errno.ENOTDIR:
                kind = FailureKind.WRAPPER_MISSING
            case errno.EACCES | errno.EPERM | errno.ENOEXEC:
                kind = FailureKind.NOT_EXECUTABLE
            case _:
                kind = FailureKind.NOT_EXECUTED
        return cls(kind, None, reason or obstacle(error))

    @property
    def headline(self) -> str:
        """What happened, in one sentence."""
        match self.kind:
            case FailureKind.REFUSED:
                if self.report is not None:
                    startup = self.journey is not None and self.journey.step is Step.STARTUP
                    what = "'s lifespan startup failed" if startup else " could not be loaded"
                    return f"the application{what}: {self.report.cause}"
                return self.reason.strip().partition("\n\n")[0]
            case FailureKind.MISCONFIGURED:
                return f"its configuration cannot be used: {self.reason}"
            case FailureKind.WRAPPER_MISSING | FailureKind.NOT_EXECUTABLE | FailureKind.NOT_EXECUTED:
                return f"the application process could not be started: {self.reason}"
            case FailureKind.NOT_FORKED:
                return f"the preloader (pid {self.pid}) could not fork a worker: {self.reason}"
            case FailureKind.EXITED | FailureKind.KILLED:
                return f"the application process {self.pid} ended with {self.ending} before it was ready"
            case FailureKind.KILLED_FOR_MEMORY:
                return (
                    f"the application process {self.pid} was killed by the kernel before it was ready, "
                    f"because memory ran out ({self.reason})"
                )
            case FailureKind.CHANNEL_CLOSED:
                return f"the application process {self.pid} closed its stdout before it was ready"
            case FailureKind.PROTOCOL_BROKEN:
                return f"the application process {self.pid} broke the start protocol: {self.reason}"
            case FailureKind.TIMED_OUT:
                return f"the application process {self.pid} was not ready in time: {self.reason}"

    @property
    def message(self) -> str:
        """What follows the headline: the application's traceback, or the rest of what its side said."""
        if self.report is not None:
            return self.report.traceback
        return self.reason.strip().partition("\n\n")[2] if self.kind is FailureKind.REFUSED else ""

    def __str__(self) -> str:
        return f"{self.headline}\n\n{self.message}" if self.message else self.headline


class StartFailed(ApplicationError):
    """An application process did not become ready; the message is meant for the person who started it."""

    def __init__(self, failure: StartFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def kind_of_ending(ending: Ending, *, memory_evidence: str | None) -> FailureKind:
    """Return what it means that a process ended so before it was ready.

    SIGKILL alone is no evidence: anybody may have sent it.
    """
    if ending.signal is None:
        return FailureKind.EXITED
    if ending.signal == signal.SIGKILL and memory_evidence is not None:
        return FailureKind.KILLED_FOR_MEMORY
    return FailureKind.KILLED
