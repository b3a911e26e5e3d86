"""The state of the supervisor as a whole."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from coachman.protocol.status import Progress, SupervisorStatus
from coachman.supervisor.application.application import Application
from coachman.supervisor.log.log import Log
from coachman.supervisor.usage import UsageMeter
from coachman.version import VERSION


class Overview:
    """What the supervisor is about, with all of its applications."""

    def __init__(self, applications: Sequence[Application], log: Log) -> None:
        """Look at `applications`, which may become more."""
        self.state = "starting"
        """As `SupervisorStatus` has it."""
        self._applications = applications
        self._log = log
        self._started_at = time.time()
        self._usage = UsageMeter()

    def status(self, *, measured: bool = False) -> SupervisorStatus:
        """Return the state of everything at this moment; what processes use only where it is `measured`."""
        return SupervisorStatus(
            pid=os.getpid(),
            version=VERSION,
            started_at=self._started_at,
            state=self.state,
            applications=tuple(application.status(measured=measured) for application in self._applications),
            log_lines=self._log.lines,
            lost_log_lines=self._log.lost_lines,
        )

    async def measured(self) -> SupervisorStatus:
        """Return the same with what processes use, as it was some seconds ago at most."""
        return await self._usage.with_usage(self.status())

    def progress(self) -> list[Progress]:
        """Return how far each application is, which costs next to nothing."""
        return [application.progress() for application in self._applications]
