"""A generation: one state of code and configuration, where its workers come from, what came of it."""

from __future__ import annotations

import asyncio
import time

from coachman.config.model import ApplicationConfig
from coachman.policy.generation import GenerationEvent, GenerationState, next_generation_state
from coachman.policy.repetition import Repetition
from coachman.protocol.status import RestartStatus
from coachman.supervisor.application.worker_source import WorkerSource
from coachman.supervisor.failures.failure import StartFailure


class Generation:
    """The workers that are made from one state of the code and the configuration, and how far they are.

    `source`, which makes them, is this generation's own: a preloader has loaded the code once and for all.
    """

    def __init__(self, number: int, config: ApplicationConfig, source: WorkerSource, cause: str) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.config = config
        """What was configured when it was asked for; `source` has it with links followed."""
        self.source = source
        self.state = GenerationState.STARTING
        self.failure: StartFailure | None = None
        """Why the last start of its first worker failed; None once that is ready."""
        self.failures = 0
        """How often in a row its first worker could not be started."""
        self.repetition = Repetition()
        """Of these failures, in the log."""
        self.waits = False
        """Whether its first worker is not to be started yet."""
        self.tried: asyncio.Future[None] = loop.create_future()
        """Done once the start of its first worker is decided, one way or the other."""
        self.restart = RestartStatus(generation=number, cause=cause, asked_at=time.time())
        self.finished: asyncio.Future[RestartStatus] = loop.create_future()
        """Done with the outcome of the restart."""
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self._began

    def advance(self, event: GenerationEvent) -> None:
        """Note what has happened to it."""
        self.state = next_generation_state(self.state, event)
        if self.state is not GenerationState.STARTING and not self.tried.done():
            self.tried.set_result(None)

    def finish(self, outcome: str, reason: str = "") -> None:
        """Say what came of the restart; the first word counts."""
        if self.finished.done():
            return
        self.restart = RestartStatus(
            generation=self.number,
            cause=self.restart.cause,
            asked_at=self.restart.asked_at,
            outcome=outcome,
            reason=reason,
            took=self.elapsed,
        )
        self.finished.set_result(self.restart)
