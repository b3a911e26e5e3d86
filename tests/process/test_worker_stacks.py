"""Where a worker's threads are, as the supervisor asks it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coachman.config.addresses import UnixAddress
from coachman.config.application_location import ApplicationLocation
from coachman.config.model import ApplicationConfig, WorkerConfig
from coachman.policy.lifecycle import State
from coachman.supervisor.log.log import Log
from coachman.supervisor.process import stack_dump
from coachman.supervisor.process.spawner import spawn_interpreter
from coachman.supervisor.process.worker_process import WorkerProcess
from coachman.supervisor.process.workplace import Workplace
from coachman.unix.handoff import HandoffQueue
from coachman.unix.lifeline import Lifeline
from coachman.unix.listeners import Listener
from coachman.unix.scoreboard import Scoreboard

APPLICATION = """
import socket

def application(environ, start_response):
    if environ["PATH_INFO"] == "/greedy":
        arrive()
        sum(range(10 ** 15))  # C code, which keeps the interpreter to itself
    elif environ["PATH_INFO"] == "/patient":
        wait_for_ever(arrive())
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

def arrive():
    gate = socket.socket(socket.AF_UNIX)
    gate.connect("gate")
    return gate

def wait_for_ever(gate):
    gate.recv(1)
"""


class Site:
    """A worker that serves on a unix socket, without a pool."""

    def __init__(self, worker: WorkerProcess, folder: Path, gate: socket.socket) -> None:
        self.worker = worker
        self._folder = folder
        self._gate = gate
        self._sockets: list[socket.socket] = []

    async def ask(self, path: str) -> socket.socket:
        """Send a request; return the connection."""
        loop = asyncio.get_running_loop()
        client = socket.socket(socket.AF_UNIX)
        self._sockets.append(client)
        client.setblocking(False)
        await loop.sock_connect(client, str(self._folder / "socket"))
        await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client

    async def answer(self, client: socket.socket) -> bytes:
        """Return the beginning of the answer."""
        async with asyncio.timeout(30):
            return await asyncio.get_running_loop().sock_recv(client, 1000)

    async def arrival(self) -> None:
        """Return once the application is where it stays."""
        async with asyncio.timeout(30):
            arrived, _ = await asyncio.get_running_loop().sock_accept(self._gate)
        self._sockets.append(arrived)

    async def stacks_with(self, text: str) -> str:
        """Ask for stacks until `text` is in them: from its arrival to where it stays it is not far."""
        async with asyncio.timeout(30):
            while text not in (stacks := await self.worker.dump()):
                pass
        return stacks

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@asynccontextmanager
async def serving(folder: Path, config: WorkerConfig) -> AsyncIterator[Site]:
    file = folder / "app.py"
    file.write_text(APPLICATION)
    log = Log(folder / "log")
    listener = Listener.bind(UnixAddress(folder / "socket"))
    scoreboard, lifeline, handoff = Scoreboard.create(2), Lifeline(), HandoffQueue.create()
    with socket.socket(socket.AF_UNIX) as gate:
        gate.bind(str(folder / "gate"))
        gate.listen()
        gate.setblocking(False)
        location = ApplicationLocation(root=folder, file=file)
        worker = WorkerProcess(
            1,
            1,
            spawn_interpreter(folder),
            ApplicationConfig(location=location, worker=config),
            None,
            Workplace([listener], scoreboard, handoff, lifeline),
            log,
        )
        site = Site(worker, folder, gate)
        try:
            await worker.start(60)
            yield site
        finally:
            site.close()
            if worker.state is not State.GONE:
                worker.kill()
                await worker.ended()
            listener.close()
            scoreboard.close()
            lifeline.close()
            handoff.close()
            log.close()


def run(folder: Path, config: WorkerConfig, test: Callable[[Site], Awaitable[None]]) -> str:
    """Run `test` on a worker; return the log."""

    async def main() -> None:
        async with serving(folder, config) as site:
            await test(site)

    asyncio.run(main())
    return (folder / "log").read_text()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_worker_tells_where_it_is_as_often_as_it_is_asked(tmp_path: Path, threads: int) -> None:
    async def test(site: Site) -> None:
        await site.ask("/patient")
        await site.arrival()
        waiting = "in wait_for_ever\n    gate.recv(1)\n"
        assert "(MainThread" in await site.stacks_with(waiting)
        for _ in range(3):
            assert waiting in await site.worker.dump()

    log = run(tmp_path, WorkerConfig(threads=threads), test)
    assert log.count("in wait_for_ever") >= 4
    assert " stacks: Thread 0x" in log


def test_a_worker_goes_on_serving_after_it_has_told(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        assert "in run" in await site.worker.dump()
        assert (await site.answer(await site.ask("/"))).endswith(b"ok")

    run(tmp_path, WorkerConfig(), test)


def test_c_code_that_keeps_the_interpreter_is_shown_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_dump, "ANSWER_SECONDS", 0.5)

    async def test(site: Site) -> None:
        await site.ask("/greedy")
        await site.arrival()
        await site.stacks_with('app.py", line 7 in application')

    run(tmp_path, WorkerConfig(), test)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_request_that_takes_too_long_is_reported_with_its_stacks(tmp_path: Path, threads: int) -> None:
    told: list[tuple[float, str]] = []

    async def test(site: Site) -> None:
        reported = asyncio.Event()

        def on_timed_out(seconds: float, line: str) -> None:
            told.append((seconds, line))
            reported.set()

        site.worker.on_timed_out = on_timed_out
        client = await site.ask("/patient?a=b")
        await site.arrival()
        assert (await site.answer(client)).startswith(b"HTTP/1.1 504 ")
        async with asyncio.timeout(30):
            await reported.wait()

    log = run(tmp_path, WorkerConfig(threads=threads, request_timeout=0.2), test)
    ((seconds, line),) = told
    assert seconds >= 0.2
    assert line == "GET /patient?a=b from a local process"
    assert "it was answered with 504" in log
    assert "in GET /patient?a=b from a local process):" in log
    assert "stacks:   File" in log
    assert "in application" in log
