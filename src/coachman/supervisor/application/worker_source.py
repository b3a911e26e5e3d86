"""Where workers come from: a preloader that forks them, or a fresh interpreter for each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

from msgspec.structs import replace

from coachman.config.model import ApplicationConfig, SpawnMethod
from coachman.policy.environment import account_environment, application_environment
from coachman.policy.exhaustion import obstacle
from coachman.protocol import control
from coachman.supervisor.durations import duration
from coachman.supervisor.failures.failure import StartFailed, StartFailure
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.controlled_process import ControlledProcess
from coachman.supervisor.process.preloader_process import PreloaderProcess
from coachman.supervisor.process.spawner import Account, ControlledSpawn, spawn_interpreter
from coachman.unix.identity import closed_folder
from coachman.version import VERSION


class WorkerSource:
    """Gives processes that are to become workers, by the configured spawn method.

    A preloader that has died, or was stopped because nobody needed it, is started again with the next worker.
    """

    def __init__(self, config: ApplicationConfig, account: Account, generation: int, log: Log) -> None:
        # A link to the code may lead elsewhere by the next generation; all of this one is to have the same.
        self.config = config = replace(config, name=config.title, location=config.location.followed())
        """The application's, with the folders in which this source finds it."""
        self.account = account
        """Who its processes run as."""
        self._environment = _environment(config, account, generation)
        self._generation = generation
        self._log = log
        self._told_interface = False
        self._direct = config.spawn_method is SpawnMethod.DIRECT
        self._preloader: PreloaderProcess | None = None
        """The one that is ready to fork."""
        self._preloaders: dict[int, PreloaderProcess] = {}
        """Every one that is not reaped, by pid."""
        self._ends: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def pids(self) -> set[int]:
        """The preloaders that this source looks after."""
        return set(self._preloaders)

    @property
    def forking(self) -> bool:
        """True while there may be a worker of which nobody knows yet."""
        return any(preloader.forking for preloader in self._preloaders.values())

    async def worker(self, slot: int) -> ControlledSpawn:
        """Return a process for `slot`; raise `StartFailed` where there is none."""
        async with self._lock:
            # Whoever had to wait looks only now whether there is to be a preloader.
            preloader = None if self._direct else self._preloader or await self._start_preloader()
            if preloader is not None:
                try:
                    return await preloader.fork(slot, self._generation)
                finally:
                    self._rest_later()
        return self._execute()

    def tell_interface(self, process: ControlledProcess) -> None:
        """Say what the application is called by, once in the life of a generation."""
        if process.interface is not None and not self._told_interface:
            self._told_interface = True
            name, reason = process.interface
            self._log.note(f"{self.config.title} is served as {name.upper()}: {reason}")

    async def stop(self) -> None:
        """Stop the preloader, if there is one, and wait until all have ended."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._stop_preloader()
        if self._ends:
            await asyncio.wait(self._ends)

    async def _start_preloader(self) -> PreloaderProcess | None:
        """Start it; return None, and never try again, where what was left alive forbids forking."""
        preloader = PreloaderProcess(
            self._generation, self._execute(), self.config, self.account.identity, self._log
        )
        self._preloaders[preloader.pid] = preloader
        self._in_background(self._see_to_its_end(preloader))
        try:
            await preloader.start(self.config.start_timeout)
        except BaseException:
            preloader.kill()
            raise
        self.tell_interface(preloader)
        for _, what in preloader.leftovers:
            self._log.note(f"loading the application left alive: {what}")
        threads = any(kind == control.THREAD for kind, _ in preloader.leftovers)
        if threads and self.config.spawn_method is SpawnMethod.AUTO:
            self._log.note("a fork does not take threads along: every worker loads the application by itself")
            self._direct = True
            self._in_background(preloader.stop())
            return None
        took = (preloader.ready_at or 0.0) - preloader.started_at
        self._log.note(f"the preloader (pid {preloader.pid}) is ready after {duration(took)}")
        self._preloader = preloader
        return preloader

    async def _see_to_its_end(self, preloader: PreloaderProcess) -> None:
        ending = await preloader.ended()
        del self._preloaders[preloader.pid]
        if self._preloader is preloader:
            self._preloader = None
            what = f"the preloader (pid {preloader.pid}) ended with {ending}"
            self._log.note(f"{what}; the next worker gets a fresh one")

    def _rest_later(self) -> None:
        """Stop the preloader once it has had nothing to do for the configured time."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        seconds = self.config.max_preloader_idle_time
        if seconds > 0:
            self._idle_timer = asyncio.get_running_loop().call_later(seconds, self._rest)

    def _rest(self) -> None:
        if self._preloader is not None and not self._lock.locked():
            self._log.note(f"the preloader (pid {self._preloader.pid}) is stopped: it has had nothing to do")
            self._stop_preloader()

    def _stop_preloader(self) -> None:
        preloader, self._preloader = self._preloader, None
        if preloader is not None:
            self._in_background(preloader.stop())

    def _in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    def _execute(self) -> ControlledSpawn:
        try:
            return spawn_interpreter(
                self.config.location.root, environment=self._environment, account=self.account
            )
        except OSError as error:
            reason, identity = obstacle(error), self.account.identity
            if isinstance(error, PermissionError) and identity is not None:
                reason += f"; the user {identity.user!r} has to be allowed into every folder on the way there"
                if (closed := closed_folder(error.filename or "", identity)) is not None:
                    reason += f", and may not enter {closed}"
            raise StartFailed(StartFailure.not_executed(error, reason)) from error


def _environment(config: ApplicationConfig, account: Account, generation: int) -> dict[str, str]:
    identity = account.identity
    told = {
        "VERSION": VERSION,
        "APP_ROOT": str(config.location.root),
        "ENVIRONMENT": config.environment,
        "GENERATION": str(generation),
        "SPAWN_METHOD": config.spawn_method.value,
    }
    who = {}
    if identity is not None:
        who = account_environment(user=identity.user, home=identity.home, shell=identity.shell)
    return application_environment(os.environ, account=who, configured=config.process.variables, told=told)
