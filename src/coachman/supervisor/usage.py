"""What all processes use, measured without holding up the event loop.

The kernel walks the whole memory of a process for its proportional set size: some hundred microseconds for a
small one, many milliseconds for a large one, and for ever for one that hangs in the kernel.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from msgspec.structs import replace

from coachman.protocol.status import ApplicationStatus, SupervisorStatus
from coachman.unix.process_usage import cpu_seconds, proportional_memory

FRESH_SECONDS: Final = 5.0
"""How long a measurement is good for, however many ask."""
PATIENCE_SECONDS: Final = 2.0
"""How long one is waited for; after that, the last one has to do."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses; None where it is not known."""

    memory: int | None = None
    cpu: float | None = None


Measurement: TypeAlias = Mapping[int, Usage]
UNKNOWN: Final = Usage()


class UsageMeter:
    """Measures processes in a thread, which lives as long as one measurement. Belongs to the event loop."""

    def __init__(self) -> None:
        self._last: Measurement = {}
        self._measured_at = 0.0
        self._running: asyncio.Future[None] | None = None

    async def with_usage(self, status: SupervisorStatus) -> SupervisorStatus:
        """Return `status` with what the processes in it, and this one, use."""
        used = await self._measurement(_pids(status))
        own = used.get(os.getpid(), UNKNOWN)
        return replace(
            status,
            memory=own.memory,
            cpu_seconds=own.cpu,
            applications=tuple(_application_with(used, each) for each in status.applications),
        )

    async def _measurement(self, pids: Iterable[int]) -> Measurement:
        if self._measured_at and time.monotonic() - self._measured_at < FRESH_SECONDS:
            return self._last
        if self._running is None:
            loop = asyncio.get_running_loop()
            # A daemon: one that a process holds up in the kernel must not keep the supervisor from ending.
            measuring = threading.Thread(
                target=self._measure, args=(list(pids), loop), name="usage", daemon=True
            )
            try:
                measuring.start()
            except RuntimeError:  # no thread to be had: what was measured last has to do
                return self._last
            self._running = loop.create_future()
        await asyncio.wait([self._running], timeout=PATIENCE_SECONDS)
        return self._last

    def _measured(self, measurement: Measurement) -> None:
        self._last, self._measured_at = measurement, time.monotonic()
        running, self._running = self._running, None
        assert running is not None
        running.set_result(None)

    # In the thread.

    def _measure(self, pids: list[int], loop: asyncio.AbstractEventLoop) -> None:
        found = {pid: Usage(proportional_memory(pid), cpu_seconds(pid)) for pid in pids}
        try:
            loop.call_soon_threadsafe(self._measured, found)
        except RuntimeError:  # the loop is closed: nobody waits for it
            pass


def _pids(status: SupervisorStatus) -> list[int]:
    pids = [os.getpid()]
    for application in status.applications:
        pids += application.preloaders.values()
        pids += (worker.pid for worker in application.workers)
    return pids


def _application_with(used: Measurement, application: ApplicationStatus) -> ApplicationStatus:
    workers = []
    for worker in application.workers:
        usage = used.get(worker.pid, UNKNOWN)
        workers.append(replace(worker, memory=usage.memory, cpu_seconds=usage.cpu))
    known = [worker.memory for worker in workers if worker.memory is not None]
    for pid in application.preloaders.values():
        memory = used.get(pid, UNKNOWN).memory
        known += [] if memory is None else [memory]
    return replace(application, workers=tuple(workers), memory=sum(known) if known else None)
