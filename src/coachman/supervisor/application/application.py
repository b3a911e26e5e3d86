"""One application: its listeners, its scoreboard, its pool."""

from __future__ import annotations

import os
from contextlib import ExitStack

from coachman.config.model import ApplicationConfig
from coachman.protocol.status import ApplicationStatus, Totals, WorkerStatus
from coachman.supervisor.application.pool import Pool
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.spawner import Account
from coachman.unix.identity import find_identity
from coachman.unix.listeners import Listener
from coachman.unix.scoreboard import Scoreboard

SPARE_SLOTS = 32
"""Slots of the scoreboard beyond the workers that may serve: for those that start and those that drain."""


class Application:
    """An application that is served from `start` until `stop`. It owns its listeners and its scoreboard.

    Raises `ConfigurationError` where an address cannot be listened at, or its user is not known.
    """

    def __init__(self, config: ApplicationConfig, log: Log) -> None:
        self.config = config
        self.name = config.title
        self._log = log
        self._on_close = ExitStack()
        with ExitStack() as on_failure:
            settings = config.process
            identity = find_identity(settings.user, settings.group)
            self.listeners = []
            for address in config.addresses:
                self.listeners.append(listener := Listener.bind(address))
                on_failure.callback(listener.close)
            slots = 2 * config.scaling.processes.most + config.restart.surge + SPARE_SLOTS
            self._scoreboard = Scoreboard.create(slots)
            on_failure.callback(self._scoreboard.close)
            account = Account(identity, settings.umask)
            self.pool = Pool(config, account, self.listeners, self._scoreboard, log)
            self._on_close = on_failure.pop_all()
        if os.geteuid() == 0 and identity is None:
            log.note(f"{self.name} runs as root; --user NAME runs it with less power")

    async def start(self) -> None:
        """Start the first worker, then the others in the background; raise `StartFailed` where it fails."""
        await self.pool.start()
        for listener in self.listeners:
            self._log.announce(f"listening at {listener.address.url}")

    async def stop(self) -> None:
        """Drain every worker and wait until all have ended. May be called while `start` is under way."""
        await self.pool.stop()

    def kill(self) -> None:
        """Kill every worker; `stop`, under way or still to come, then ends at once."""
        self.pool.kill()

    def pids(self) -> set[int] | None:
        """Return every process that the application has; None while there may be one more."""
        return self.pool.pids()

    def close(self) -> None:
        """Stop listening and release everything, after `stop`."""
        self._on_close.close()

    def status(self) -> ApplicationStatus:
        """Return its state at this moment."""
        return ApplicationStatus(
            name=self.name,
            location=str(self.config.location),
            addresses=tuple(listener.address.url for listener in self.listeners),
            processes=str(self.config.scaling.processes),
            threads=self.config.worker.threads,
            generation=self.pool.generation,
            workers=tuple(self._worker_statuses()),
            totals=Totals(),
        )

    def _worker_statuses(self) -> list[WorkerStatus]:
        found = []
        for worker in self.pool.workers:
            view = self._scoreboard.view(worker.slot)
            found.append(
                WorkerStatus(
                    slot=worker.slot,
                    pid=worker.pid,
                    generation=worker.generation,
                    state=worker.state.name.lower(),
                    age=worker.age,
                    requests=view.counters.requests,
                    in_flight=view.in_flight,
                    waiting=view.waiting,
                    connections=view.connections,
                )
            )
        return found
