"""A member of the pool: one worker, from the decision to start it until it is reaped."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable

from coachman.config.model import ApplicationConfig
from coachman.policy.death import Death
from coachman.policy.lifecycle import State
from coachman.policy.limits import REQUEST_TIMEOUT, Excess, Limits
from coachman.policy.rollout import WorkerView
from coachman.protocol.scoreboard import SlotView
from coachman.supervisor.application.generation import Generation
from coachman.supervisor.failures.failure import StartFailed, StartFailure
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.worker_process import WorkerProcess
from coachman.supervisor.process.workplace import Workplace
from coachman.unix.processes import Ending


class Member:
    """A worker and what the pool has in mind for it. It has no process while its preloader loads."""

    def __init__(self, slot: int, generation: Generation) -> None:
        self.slot = slot
        self.generation = generation
        self.process: WorkerProcess | None = None
        self.unwanted = ""
        """Why it is to end, for people; "" as long as it is to go on."""
        self.excess: Excess | None = None
        """The limit that it has reached."""
        self.limits = _limits(generation.config)
        """What it may take and do before it is replaced."""
        self.seen_busy_at = -math.inf
        """When it was last seen to have a request in the application, on the monotonic clock."""
        self._asked_at = time.monotonic()

    @property
    def state(self) -> State:
        """Where it stands."""
        return State.SPAWNING if self.process is None else self.process.state

    @property
    def lets_go_of_idle(self) -> bool:
        """Whether it leaves idle connections to others: it drains, or a request has kept its only thread."""
        late = self.excess is not None and self.excess.key == REQUEST_TIMEOUT
        return late or self.state is State.DRAINING

    @property
    def accepts(self) -> bool:
        """Whether it may still accept connections."""
        process = self.process
        return process is not None and process.accepts and process.state in (State.READY, State.DRAINING)

    async def start(
        self,
        workplace: Workplace,
        log: Log,
        *,
        on_draining: Callable[[], None],
        on_timed_out: Callable[[float, str], None],
    ) -> None:
        """Have its generation make a process, and see that through its start.

        Raises `StartFailed` where that fails; no process is left then, nor where this is cancelled. The
        callbacks are those of `WorkerProcess`.
        """
        source = self.generation.source
        try:
            spawned = await source.worker(self.slot)
        except OSError as error:  # no descriptor for its pipes, say
            raise StartFailed(StartFailure.not_executed(error)) from error
        self.process = worker = WorkerProcess(
            self.slot,
            self.generation.number,
            spawned,
            source.config,
            source.account.identity,
            workplace,
            log,
            on_draining,
        )
        worker.on_timed_out = on_timed_out
        try:
            await worker.start(source.config.start_timeout)
        except BaseException as error:
            worker.kill()
            await asyncio.shield(worker.ended())
            if isinstance(error, OSError):  # there is none for what has to be sent to it
                raise StartFailed(StartFailure.not_executed(error)) from error
            raise
        source.tell_interface(worker)

    @property
    def start_took(self) -> float:
        """Seconds from the decision to start it until it was ready, as it now is."""
        assert self.process is not None
        assert self.process.ready_at is not None
        return self.process.ready_at - self._asked_at

    def view(self) -> WorkerView:
        """Return what the policies see of it."""
        return WorkerView(self.slot, self.generation.number, self.state, self.excess is not None)

    def death(self, ending: Ending, slot: SlotView) -> Death:
        """Return what there is to say of its end; `slot` is what it has left on the scoreboard."""
        worker = self.process
        assert worker is not None
        assert worker.ready_at is not None
        return Death(
            slot=self.slot,
            pid=worker.pid,
            ending=str(ending),
            memory_evidence=worker.memory_evidence,
            served_for=time.monotonic() - worker.ready_at,
            requests=slot.counters.requests,
            in_flight=slot.in_flight,
            request_line=slot.request_line.decode(errors="backslashreplace"),
            last_line=worker.last_line,
            reason=self.unwanted,
            drained=worker.drained,
        )


def _limits(config: ApplicationConfig) -> Limits:
    restart = config.restart
    # Siblings are not to reach it together.
    more = random.randint(0, restart.max_requests_jitter) if restart.max_requests else 0
    return Limits(
        requests=restart.max_requests + more,
        memory=restart.max_worker_memory,
        age=restart.max_worker_age,
        request_time=config.worker.request_timeout,
        silence=restart.heartbeat_timeout,
    )
