"""What a person can ask of a running supervisor, whether by a signal or on the control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from coachman.config.nearest import no_such_application
from coachman.errors import ConfigurationError
from coachman.protocol.status import RestartStatus, SupervisorStatus
from coachman.supervisor.application.application import Application
from coachman.supervisor.application.generation import Generation
from coachman.supervisor.log.log import Log
from coachman.supervisor.overview import Overview


class Operations:
    """The applications of a supervisor, and everything that can be done with them while it runs.

    Where a method takes `name`, that is an application's, or "" for all of them; `LookupError` is raised
    where none has it. `cause` says who or what asked, for the log and for people.
    """

    def __init__(self, applications: Sequence[Application], overview: Overview, log: Log) -> None:
        self.applications = applications
        self._overview = overview
        self._log = log
        self.stopping = asyncio.Event()
        """Set once the supervisor was asked to stop."""

    def chosen(self, name: str) -> Sequence[Application]:
        """Return the application of this name, or all."""
        found = [application for application in self.applications if name in ("", application.name)]
        if not found:
            raise LookupError(no_such_application(name, [each.name for each in self.applications]))
        return found

    def status(self) -> SupervisorStatus:
        """Return the state of everything at this moment."""
        return self._overview.status(measured=True)

    def begin_restart(self, name: str, cause: str) -> dict[str, Generation]:
        """Begin a rolling restart; return the generations that it brings up, by application."""
        chosen = self.chosen(name)
        self._refuse_while_stopping("restart")
        return {application.name: application.begin_restart(cause) for application in chosen}

    async def restart(self, name: str, cause: str) -> dict[str, RestartStatus]:
        """Do as `begin_restart` does; return what has come of it, or of later ones that superseded it."""
        begun = self.begin_restart(name, cause)
        outcomes = (application.outcome(begun[application.name]) for application in self.chosen(name))
        return dict(zip(begun, await asyncio.gather(*outcomes), strict=True))

    def scale(self, name: str, change: str, cause: str) -> dict[str, str]:
        """Change how many workers there are to be; return how many, by application.

        `change` is "4" or "2-8", or "+1" or "-1". Raises `ConfigurationError` where it is neither, or would
        leave none; then nothing is changed, of any application.
        """
        chosen = self.chosen(name)
        self._refuse_while_stopping("scale")
        for application in chosen:
            application.scaled(change)
        return {application.name: str(application.scale(change, cause)) for application in chosen}

    def scale_each(self, change: str, cause: str) -> None:
        """Do as `scale` does with each application for which that is possible; note where it is not."""
        for application in self.applications:
            try:
                self.scale(application.name, change, cause)
            except ConfigurationError as error:
                self._log.note(f"{cause}: {error}")

    async def dump(self, name: str, pid: int | None) -> dict[int, str]:
        """Return the stacks of all threads of one worker, or of every worker, by pid."""
        stacks: dict[int, str] = {}
        chosen = self.chosen(name)
        for application in chosen:
            try:
                stacks.update(await application.dump(pid))
            except LookupError:
                continue  # it may be another application's
        if pid is not None and not stacks:
            raise LookupError(f"no worker has the pid {pid}")
        return stacks

    def stop(self, cause: str) -> None:
        """Stop everything: workers finish what is in hand, as long as they may. Asked again, they may not."""
        if self.stopping.is_set():
            self.stop_now(f"{cause} again")
            return
        self._log.note(f"{cause}: stopping")
        self._overview.state = "stopping"
        self.stopping.set()

    def stop_now(self, cause: str) -> None:
        """Stop everything at once."""
        self._log.note(f"{cause}: what is in hand is given up")
        self._overview.state = "stopping"
        self.stopping.set()
        for application in self.applications:
            application.kill()

    def reopen_log(self) -> None:
        """Open the log file anew, by its name."""
        self._log.reopen()

    def _refuse_while_stopping(self, what: str) -> None:
        if self.stopping.is_set():
            raise ConfigurationError(f"there is nothing to {what}: the supervisor is stopping")
