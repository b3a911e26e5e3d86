"""An application process behind any wrapper, in any language: all that is known of it is what it says."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto

from coachman.policy.lifecycle import Event, State, next_state
from coachman.protocol.log_format import Source
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.advertised import objection_to
from coachman.supervisor.process.application_process import ApplicationProcess, first_of
from coachman.supervisor.process.patience import Patience
from coachman.supervisor.process.spawner import SpawnedProcess


class Rung(Enum):
    """The steps of the ladder by which an application is made to end."""

    STDIN_CLOSED = auto()
    """The request to quit, as the protocol has it."""
    TERMINATED = auto()
    """SIGTERM to the group."""
    KILLED = auto()
    """SIGKILL to the group."""


class WrappedProcess(ApplicationProcess):
    """A process that was started as the user `uid`. What it reports of itself is checked."""

    def __init__(self, spawned: SpawnedProcess, request: Mapping[str, str], log: Log, *, uid: int) -> None:
        super().__init__(spawned, request, Source(spawned.child.pid), log)
        self._uid = uid

    def close_stdin(self) -> None:
        """Ask the process to quit."""
        self._stdin.close()

    async def quit(self, patience: Patience) -> Rung:
        """Make the process end, gently first; return the rung that it took. `ended` has to follow."""
        if self.state is State.READY:
            self.state = next_state(self.state, Event.DRAIN)
        self.close_stdin()
        await first_of(self._exited, timeout=patience.after_stdin)
        if self._exited.done():
            return Rung.STDIN_CLOSED
        self._log.note(
            f"process {self.pid} goes on {patience.after_stdin:g} s after the end of its stdin; SIGTERM"
        )
        with suppress(ProcessLookupError):  # not reaped yet, so the number is still its own
            os.killpg(self.pid, signal.SIGTERM)
        await first_of(self._exited, timeout=patience.after_sigterm)
        if self._exited.done():
            return Rung.TERMINATED
        self._log.note(f"process {self.pid} goes on {patience.after_sigterm:g} s after SIGTERM; SIGKILL")
        self.kill()
        return Rung.KILLED

    async def exited(self) -> None:
        """Wait until the process has ended. May be cancelled; `ended` has to follow."""
        await first_of(self._exited)

    def _objection_to(self, ready: Ready) -> str:
        return objection_to(ready, leader=self.pid, uid=self._uid)
