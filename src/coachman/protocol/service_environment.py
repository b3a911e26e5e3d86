"""What a service manager says in the environment: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FIRST_PASSED: Final = 3
"""The number of the first descriptor that is passed; the others follow it."""

VARIABLES: Final = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
)
"""They are for one process; what that starts must not take them for its own."""


@dataclass(frozen=True, slots=True)
class ServiceEnvironment:
    """What the service manager offers to this process and asks of it."""

    notify_address: str | None = None
    """The socket that takes notifications: a path, or a name in the abstract namespace after an "@"."""
    watchdog: float | None = None
    """Seconds within which it wants to hear from us again and again; None: it does not."""
    descriptors: tuple[tuple[int, str], ...] = ()
    """Numbers and names of the descriptors that it has passed."""


def read_service_environment(variables: Mapping[str, str], *, pid: int) -> ServiceEnvironment:
    """Read the variables as far as they are meant for the process `pid`; what makes no sense says nothing."""
    watchdog = _number(variables, "WATCHDOG_USEC")
    if variables.get("WATCHDOG_PID", str(pid)) != str(pid):
        watchdog = 0
    count = _number(variables, "LISTEN_FDS")
    if variables.get("LISTEN_PID") != str(pid):
        count = 0
    names = variables.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (count - len(names))
    return ServiceEnvironment(
        notify_address=variables.get("NOTIFY_SOCKET") or None,
        watchdog=watchdog / 1e6 if watchdog else None,
        descriptors=tuple((FIRST_PASSED + index, names[index]) for index in range(count)),
    )


def _number(variables: Mapping[str, str], name: str) -> int:
    text = variables.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else 0
