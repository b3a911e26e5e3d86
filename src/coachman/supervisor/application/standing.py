"""How an application stands: put together from its pool, its scoreboard and its listeners."""

from __future__ import annotations

import time
from collections.abc import Sequence

from coachman.config.model import ApplicationConfig, ProcessCount
from coachman.policy.lifecycle import State
from coachman.protocol.handoff import messages_in
from coachman.protocol.status import ApplicationStatus, Progress, RestartStatus
from coachman.supervisor.application.memory_gauge import MemoryGauge
from coachman.supervisor.application.pool import Pool
from coachman.supervisor.application.worker_status import worker_status
from coachman.unix.accept_queue import accept_queue_length
from coachman.unix.handoff import HandoffQueue
from coachman.unix.listeners import Listener
from coachman.unix.scoreboard import Scoreboard


class Standing:
    """Says how an application stands, when it is asked. Everything that it looks at stays the caller's."""

    def __init__(
        self,
        config: ApplicationConfig,
        pool: Pool,
        scoreboard: Scoreboard,
        listeners: Sequence[Listener],
        handoff: HandoffQueue,
    ) -> None:
        self.config = config
        """What holds now."""
        self._pool = pool
        self._scoreboard = scoreboard
        self._listeners = listeners
        self._handoff = handoff
        self._memory_gauge = MemoryGauge()

    def status(self, processes: ProcessCount, *, measured: bool) -> ApplicationStatus:
        """Return everything; `measured`: with what the processes of its workers use."""
        pool = self._pool
        workers = [member.process for member in pool.members if member.process is not None]
        views = {member.slot: self._scoreboard.view(member.slot) for member in pool.members}
        memory = self._memory_gauge.read([worker.pid for worker in workers]) if measured else {}
        now = time.monotonic()
        return ApplicationStatus(
            name=self.config.title,
            location=str(self.config.location),
            addresses=tuple(listener.address.url for listener in self._listeners),
            processes=str(processes),
            threads=self.config.worker.threads,
            generation=pool.generations.number,
            preloaders=pool.generations.preloaders,
            workers=tuple(
                worker_status(worker, views[worker.slot], memory.get(worker.pid), now, measured=measured)
                for worker in workers
            ),
            queue=self._queue(),
            handoff_queue=messages_in(self._handoff.size),
            last_restart=self._last_restart(),
            problem=self._problem(),
            totals=pool.history.totals(view.counters for view in views.values()),
        )

    def progress(self, processes: ProcessCount) -> Progress:
        """Return how far it is: cheap enough to be looked at upon every change."""
        return Progress(
            name=self.config.title,
            ready=sum(member.state is State.READY for member in self._pool.members),
            processes=str(processes),
            generation=self._pool.generations.number,
            last_restart=self._last_restart(),
            problem=self._problem(),
        )

    def _queue(self) -> int | None:
        lengths = [accept_queue_length(listener.sock) for listener in self._listeners]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(lengths) else None

    def _last_restart(self) -> RestartStatus | None:
        latest = self._pool.generations.latest
        return latest.restart if latest is not None and latest.number > 1 else None

    def _problem(self) -> str:
        latest = self._pool.generations.latest
        if latest is not None and latest.failure is not None:
            return f"generation {latest.number} could not be started: {latest.failure.headline}"
        failure = self._pool.history.last_failure
        return "" if failure is None else f"a worker could not be started: {failure.headline}"
