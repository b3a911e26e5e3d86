"""The pool: so many slots, each with a worker in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from coachman.config.model import ApplicationConfig
from coachman.policy.backoff import failures_after_death, restart_delay
from coachman.policy.lifecycle import State
from coachman.supervisor.application.worker_source import WorkerSource
from coachman.supervisor.durations import duration
from coachman.supervisor.failures.failure import StartFailed
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.spawner import Account
from coachman.supervisor.process.worker_process import WorkerProcess
from coachman.unix.listeners import Listener
from coachman.unix.scoreboard import Scoreboard

GENERATION = 1


class Pool:
    """Keeps a worker in every slot, until it is stopped. One task for each slot."""

    def __init__(
        self,
        config: ApplicationConfig,
        account: Account,
        listeners: Sequence[Listener],
        scoreboard: Scoreboard,
        log: Log,
    ) -> None:
        self._config = config
        self._identity = account.identity
        self._listeners = listeners
        self._scoreboard = scoreboard
        self._log = log
        self._source = WorkerSource(config, account, GENERATION, log)
        self._workers: dict[int, WorkerProcess] = {}
        self._slots: dict[int, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    @property
    def workers(self) -> list[WorkerProcess]:
        """Those that are not reaped."""
        return list(self._workers.values())

    @property
    def generation(self) -> int:
        """The one that serves."""
        return GENERATION

    async def start(self) -> None:
        """Fill the first slot, then leave the others to themselves.

        The first worker goes alone: an application that cannot start is reported once, and what it does
        on its first start (a migration, say) is done before the others come. Raises `StartFailed`.
        """
        first = await self._start_worker(1)
        self._slots[1] = asyncio.create_task(self._keep(1, first))
        for slot in range(2, self._config.scaling.processes.least + 1):
            self._slots[slot] = asyncio.create_task(self._keep(slot, None))

    async def stop(self) -> None:
        """Drain every worker and wait until all have ended. May be called while `start` is under way."""
        self._stopping.set()
        ready = [worker for worker in self._workers.values() if worker.state is State.READY]
        for slot, task in self._slots.items():
            if slot not in {worker.slot for worker in ready}:
                task.cancel()  # whatever it is starting is not wanted any more
        await asyncio.gather(*(worker.drain() for worker in ready))
        if self._slots:
            await asyncio.wait(self._slots.values())
        await self._source.stop()

    def pids(self) -> set[int] | None:
        """Return every process that the pool looks after; None while there may be one more."""
        if self._source.forking:
            return None
        return self._source.pids | {worker.pid for worker in self._workers.values()}

    def kill(self) -> None:
        """Kill every worker; `stop`, under way or still to come, then ends at once."""
        for worker in self._workers.values():
            worker.kill()

    async def _keep(self, slot: int, worker: WorkerProcess | None) -> None:
        """Keep `slot` filled: the life of one worker after the other."""
        failures = 0
        while not self._stopping.is_set():
            if worker is None:
                await self._pause(restart_delay(failures))
                if self._stopping.is_set():
                    break
                try:
                    worker = await self._start_worker(slot)
                except StartFailed as error:
                    failures += 1
                    if not self._stopping.is_set():
                        again = _soon(restart_delay(failures))
                        self._log.note(f"worker {slot} could not be started, trying again{again}: {error}")
                    continue
            ending = await worker.ended()
            del self._workers[slot]
            assert worker.ready_at is not None
            served_for = time.monotonic() - worker.ready_at
            if self._stopping.is_set():
                break
            if not worker.drained:
                failures = failures_after_death(failures, served_for=served_for)
            again = _soon(restart_delay(failures))
            what = f"worker {slot} (pid {worker.pid}) ended with {ending} after {served_for:.1f} s"
            if not worker.drained and worker.last_line:
                what += f", after it had printed: {worker.last_line}"
            self._log.note(f"{what}; replacing it{again}")
            worker = None

    async def _start_worker(self, slot: int) -> WorkerProcess:
        asked_at = time.monotonic()
        spawned = await self._source.worker(slot)
        worker = self._workers[slot] = WorkerProcess(
            slot,
            GENERATION,
            spawned,
            self._config,
            self._identity,
            self._listeners,
            self._scoreboard,
            self._log,
        )
        try:
            await worker.start(self._config.start_timeout)
        except BaseException:
            worker.kill()
            await asyncio.shield(worker.ended())
            del self._workers[slot]
            raise
        self._source.tell_interface(worker)
        assert worker.ready_at is not None
        took = worker.ready_at - asked_at
        self._log.note(f"worker {slot} (pid {worker.pid}) is ready after {duration(took)}")
        return worker

    async def _pause(self, seconds: float) -> None:
        """Let `seconds` pass, or less if the pool is stopped meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _soon(delay: float) -> str:
    return f" in {duration(delay)}" if delay else ""
