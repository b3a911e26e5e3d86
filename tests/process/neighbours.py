"""Workers without a pool: what they share, a handoff queue above all, is in the hands of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from coachman.config.addresses import UnixAddress
from coachman.config.application_location import ApplicationLocation
from coachman.config.model import ApplicationConfig, WorkerConfig
from coachman.policy.lifecycle import State
from coachman.protocol.handoff import Passport, encode_passport
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.spawner import spawn_interpreter
from coachman.supervisor.process.worker_process import WorkerProcess
from coachman.supervisor.process.workplace import Workplace
from coachman.unix.handoff import HandoffQueue
from coachman.unix.lifeline import Lifeline
from coachman.unix.listeners import Listener
from coachman.unix.scoreboard import Scoreboard

from ..end_to_end.gate import WAIT_AT_GATE
from ..end_to_end.raw_client import RawClient

START_TIMEOUT = 60.0

GATE_IN_FOLDER = f"""{WAIT_AT_GATE}
os.environ["GATE"] = "gate"
"""
"""What an application begins with in order to wait at the gate in its own folder."""

WSGI = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/gate":
        wait_at_gate()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
"""It tells its pid, upon /gate behind the gate."""


class Neighbours:
    """What the workers of one application share, in the hands of the test; and those workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._on_exit = AsyncExitStack()
        self.log = Log(folder / "log")
        self._on_exit.callback(self.log.close)
        self.listener = Listener.bind(UnixAddress(folder / "socket"))
        self.scoreboard, self._lifeline = Scoreboard.create(4), Lifeline()
        self.queue = HandoffQueue.create()
        for thing in (self.listener, self.scoreboard, self._lifeline, self.queue):
            self._on_exit.callback(thing.close)
        self._slots = 0

    async def start(self, config: WorkerConfig) -> Neighbour:
        """Start a worker; return it once it is ready."""
        slot, self._slots = self._slots, self._slots + 1
        location = ApplicationLocation(root=self._folder, file=self._folder / "app.py")
        draining = asyncio.Event()
        worker = WorkerProcess(
            slot,
            1,
            spawn_interpreter(self._folder),
            ApplicationConfig(location=location, worker=config),
            None,
            Workplace([self.listener], self.scoreboard, self.queue, self._lifeline),
            self.log,
            draining.set,
        )
        neighbour = Neighbour(worker, draining)
        self._on_exit.push_async_callback(neighbour.end)
        await worker.start(START_TIMEOUT)
        return neighbour

    def connect(self) -> RawClient:
        """Connect to whichever worker accepts; the connection ends with the test."""
        client = RawClient(f"unix:{self._folder / 'socket'}")
        self._on_exit.callback(client.sock.close)
        return client

    def put_into_queue(self, client: RawClient) -> None:
        """Accept the connection of `client`, and put it into the queue as a worker would."""
        sock, _ = self.listener.sock.accept()
        with sock:
            assert self.queue.put(sock, encode_passport(Passport()))

    async def close(self) -> None:
        await self._on_exit.aclose()


class Neighbour:
    """One of the workers."""

    def __init__(self, process: WorkerProcess, draining: asyncio.Event) -> None:
        self.process = process
        self._draining = draining
        self._drain: asyncio.Task[None] | None = None

    async def begin_drain(self) -> None:
        """Have it drain, and leave its connections to others; return once it accepts no more."""
        self._drain = asyncio.create_task(self.process.drain(hand_over=True))
        await self._draining.wait()

    async def wait_for_end(self) -> None:
        """Return once it has ended, after `begin_drain`, because nothing was left to do."""
        async with asyncio.timeout(60):
            ending = await self.process.ended()
        assert (ending.status, self.process.drained) == (0, True)

    async def kill(self) -> None:
        """End it with SIGKILL; return once it is gone."""
        self.process.kill()
        await self.process.ended()

    async def end(self) -> None:
        """See to it that nothing is left of it."""
        if self.process.state is not State.GONE:
            await self.kill()
        if self._drain is not None:
            await self._drain


@asynccontextmanager
async def neighbours(folder: Path, application: str) -> AsyncIterator[Neighbours]:
    """Give a place for workers that serve `application`, the text of a module."""
    (folder / "app.py").write_text(application)
    made = Neighbours(folder)
    try:
        yield made
    finally:
        await made.close()
