"""A worker as the supervisor has it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from coachman.config.model import ApplicationConfig
from coachman.errors import ChannelError
from coachman.policy.death import in_hand
from coachman.policy.lifecycle import Event, State, next_state
from coachman.protocol import control
from coachman.protocol.log_format import Source
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.application_process import ENDING_GRACE_SECONDS, first_of
from coachman.supervisor.process.controlled_process import ControlledProcess
from coachman.supervisor.process.request import Role, request_for
from coachman.supervisor.process.spawner import ControlledSpawn
from coachman.supervisor.process.stack_dump import StackDump
from coachman.supervisor.process.workplace import Workplace
from coachman.unix.identity import Identity


class WorkerProcess(ControlledProcess):
    """A worker in a slot of the pool, serving on the listeners of its `workplace` once it is ready."""

    def __init__(
        self,
        slot: int,
        generation: int,
        spawned: ControlledSpawn,
        config: ApplicationConfig,
        identity: Identity | None,
        workplace: Workplace,
        log: Log,
        on_draining: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_draining` is called when the worker has said that it accepts no more."""
        source = Source(spawned.process.child.pid, config.title, generation)
        super().__init__(spawned, request_for(config, identity, Role.WORKER), source, log)
        self.slot = slot
        self.generation = generation
        self._config = config
        self._workplace = workplace
        self._on_draining = on_draining
        self.accepts = True
        """It may accept connections, once it is ready: it has not said that it drains."""
        self.on_connected: Callable[[], None] = lambda: None
        """Called when it has a connection, the first one since `AWAITED` was set in its slot."""
        self.on_timed_out: Callable[[float, str], None] | None = None
        """Called where a request has been in the application for too long: its seconds and its line."""
        self._pinged_at: float | None = None
        """When it was sent the first ping that it has not answered."""
        self.drained = False
        """It has said that it has ended its work: somebody told it to."""
        self._dump: StackDump | None = None

    @property
    def age(self) -> float:
        """Seconds since it was ready; since it was started, where it is not."""
        return time.monotonic() - (self.ready_at or self.started_at)

    async def start(self, timeout: float) -> Ready:
        """See the worker through its start, as any application process; it gets the listening sockets."""
        with suppress(ChannelError):  # a process that has ended is explained by its exit status
            # All of this waits in the channel until the application is loaded.
            self._workplace.scoreboard.clear(self.slot, pid=self.pid, generation=self.generation)
            await self._control.write(control.SCOREBOARD, self.slot)
            await self._control.send_io(self._workplace.scoreboard.fd, negotiate=False)
            await self._send_lifeline()
            await self._control.write(control.HANDOFF)
            for descriptor in self._workplace.handoff.descriptors:
                await self._control.send_io(descriptor, negotiate=False)
            for listener in self._workplace.listeners:
                await self._control.write(control.LISTEN, listener.address.advertised)
                await self._control.send_io(listener.sock, negotiate=False)
        return await super().start(timeout)

    async def _send_lifeline(self) -> None:
        try:
            lower_end = self._workplace.lifeline.lower_end()
        except OSError as error:
            # It can serve without: it is guarded all the same.
            self._log.note(f"worker {self.slot} would be killed at once without this process: {error}")
            return
        try:
            await self._control.write(control.LIFELINE)
            await self._control.send_io(lower_end, negotiate=False)
        finally:
            os.close(lower_end)

    def begin_drain(self) -> None:
        """Take it for draining from now on; `drain` is still to be awaited."""
        self.state = next_state(self.state, Event.DRAIN)

    async def drain(self, *, hand_over: bool) -> None:
        """Ask the worker to finish what it has in hand and end; see to it that it has ended in time.

        `hand_over`: there are, or will be, other workers for its connections; otherwise it closes them.
        """
        seconds = self._config.worker.drain_timeout
        with suppress(ChannelError):
            what = control.HANDOVER if hand_over else control.CLOSE
            await self._control.write(control.DRAIN, seconds, what)
        await first_of(self._exited, timeout=seconds + ENDING_GRACE_SECONDS)
        if not self._exited.done():
            self._log.note(f"worker {self.slot} (pid {self.pid}) did not end in time and is killed")
            self.kill()

    @property
    def silent_for(self) -> float:
        """Seconds for which it has owed an answer to a ping."""
        return 0.0 if self._pinged_at is None else time.monotonic() - self._pinged_at

    async def ping(self) -> None:
        """Have the worker's loop show that it turns; while it owes an answer, this does nothing."""
        if self._pinged_at is None:
            self._pinged_at = time.monotonic()
            with suppress(ChannelError):
                await self._control.write(control.PING)

    async def abort(self) -> None:
        """End a worker that cannot end by itself; SIGABRT leaves a core where that is allowed."""
        self._child.send_signal(signal.SIGABRT)
        await first_of(self._exited, timeout=ENDING_GRACE_SECONDS)
        self.kill()

    async def dump(self) -> str:
        """Return where its threads and asyncio tasks are, which goes to the log as well.

        "" where it cannot tell: because it is starting, has ended, or does not take a signal.
        """
        number = self._record.stacks_signal
        if self.state is State.SPAWNING or self.drained or self._stacks_fd is None or number is None:
            return ""  # it would end of that signal
        if self._dump is None:
            send_signal = partial(self._child.send_signal, number)
            self._dump = StackDump(self._stacks_fd, send_signal, self._exited)
        try:
            stacks = await self._dump.text()
        except OSError as error:
            self._log.note(f"the stacks of worker {self.slot} (pid {self.pid}) cannot be read: {error}")
            return ""
        self._log_stacks(stacks)
        return stacks

    def _log_stacks(self, stacks: str) -> None:
        if stacks:
            self._log.write(self._source, "stacks", stacks.removesuffix("\n").encode() + b"\n")

    def _note_timed_out(self, seconds: float, status: str, line: str, stacks: str) -> None:
        answered = f"it was answered with {status}" if status else "its connection was ended"
        self._log.note(
            f"worker {self.slot} (pid {self.pid}): {line} has been in the application for {seconds:.1f} s; "
            f"{answered}" + ("" if stacks else ", and nothing is known of its stacks")
        )
        self._log_stacks(stacks)
        if self.on_timed_out is not None:
            self.on_timed_out(seconds, line)

    async def _receive(self, message: list[str]) -> None:
        match message:
            case [control.PONG]:
                self._pinged_at = None
            case [control.CONNECTED]:
                self.on_connected()
            case [control.DRAINING]:
                self.accepts = False
                self._on_draining()
            case [control.TIMED_OUT, seconds, status, line]:
                stacks = await self._control.read_scalar(control.STACKS_LIMIT) or b""
                self._note_timed_out(float(seconds), status, line, stacks.decode("utf-8", "replace"))
            case [control.DUMPED]:
                stacks = await self._control.read_scalar(control.STACKS_LIMIT) or b""
                if self._dump is not None:
                    self._dump.answered(stacks)
            case [control.DRAINED, finished]:
                self.drained = True
                if finished == "no":
                    view = self._workplace.scoreboard.view(self.slot)
                    line = view.request_line.decode(errors="backslashreplace")
                    what = f"gave up requests that took too long{in_hand(view.in_flight, line)}"
                    self._log.note(f"worker {self.slot} (pid {self.pid}) {what}")
                # It serves no more; a thread of the application may keep the process for ever.
                asyncio.get_running_loop().call_later(ENDING_GRACE_SECONDS, self.kill)
