"""What a service manager is told of our state: the messages of sd_notify(3), and when each is due.

The manager believes what it is told. It is told as well of a restart that was over before anybody looked,
since `systemctl reload` (with Type=notify-reload) waits for the word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final

from coachman.counted import counted
from coachman.protocol.status import Progress

STATUS_LENGTH: Final = 400
"""Characters of the status line, which stands in one line of `systemctl status`."""

WATCHDOG: Final = b"WATCHDOG=1"


class ServiceState(Enum):
    """What the service manager believes."""

    STARTING = auto()
    READY = auto()
    RELOADING = auto()
    STOPPING = auto()


TRANSITIONS: Final = {
    ServiceState.STARTING: (ServiceState.READY, ServiceState.STOPPING),
    ServiceState.READY: (ServiceState.RELOADING, ServiceState.STOPPING),
    ServiceState.RELOADING: (ServiceState.READY, ServiceState.STOPPING),
    ServiceState.STOPPING: (),
}
"""What each state may be followed by; it may also remain."""


class ServiceReport:
    """What the service manager has been told so far, and from that, what is news to it.

    The budgets are the seconds that a start (or a restart) and a stop may take, if they take as long as is
    allowed: so the manager does not lose its patience before we do. `pid` is told as the main process; None:
    none is.
    """

    def __init__(self, *, start_budget: float, stop_budget: float, pid: int | None) -> None:
        self.state = ServiceState.STARTING
        self.start_budget = start_budget
        self.stop_budget = stop_budget
        self._pid = pid
        self._status = ""
        self._silent = False
        self._restarts = 0
        """The sum of the numbers of all generations that restarts have brought up: it grows with each."""

    def begin(self) -> bytes:
        """Return what is to be said first."""
        return _message([("STATUS", "starting"), _extension(self.start_budget)])

    def news(self, progress: Sequence[Progress], *, stopping: bool, now_ns: int) -> list[bytes]:
        """Return the messages that are due, in order; `now_ns` in monotonic nanoseconds."""
        if self._silent:
            return []
        due = self._due(progress, stopping=stopping)
        status = status_line(progress, stopping=stopping)
        messages = []
        for state in due:
            assert state in TRANSITIONS[self.state]
            self.state = state
            messages.append(_message([*self._assignments(state, now_ns), ("STATUS", status)]))
        if not due and status != self._status:
            messages.append(_message([("STATUS", status)]))
        self._status = status
        return messages

    def failed(self, reason: str) -> bytes:
        """Return what is to be said where nothing could be started: the last word."""
        self.state, self._silent = ServiceState.STOPPING, True
        return _message([*self._assignments(self.state, 0), ("STATUS", _one_line(reason))])

    def _due(self, progress: Sequence[Progress], *, stopping: bool) -> list[ServiceState]:
        """Return the states that the manager is to hear of now."""
        if self.state is ServiceState.STOPPING:
            return []
        if stopping:
            return [ServiceState.STOPPING]
        restarts = [each.last_restart for each in progress if each.last_restart is not None]
        restarting = any(restart.outcome == "under way" for restart in restarts)
        asked, self._restarts = self._restarts, sum(restart.generation for restart in restarts)
        match self.state:
            case ServiceState.STARTING if _started(progress):
                return [ServiceState.READY, ServiceState.RELOADING] if restarting else [ServiceState.READY]
            case ServiceState.READY if restarting:
                return [ServiceState.RELOADING]
            case ServiceState.READY if self._restarts > asked:
                return [ServiceState.RELOADING, ServiceState.READY]
            case ServiceState.RELOADING if not restarting:
                return [ServiceState.READY]
        return []

    def _assignments(self, state: ServiceState, now_ns: int) -> Sequence[tuple[str, object]]:
        match state:
            case ServiceState.READY:
                return [("READY", 1)] + ([("MAINPID", self._pid)] if self._pid is not None else [])
            case ServiceState.RELOADING:
                return [("RELOADING", 1), ("MONOTONIC_USEC", now_ns // 1000), _extension(self.start_budget)]
            case _:
                return [("STOPPING", 1), _extension(self.stop_budget)]


def status_line(progress: Iterable[Progress], *, stopping: bool) -> str:
    """Say in one line how the applications are."""
    parts = ["stopping"] if stopping else []
    for each in progress:
        workers = counted(each.processes, "worker")
        part = f"{each.name}: {each.ready} of {workers} ready, generation {each.generation}"
        restart = each.last_restart
        if restart is not None:
            part += f", restart to generation {restart.generation} {restart.outcome}"
        if each.problem:
            part += f" ({each.problem})"
        elif restart is not None and restart.reason:
            part += f" ({restart.reason})"
        parts.append(part)
    return _one_line("; ".join(parts))


def _started(progress: Sequence[Progress]) -> bool:
    """Return whether the service has started: each application has, or is known not to be able to.

    One of several that is broken must not have the manager give up, and end, those that serve.
    """
    return any(each.ready for each in progress) and all(each.ready or each.problem for each in progress)


def _extension(seconds: float) -> tuple[str, object]:
    return "EXTEND_TIMEOUT_USEC", round(seconds * 1e6)


def _message(assignments: Iterable[tuple[str, object]]) -> bytes:
    return "\n".join(f"{name}={value}" for name, value in assignments).encode(errors="backslashreplace")


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= STATUS_LENGTH else text[: STATUS_LENGTH - 1] + "…"
