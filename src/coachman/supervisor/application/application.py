"""One application: its listeners, its scoreboard, its pool."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from math import ceil

from msgspec.structs import replace

from coachman.config.model import ApplicationConfig, ProcessCount
from coachman.config.values import scaled
from coachman.errors import ConfigurationError
from coachman.protocol.refusal import refusal
from coachman.protocol.status import ApplicationStatus, Progress, RestartStatus
from coachman.supervisor.activation import addresses_to_bind
from coachman.supervisor.application.demand_watch import DemandWatch
from coachman.supervisor.application.generation import Generation
from coachman.supervisor.application.limit_watch import LimitWatch
from coachman.supervisor.application.pool import Pool
from coachman.supervisor.application.refusals import Refusals
from coachman.supervisor.application.reloading import Reloading, require_watchfiles
from coachman.supervisor.application.restart_file import RestartFile
from coachman.supervisor.application.standing import Standing
from coachman.supervisor.failures.failure import StartFailed
from coachman.supervisor.failures.failure_page import failure_page
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.application_process import ENDING_GRACE_SECONDS, first_of
from coachman.supervisor.process.spawner import Account
from coachman.supervisor.process.workplace import Workplace
from coachman.supervisor.undertaker.undertaker import Estate
from coachman.unix.handoff import HandoffQueue
from coachman.unix.identity import find_identity
from coachman.unix.lifeline import Lifeline
from coachman.unix.listeners import Listener
from coachman.unix.scoreboard import Scoreboard

SPARE_SLOTS = 256
"""Slots of the scoreboard beyond those that the configured number needs, for `Application.scale`.

