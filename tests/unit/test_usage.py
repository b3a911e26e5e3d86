"""Measuring processes beside the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator

import pytest

from coachman.protocol.status import ApplicationStatus, SupervisorStatus, WorkerStatus
from coachman.supervisor import usage
from coachman.supervisor.usage import UsageMeter

WORKER, OTHER, PRELOADER = 4711, 4712, 4713
MEMORY = {WORKER: 100, OTHER: None, PRELOADER: 30, os.getpid(): 7}


def status() -> SupervisorStatus:
    workers = tuple(
        WorkerStatus(slot=slot, pid=pid, generation=1, state="ready", age=1.0)
        for slot, pid in enumerate((WORKER, OTHER), 1)
    )
    site = ApplicationStatus(
        name="site",
        location="/srv/site",
        addresses=(),
        processes="2",
        threads=1,
        generation=1,
        preloaders={1: PRELOADER},
        workers=workers,
    )
    return SupervisorStatus(pid=1, version="1", started_at=0.0, state="serving", applications=(site,))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The pids that are looked at, which have memory as above."""
    seen: list[int] = []

    def memory(pid: int) -> int | None:
        seen.append(pid)
        return MEMORY[pid]

    monkeypatch.setattr(usage, "proportional_memory", memory)
    monkeypatch.setattr(usage, "cpu_seconds", lambda _pid: 1.5)
    yield seen
    wait_for_threads()


def wait_for_threads() -> None:
    """Wait until the threads that have measured are gone: they end behind what they tell."""
    for thread in threading.enumerate():
        if thread.name == "usage":
            thread.join(30)


def run(talk: Callable[[UsageMeter], Coroutine[None, None, None]]) -> None:
    async def with_a_meter() -> None:
        async with asyncio.timeout(30):
            await talk(UsageMeter())

    asyncio.run(with_a_meter())


def test_every_process_gets_what_it_uses(measured: list[int]) -> None:
    async def talk(meter: UsageMeter) -> None:
        found = await meter.with_usage(status())
        [site] = found.applications
        assert [worker.memory for worker in site.workers] == [100, None]
        assert [worker.cpu_seconds for worker in site.workers] == [1.5, 1.5]
        assert (site.memory, found.memory, found.cpu_seconds) == (130, 7, 1.5)

    run(talk)
    assert sorted(measured) == sorted(MEMORY)


def test_however_many_ask_it_is_measured_once(measured: list[int]) -> None:
    async def talk(meter: UsageMeter) -> None:
        found = await asyncio.gather(*(meter.with_usage(status()) for _ in range(100)))
        assert {each.memory for each in found} == {7}
        assert (await meter.with_usage(status())).memory == 7

    run(talk)
    assert len(measured) == len(MEMORY)


def test_what_is_old_is_measured_again(measured: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "FRESH_SECONDS", 0.0)

    async def talk(meter: UsageMeter) -> None:
        await meter.with_usage(status())
        await meter.with_usage(status())

    run(talk)
    assert len(measured) == 2 * len(MEMORY)


def test_without_a_thread_what_is_known_has_to_do(
    measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def talk(meter: UsageMeter) -> None:
        with monkeypatch.context() as exhausted:
            exhausted.setattr(threading.Thread, "start", start)
            assert (await meter.with_usage(status())).memory is None
        assert (await meter.with_usage(status())).memory == 7

    run(talk)


def test_a_process_that_hangs_in_the_kernel_holds_up_nobody(
    measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(usage, "PATIENCE_SECONDS", 0.01)
    released = threading.Event()

    async def talk(meter: UsageMeter) -> None:
        assert (await measured_in_time(meter)).memory == 7
        wait_for_threads()
        monkeypatch.setattr(usage, "proportional_memory", lambda _pid: released.wait(30) and None)
        # The measurement of before has to do, and no second thread is begun.
        for _ in range(3):
            assert (await meter.with_usage(status())).memory == 7
        assert [thread.name for thread in threading.enumerate()].count("usage") == 1
        released.set()

    async def measured_in_time(meter: UsageMeter) -> SupervisorStatus:
        while (found := await meter.with_usage(status())).memory is None:
            pass
        return found

    run(talk)


def test_a_measurement_may_end_after_the_loop(measured: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PATIENCE_SECONDS", 0.01)
    released = threading.Event()
    monkeypatch.setattr(usage, "proportional_memory", lambda _pid: released.wait(30) and None)

    async def talk(meter: UsageMeter) -> None:
        assert (await meter.with_usage(status())).memory is None

    run(talk)
    released.set()
