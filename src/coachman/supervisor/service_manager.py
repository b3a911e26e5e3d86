"""How the supervisor keeps a service manager informed: systemd, or whoever else speaks sd_notify(3)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence

from coachman.config.model import ApplicationConfig
from coachman.protocol.service_environment import VARIABLES, ServiceEnvironment, read_service_environment
from coachman.protocol.service_state import WATCHDOG, ServiceReport
from coachman.protocol.status import Progress
from coachman.unix.notify_socket import NotifySocket

MARGIN_SECONDS = 10.0
"""What the manager grants beyond the times that we know of, for reaping, the log and a loaded machine."""


def take_service_environment() -> ServiceEnvironment:
    """Return what the service manager says to this process, and take it out of the environment."""
    found = read_service_environment(os.environ, pid=os.getpid())
    for name in VARIABLES:
        os.environ.pop(name, None)
    return found


class ServiceManager:
    """Tells the service manager what changes, if there is one. Errors are noted once and end nothing.

    Nothing happens here by itself but for the watchdog, where the manager wants one.
    """

    def __init__(
        self,
        environment: ServiceEnvironment,
        applications: Sequence[ApplicationConfig],
        progress: Callable[[], Sequence[Progress]],
        note: Callable[[str], None],
    ) -> None:
        """Say that the start has begun. `progress` tells how the applications are."""
        self._progress = progress
        self._note = note
        self._noted = False
        self._stopping = False
        self._socket: NotifySocket | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._report = ServiceReport(
            start_budget=start_budget(applications),
            stop_budget=stop_budget(applications),
            # What the first process of a container says of its number, nobody outside can make use of.
            pid=None if os.getpid() == 1 else os.getpid(),
        )
        if environment.notify_address is not None:
            self._socket = NotifySocket(environment.notify_address)
            self._send(self._report.begin())
            if environment.watchdog is not None:
                self._feed(environment.watchdog / 2)

    def configured(self, applications: Sequence[ApplicationConfig]) -> None:
        """Ask for as much time from now on as these may take."""
        self._report.start_budget = start_budget(applications)
        self._report.stop_budget = stop_budget(applications)

    def refresh(self) -> None:
        """Tell what has changed since the last time."""
        if self._socket is not None:
            news = self._report.news(self._progress(), stopping=self._stopping, now_ns=time.monotonic_ns())
            for message in news:
                self._send(message)

    def stopping(self) -> None:
        """Tell that the supervisor has begun to stop."""
        self._stopping = True
        self.refresh()

    def failed(self, reason: str) -> None:
        """Tell why nothing could be started."""
        self._send(self._report.failed(reason))

    def close(self) -> None:
        """Say nothing more."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def _feed(self, interval: float) -> None:
        """Give a sign of life, again and again: it comes from the loop, and proves that it turns."""
        self._send(WATCHDOG)
        self._watchdog = asyncio.get_running_loop().call_later(interval, self._feed, interval)

    def _send(self, message: bytes) -> None:
        if self._socket is None:
            return
        self._socket.send(message)
        if self._socket.problem and not self._noted:
            self._noted = True
            self._note(f"cannot notify the service manager at NOTIFY_SOCKET: {self._socket.problem}")


def start_budget(applications: Sequence[ApplicationConfig]) -> float:
    """Return the seconds that a start may take: that of the preloader, then that of the first worker."""
    return 2 * max(each.start_timeout for each in applications) + MARGIN_SECONDS


def stop_budget(applications: Sequence[ApplicationConfig]) -> float:
    """Return the seconds that a stop may take."""
    return max(each.worker.drain_timeout for each in applications) + MARGIN_SECONDS
