"""Looks at how much there is to do, as long as there is something to do: for scaling and overload."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence

from coachman.config.model import ApplicationConfig, ProcessCount
from coachman.policy.lifecycle import State
from coachman.policy.overload import surplus
from coachman.policy.scaling import Bounds, Demand, Scaling, affordable, scaled_to
from coachman.protocol.handoff import messages_in
from coachman.supervisor.application.member import Member
from coachman.supervisor.application.pool import Pool
from coachman.supervisor.application.refusals import Refusals
from coachman.unix.accept_queue import accept_queue_length
from coachman.unix.handoff import HandoffQueue
from coachman.unix.listeners import Listener
from coachman.unix.process_usage import proportional_memory
from coachman.unix.scoreboard import Scoreboard

BUSY_PERIOD = 0.1
"""Seconds between two looks while requests wait, or all threads are busy."""
CALM_PERIOD = 1.0
"""Seconds between two looks while there are connections, or more workers than have to be."""


class DemandWatch:
    """Sets how many workers the pool is to have, and has refused what is too much.

    While nobody is connected it waits for the first connection to arrive, and looks at nothing; a worker that
    takes it before this process comes to see it tells of it. Where the number of workers is fixed and any
    number may wait, it never looks at all.
    """

    def __init__(
        self,
        config: ApplicationConfig,
        pool: Pool,
        scoreboard: Scoreboard,
        listeners: Sequence[Listener],
        handoff: HandoffQueue,
        refusals: Refusals,
        note: Callable[[str], None],
    ) -> None:
        self.bounds = _bounds(config, config.scaling.processes)
        self._config = config
        self._pool = pool
        self._scoreboard = scoreboard
        self._listeners = listeners
        self._handoff = handoff
        self._refusals = refusals
        self._note = note
        self._scaling = Scaling(self.bounds.least)
        self._armed: list[int] = []
        """Descriptors of the listening sockets, of our own, since others wait for the same sockets."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look, if there is a need to."""
        self.stop()
        if self._needed:
            self._look()

    def use(self, config: ApplicationConfig, processes: ProcessCount) -> None:
        """Go by this configuration from now on, and keep the number of workers within `processes`."""
        self._config = config
        self.bounds = _bounds(config, processes)
        wanted = min(max(self._pool.wanted, processes.least), processes.most)
        self._want(Scaling(wanted, (time.monotonic(),) * (wanted - processes.least)))
        self.start()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._disarm()

    @property
    def _needed(self) -> bool:
        return self.bounds.least < self.bounds.most or self._config.worker.max_queue > 0

    def _look(self) -> None:
        self.stop()  # one look leads to one other, whoever asked for it
        queues = [accept_queue_length(listener.sock) for listener in self._listeners]
        ready = self._ready()
        views = [self._scoreboard.view(member.slot) for member in ready]
        in_workers = sum(view.waiting for view in views)
        between_them = messages_in(self._handoff.size)
        # What a worker that drains has put there is mostly idle, and nobody is turned away for that.
        draining = any(member.state is State.DRAINING for member in self._pool.members)
        elsewhere = in_workers + (0 if draining else between_them)
        self._refusals.refuse(surplus(queues, self._config.worker.max_queue, elsewhere=elsewhere))
        demand = Demand(
            at=time.monotonic(),
            ready=len(ready),
            in_flight=sum(view.in_flight for view in views),
            waiting=sum(length or 0 for length in queues) + between_them + in_workers,
        )
        self._want(self._affordable(scaled_to(self._scaling, demand, self.bounds)))
        threads = self.bounds.threads * len(ready)
        if demand.waiting or (threads and demand.in_flight >= threads):
            self._look_later(BUSY_PERIOD)
        elif any(view.connections for view in views) or self._pool.wanted > self.bounds.least:
            self._look_later(CALM_PERIOD)
        else:
            self._arm()

    def _want(self, scaling: Scaling) -> None:
        self._scaling = scaling
        if scaling.wanted != self._pool.wanted:
            self._note(f"{self._config.title} is to have {scaling.wanted} workers, after {self._pool.wanted}")
            self._pool.wanted = scaling.wanted
            self._pool.reconcile()

    def _affordable(self, scaling: Scaling) -> Scaling:
        budget = self._config.scaling.max_memory
        if not budget or scaling.wanted <= self._pool.wanted:
            return scaling
        pids = self._pool.pids()
        if pids is None:  # a worker is being forked: its memory is not known, so there is no telling
            wanted = self._pool.wanted
        else:
            wanted = affordable(
                scaling.wanted,
                least=self._pool.wanted,
                workers=len(self._pool.members),
                memory=sum(proportional_memory(pid) or 0 for pid in pids),
                budget=budget,
            )
        return Scaling(wanted, scaling.needed_at[: wanted - self.bounds.least], scaling.pressed_since)

    def _look_later(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _arm(self) -> None:
        """Look again when a connection arrives, or a worker has it already."""
        for listener in self._listeners:
            try:
                fd = os.dup(listener.sock.fileno())
            except OSError:  # no descriptor to be told by
                self._disarm()
                self._look_later(CALM_PERIOD)
                return
            self._armed.append(fd)
            asyncio.get_running_loop().add_reader(fd, self._look)
        self.heed_workers()

    def heed_workers(self) -> None:
        """Where a connection is waited for, hear of it from all workers: to be called when some have come."""
        if not self._armed:
            return
        ready = self._ready()
        for member in ready:
            assert member.process is not None
            member.process.on_connected = self._on_connected
            self._scoreboard.await_connection(member.slot)
        # Only now: one that came before nobody tells of.
        if any(self._scoreboard.view(member.slot).connections for member in ready):
            self._look()

    def _on_connected(self) -> None:
        if self._armed:
            self._look()

    def _ready(self) -> list[Member]:
        return [member for member in self._pool.members if member.state is State.READY]

    def _disarm(self) -> None:
        for fd in self._armed:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)
        self._armed.clear()


def _bounds(config: ApplicationConfig, processes: ProcessCount) -> Bounds:
    return Bounds(processes.least, processes.most, config.worker.threads, config.scaling.idle_time)
