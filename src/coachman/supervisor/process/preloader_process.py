"""The preloader as the supervisor has it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence

from coachman.config.model import ApplicationConfig
from coachman.errors import ChannelError
from coachman.protocol import control
from coachman.protocol.journey import Step
from coachman.protocol.log_format import Source
from coachman.supervisor.failures.failure import FailureKind, StartFailed, StartFailure
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.application_process import first_of
from coachman.supervisor.process.controlled_process import ControlledProcess
from coachman.supervisor.process.request import Role, request_for
from coachman.supervisor.process.spawner import ControlledSpawn, Pipes
from coachman.unix.identity import Identity
from coachman.unix.processes import ChildProcess

STOP_SECONDS = 3.0
"""How long a preloader may take to end once its connection is closed."""


class PreloaderProcess(ControlledProcess):
    """A process that has the application loaded and forks workers from it."""

    def __init__(
        self,
        generation: int,
        spawned: ControlledSpawn,
        config: ApplicationConfig,
        identity: Identity | None,
        log: Log,
    ) -> None:
        source = Source(spawned.process.child.pid, config.title, generation)
        super().__init__(spawned, request_for(config, identity, Role.PRELOADER), source, log)
        self._config = config
        self._identity = identity
        self._one_at_a_time = asyncio.Lock()
        self._reply: asyncio.Future[ChildProcess | str] | None = None
        self.forking = False
        """Whether it may have forked a worker of which this process has not heard."""
        self.leftovers: list[tuple[str, str]] = []
        """Kind and description of what the application left alive; complete once the start is decided."""

    async def fork(self, slot: int, generation: int) -> ControlledSpawn:
        """Have a worker forked; it is a child of this process. Raises `StartFailed` where there is none."""
        async with self._one_at_a_time:
            self.forking = True
            ours, theirs = socket.socketpair()
            try:
                with theirs, Pipes(self._identity) as pipes:
                    pipes.enter(Step.FORK)
                    child = await self._ask(slot, generation, [*pipes.childs, theirs.fileno()])
                    return ControlledSpawn(pipes.keep(child), ours, None)
            except BaseException:
                ours.close()
                raise
            finally:
                self.forking = False

    async def _ask(self, slot: int, generation: int, fds: Sequence[int]) -> ChildProcess:
        """Send the request with its descriptors, return the child that comes of it."""
        reply = self._reply = asyncio.get_running_loop().create_future()
        called_off = True
        try:
            async with asyncio.timeout(self._config.start_timeout):
                await self._control.write(control.SPAWN, slot, generation)
                for fd in fds:
                    await self._control.send_io(fd, negotiate=False)
                await first_of(reply, self._conversation)
            called_off = False
        except ChannelError as error:
            raise self._fork_failed(str(error)) from error
        except TimeoutError:
            self.kill()  # what it is doing is unknown; the next request finds a fresh one
            raise self._fork_failed("it did not answer in time") from None
        finally:
            self._reply = None
            if called_off and reply.done():  # in the moment in which the answer came
                self._answer(reply.result())
        if not reply.done():
            raise self._fork_failed("it has ended")
        forked: ChildProcess | str = reply.result()
        if isinstance(forked, str):
            raise self._fork_failed(forked)
        return forked

    def close(self) -> None:
        """Close the connection, upon which the preloader ends; `ended` is still to be awaited."""
        self._control.close()

    async def stop(self) -> None:
        """Close the connection and see to it that the preloader ends; `ended` is still to be awaited."""
        self.close()
        await first_of(self._exited, timeout=STOP_SECONDS)
        self.kill()

    async def _receive(self, message: list[str]) -> None:
        match message:
            case [control.ALIVE, kind, what]:
                self.leftovers.append((kind, what))
            case [control.SPAWNED, pid]:
                pidfd = await self._control.recv_io(negotiate=False)
                if pidfd is not None:
                    self._answer(ChildProcess(int(pid), pidfd))
            case [control.FAILED, reason]:
                self._answer(reason)

    def _answer(self, answer: ChildProcess | str) -> None:
        reply = self._reply
        if reply is not None and not reply.done():
            reply.set_result(answer)
        elif isinstance(answer, ChildProcess):
            # Nobody waits for it any more.
            answer.send_signal(signal.SIGKILL)
            answer.wait()
            answer.close()

    def _fork_failed(self, reason: str) -> StartFailed:
        return StartFailed(StartFailure(FailureKind.NOT_FORKED, self.pid, reason))