Not any number: workers look through all of them to see who is free.
"""


class Application:
    """An application that is served from `start` until `stop`.

    It owns its listeners, its scoreboard and the queue through which its workers hand connections over:
    what is in that stays open as long.

    Raises `ConfigurationError` where an address cannot be listened at, or its user is not known.
    """

    def __init__(
        self,
        config: ApplicationConfig,
        log: Log,
        *,
        passed: Sequence[Listener] = (),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Listen at its addresses, and with the listeners that were `passed`, which it owns from now on.

        `on_change` is called when `progress` may have changed.
        """
        self._report_change = on_change
        self.config = config
        self.name = config.title
        self.processes = config.scaling.processes
        """How many workers there may be; `scale` changes it."""
        self._log = log
        self._reloading: Reloading | None = None
        self._on_close = ExitStack()
        if config.restart.reload:
            require_watchfiles()
        with ExitStack() as on_failure:
            settings = config.process
            identity = find_identity(settings.user, settings.group)
            self.listeners = list(passed)
            for listener in passed:
                on_failure.callback(listener.close)
            for address in addresses_to_bind(config, passed):
                self.listeners.append(listener := Listener.bind(address))
                on_failure.callback(listener.close)
            if not self.listeners:
                raise ConfigurationError(f"{self.name} has no address to listen at: give it one with bind")
            # Twice: where the pool shrinks or is replaced, those that drain have slots as well.
            slots = 2 * config.scaling.processes.most + config.restart.surge + SPARE_SLOTS
            self._scoreboard = Scoreboard.create(slots)
            on_failure.callback(self._scoreboard.close)
            self._handoff = HandoffQueue.create()
            on_failure.callback(self._handoff.close)
            self._lifeline = Lifeline()
            on_failure.callback(self._lifeline.close)
            account = Account(identity, settings.umask)
            workplace = Workplace(self.listeners, self._scoreboard, self._handoff, self._lifeline)
            self.pool = Pool(config, account, workplace, log, self._on_change)
            self._standing = Standing(config, self.pool, self._scoreboard, self.listeners)
            self._limit_watch = LimitWatch(config, self.pool, self._scoreboard, log.note)
            self._refusals = Refusals(self.listeners, self._apologise, self._count_refusal)
            self._demand_watch = DemandWatch(
                config, self.pool, self._scoreboard, self.listeners, self._refusals, log.note
            )
            self._on_close = on_failure.pop_all()
        if os.geteuid() == 0 and identity is None:
            log.note(f"{self.name} runs as root; --user NAME runs it with less power")

    @property
    def estate(self) -> Estate:
        """What is to be seen to should this process be killed."""
        seconds = self.config.worker.drain_timeout + ENDING_GRACE_SECONDS
        bound = [listener.sock.fileno() for listener in self.listeners if not listener.adopted]
        return Estate(self._lifeline, seconds, bound)

    async def start(self, *, keep_trying: bool = False) -> None:
        """Start the first worker, then the others in the background; raise `StartFailed` where it fails.

        With `keep_trying`, a start that fails is reported in the log and tried again, later and later.
        """
        self._watch_for_changes()
        self.pool.generations.keep_trying = keep_trying
        generation = self.pool.generations.begin("start")
        await first_of(generation.tried)
        while (newest := self.pool.generations.newest) is not generation and newest is not None:
            generation = newest  # a restart was asked for before the first worker was ready
            await first_of(generation.tried)
        if generation.failure is not None and not keep_trying:
            raise StartFailed(generation.failure)
        self._demand_watch.start()
        for listener in self.listeners:
            self._log.announce(f"listening at {listener.address.url}")

    async def restart(self, cause: str) -> RestartStatus:
        """Replace the workers by those of a new generation, one by one; return what came of it.

        `cause` says who or what asked for it. Returns once no worker of an earlier generation takes requests
        any more, or once it is clear that this will not be: the generation's first worker could not be
        started ("failed", and the workers of before serve on), or another restart was asked for meanwhile
        ("superseded": the newest code wins). Cancelling only ends the waiting.
        """
        generation = self.begin_restart(cause)
        return await asyncio.shield(generation.finished)

    def begin_restart(self, cause: str) -> Generation:
        """Do as `restart` does, without waiting for what comes of it."""
        return self.pool.generations.begin(cause)

    async def outcome(self, generation: Generation) -> RestartStatus:
        """Wait for what comes of a restart that was begun; where a later one supersedes it, of that one.

        What was there to be loaded when the first was asked for is there for the later one as well.
        """
        asked_for = generation.number
        while (status := await asyncio.shield(generation.finished)).outcome == "superseded":
            assert self.pool.generations.newest is not None
            generation = self.pool.generations.newest
        return status if generation.number == asked_for else replace(status, instead_of=asked_for)

    def scale(self, change: str) -> ProcessCount:
        """Change how many workers there are to be; return how many, from now on until the server ends.

        `change` is "4" or "2-8", or "+1" or "-1", which moves both ends of the range. Raises
        `ConfigurationError` where it is neither, or would leave none, or more than there is room for.
        """
        self.processes = self.scaled(change)
        self._demand_watch.set_processes(self.processes)
        return self.processes

    def scaled(self, change: str) -> ProcessCount:
        """Return what `scale` would, and raise what it would, without changing anything."""
        try:
            processes = scaled(self.processes, change)
        except ConfigurationError as error:
            raise ConfigurationError(f"the workers of {self.name}: {error}") from None
        room = (self._scoreboard.slots - self.config.restart.surge - 1) // 2
        if processes.most > room:
            raise ConfigurationError(
                f"{self.name} has room for {room} workers, not for {processes.most}; for more, "
                f"start the server with --processes {processes}"
            )
        return processes

    async def dump(self, pid: int | None = None) -> dict[int, str]:
        """Return the stacks of all threads of the worker `pid`, or of every worker, by pid; "": it told none.

        Raises `LookupError` where no worker has that pid.
        """
        workers = [member.process for member in self.pool.members if member.process is not None]
        chosen = [worker for worker in workers if pid is None or worker.pid == pid]
        if pid is not None and not chosen:
            raise LookupError(f"no worker of {self.name} has the pid {pid}")
        stacks = await asyncio.gather(*(worker.dump() for worker in chosen))
        return {worker.pid: text for worker, text in zip(chosen, stacks, strict=True)}

    async def stop(self) -> None:
        """Drain every worker and wait until all have ended. May be called while `start` is under way."""
        self._demand_watch.stop()
        watching = [self._limit_watch.stop()]
        if self._reloading is not None:
            watching.append(self._reloading.stop())
        # Together: no worker is to accept any more, however long it takes to end what only looks.
        await asyncio.gather(*watching, self.pool.stop())
        self._refusals.refuse_left(self._handoff)
        await self._refusals.stop()

    def kill(self) -> None:
        """Kill every worker and start none any more; `stop`, under way or to come, then ends at once."""
        self.pool.kill()

    def pids(self) -> set[int] | None:
        """Return every process that the application has; None while there may be one more."""
        return self.pool.pids()

    def close(self) -> None:
        """Stop listening and release everything, after `stop`."""
        self._on_close.close()

    def status(self, *, measured: bool = True) -> ApplicationStatus:
        """Return its state at this moment; `measured`: with what its workers use."""
        return self._standing.status(self.processes, measured=measured)

    def progress(self) -> Progress:
        """Return how far it is: cheap enough to be looked at upon every change."""
        return self._standing.progress(self.processes)

    def _watch_for_changes(self) -> None:
        root, restart = self.config.location.root, self.config.restart
        if restart.file:
            cause = f"{restart.file} was touched"
            restart_file = RestartFile(root, restart.file, lambda: self.begin_restart(cause), self._log)
            self._on_close.callback(restart_file.close)
        if restart.reload:
            self._reloading = Reloading(root, lambda file: self.begin_restart(f"{file} changed"), self._log)

    def _on_change(self) -> None:
        self._refusals.refuse_all(self.pool.out_of_order)
        self._limit_watch.wake()
        self._report_change()

    def _apologise(self, head: bytes) -> bytes:
        """Return the answer to a request that no worker can take."""
        failure = self.pool.history.last_failure
        shown = failure is not None and self.config.environment == "development"
        return refusal(
            head,
            retry_after=max(1, ceil(self.pool.retry_after)),
            page=failure_page(failure) if shown and failure is not None else None,
        )

    def _count_refusal(self) -> None:
        self.pool.history.shed += 1
