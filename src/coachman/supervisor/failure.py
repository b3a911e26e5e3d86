"""Why a start failed, as a value and in words for the person who started it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from coachman.errors import ApplicationError
from coachman.unix.processes import Ending


class FailureKind(Enum):
    """What kind of failure it was: it decides what to look at first."""

    NOT_EXECUTED = auto()
    """The program could not be run at all."""
    NOT_FORKED = auto()
    """The preloader could not fork a worker; `pid` is the preloader's."""
    REFUSED = auto()
    """The application's side reported an error by itself."""
    ENDED = auto()
    """The process ended before it was ready."""
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
    last_lines: tuple[str, ...] = ()
    """The last lines that the process printed, on either pipe."""

    def __str__(self) -> str:
        what = self.reason.rstrip("\n")
        if self.kind is FailureKind.REFUSED:
            return what  # the application's side has said it all
        match self.kind:
            case FailureKind.NOT_EXECUTED:
                what = f"the application process could not be started: {self.reason}"
            case FailureKind.NOT_FORKED:
                what = f"the preloader (pid {self.pid}) could not fork a worker: {self.reason}"
            case FailureKind.ENDED:
                what = f"the application process {self.pid} ended with {self.ending} before it was ready"
            case FailureKind.CHANNEL_CLOSED:
                what = f"the application process {self.pid} closed its stdout before it was ready"
            case FailureKind.PROTOCOL_BROKEN:
                what = f"the application process {self.pid} broke the start protocol: {self.reason}"
            case FailureKind.TIMED_OUT:
                what = f"the application process {self.pid} was not ready in time: {self.reason}"
        return what

    @property
    def quotation(self) -> str:
        """The last lines it printed, for somebody without the log before them; "" where there are none."""
        if not self.last_lines:
            return ""
        return "\n".join(["", "the last that it printed:", *(f"    {line}" for line in self.last_lines)])


class StartFailed(ApplicationError):
    """An application process did not become ready; the message is meant for the person who started it."""

    def __init__(self, failure: StartFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure
