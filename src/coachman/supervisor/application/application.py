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
from coachman.supervisor.application.background import Background
from coachman.supervisor.application.demand_watch import DemandWatch
from coachman.supervisor.application.generation import Generation
from coachman.supervisor.application.limit_watch import LimitWatch
from coachman.supervisor.application.pool import Pool
from coachman.supervisor.application.refusals import Refusals
from coachman.supervisor.application.reloading import require_watchfiles
from coachman.supervisor.application.restart_triggers import RestartTriggers
from coachman.supervisor.application.standing import Standing
from coachman.supervisor.failures.failure import FailureKind, StartFailed, StartFailure
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
        reread: Callable[[ApplicationConfig], ApplicationConfig] = lambda now: now,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Listen at its addresses, and with the listeners that were `passed`, which it owns from now on.

        `reread` says at each restart what is configured by now, in place of what holds, with the same
        addresses and the same title; it raises `ConfigurationError`. `on_change` is called when `progress`,
        `config` or `estate` may have changed.
        """
        self._reread = reread
        self._report_change = on_change
        self.config = config
        """What holds: that of the generation which serves."""
        self.name = config.title
        self.processes = config.scaling.processes
        """How many workers there may be; `scale` changes it."""
        self._log = log
        self._triggers: RestartTriggers | None = None
        self._background = Background()
        self._on_close = ExitStack()
        with ExitStack() as on_failure:
            self.listeners = list(passed)
            for listener in passed:
                on_failure.callback(listener.close)
            self._account = _account(config)
            for address in addresses_to_bind(config, passed):
                self.listeners.append(listener := Listener.bind(address))
                on_failure.callback(listener.close)
            if not self.listeners:
                raise ConfigurationError(f"{self.name} has no address to listen at: give it one with bind")
            slots = _slots(config.scaling.processes, config.restart.surge) + SPARE_SLOTS
            self._scoreboard = Scoreboard.create(slots)
            on_failure.callback(self._scoreboard.close)
            self._handoff = HandoffQueue.create()
            on_failure.callback(self._handoff.close)
            self._lifeline = Lifeline()
            on_failure.callback(self._lifeline.close)
            workplace = Workplace(self.listeners, self._scoreboard, self._handoff, self._lifeline)
            self.pool = Pool(config, workplace, log, on_change=self._on_change, on_serving=self._go_by)
            self._standing = Standing(config, self.pool, self._scoreboard, self.listeners, self._handoff)
            self._limit_watch = LimitWatch(self.pool, self._scoreboard, log.note)
            self._refusals = Refusals(self.listeners, self._apologise, self._count_refusal)
            self._demand_watch = DemandWatch(
                config,
                self.pool,
                self._scoreboard,
                self.listeners,
                self._handoff,
                self._refusals,
                log.note,
            )
            self._on_close = on_failure.pop_all()
        if os.geteuid() == 0 and self._account.identity is None:
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
        self._triggers = RestartTriggers(self.config, self.begin_restart, self._log)
        self.pool.generations.keep_trying = keep_trying
        generation = self.pool.generations.begin("start", self.config, self._account)
        await first_of(generation.tried)
        while (newest := self.pool.generations.newest) is not generation and newest is not None:
            generation = newest  # a restart was asked for before the first worker was ready
            await first_of(generation.tried)
        if generation.failure is not None and not keep_trying:
            raise StartFailed(generation.failure)
        self._demand_watch.start()
        for listener in self.listeners:
            self._log.announce(f"listening at {listener.address.url}")

    def begin_restart(self, cause: str) -> Generation:
        """Begin to replace the workers by those of a new generation, one by one; return that.

        It goes by what is configured by now; where that cannot be used, the restart has failed. `cause` says
        who or what asked for it. `finished` of the generation is done once no worker of an earlier one takes
        requests any more, or once it is clear that this will not be: its first worker could not be started
        ("failed", and the workers of before serve on), or another restart was asked for meanwhile
        ("superseded": the newest code wins).
        """
        config, account = self.config, self._account
        try:
            config = self._reread(config)
            account = _account(config)
            self._require_room(config.scaling.processes, config.restart.surge)
        except ConfigurationError as error:
            failure = StartFailure(FailureKind.MISCONFIGURED, None, str(error))
            return self.pool.generations.refuse(cause, self.config, self._account, failure)
        return self.pool.generations.begin(cause, config, account)

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
        self._demand_watch.use(self.config, self.processes)
        return self.processes

    def scaled(self, change: str) -> ProcessCount:
        """Return what `scale` would, and raise what it would, without changing anything."""
        try:
            processes = scaled(self.processes, change)
        except ConfigurationError as error:
            raise ConfigurationError(f"the workers of {self.name}: {error}") from None
        self._require_room(processes, self.config.restart.surge)
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
        if self._triggers is not None:
            watching.append(self._triggers.stop())
        # Together: no worker is to accept any more, however long it takes to end what only looks.
        await asyncio.gather(*watching, self.pool.stop())
        self._refusals.refuse_left(self._handoff)
        await self._refusals.stop()
        await self._background.wait()

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

    def _go_by(self, generation: Generation) -> None:
        """Take over what was configured for the generation that serves from now on."""
        before, self.config = self.config, generation.config
        self._account = generation.source.account
        if self.config.scaling.processes != before.scaling.processes:
            self.processes = self.config.scaling.processes  # else it is as `scale` may have left it
        self.pool.surge = self.config.restart.surge
        self._standing.config = self.config
        if self.config != before:
            self._demand_watch.use(self.config, self.processes)
        if self._triggers is not None and not self._triggers.suit(self.config):
            self._background.run(self._triggers.stop())
            self._triggers = RestartTriggers(self.config, self.begin_restart, self._log)

    def _require_room(self, processes: ProcessCount, surge: int) -> None:
        if _slots(processes, surge) > self._scoreboard.slots:
            room = (self._scoreboard.slots - surge - 1) // 2
            raise ConfigurationError(
                f"{self.name} has room for {room} workers, not for {processes.most}; for more, "
                f"start the server with --processes {processes}"
            )

    def _on_change(self) -> None:
        self._refusals.refuse_all(self.pool.out_of_order)
        self._limit_watch.wake()
        self._demand_watch.heed_workers()
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


def _account(config: ApplicationConfig) -> Account:
    """Return who the application is to run as.

    Raises `ConfigurationError` where there is no such user, or a package that the configuration asks for.
    """
    if config.restart.reload:
        require_watchfiles()
    settings = config.process
    return Account(find_identity(settings.user, settings.group), settings.umask)


def _slots(processes: ProcessCount, surge: int) -> int:
    """Return how many slots there have to be: also for those that drain, and the one that is nobody's, 0."""
    return 2 * processes.most + surge + 1
