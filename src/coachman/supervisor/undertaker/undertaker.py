"""The undertaker as the supervisor has it: started, and started again when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coachman.policy.backoff import failures_after_death, restart_delay
from coachman.policy.exhaustion import obstacle
from coachman.policy.repetition import Repetition, times_more
from coachman.supervisor.durations import soon
from coachman.unix.descriptors import require_free
from coachman.unix.lifeline import Lifeline
from coachman.unix.processes import ChildProcess

PROGRAM = Path(__file__).with_name("__main__.py")
SPARE_DESCRIPTORS = 16
"""Descriptors that have to be free before it is started: twice what that takes."""


@dataclass(frozen=True, slots=True)
class Estate:
    """What the undertaker sees to for one application. The descriptors stay the application's."""

    lifeline: Lifeline
    """What its workers depend on."""
    seconds: float
    """How long they may go on after this process was killed."""
    listeners: Sequence[int]
    """What they accept on, as far as this process has bound it: a service manager's must not go deaf."""


class Undertaker:
    """Gives workers time to finish should this process be killed, and ends what is left of them then."""

    def __init__(self, estates: Sequence[Estate], note: Callable[[str], None]) -> None:
        """Start the process; tell the log by `note` where that fails, and try again."""
        self._estates = estates
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._ours = Lifeline()
        """Nobody else has its upper end: it hangs up with this process."""
        self._child: ChildProcess | None = None
        self._started_at = 0.0
        self._failures = 0
        self._restart: asyncio.TimerHandle | None = None
        self._repetition = Repetition()
        self._start()

    def pids(self) -> set[int]:
        """The process that this object looks after, if there is one at the moment."""
        return set() if self._child is None else {self._child.pid}

    def look_after(self, estates: Sequence[Estate]) -> None:
        """See to these from now on: where that makes a difference, by another process."""
        if estates != self._estates:
            self._estates = estates
            self._succeed()

    def close(self) -> None:
        """End the process; nothing outlives this one any more, for however short a time."""
        if self._restart is not None:
            self._restart.cancel()
        child, self._child = self._child, None
        if child is not None:
            self._end(child)
        self._ours.close()

    def _start(self) -> None:
        try:
            child = self._spawn()
        except OSError as error:
            self._failures += 1
            self._again(f"the undertaker could not be started: {obstacle(error)}", self._start)
            return
        self._adopt(child)

    def _succeed(self) -> None:
        """Have another process take the place of the one there is; that one stays until there is another."""
        predecessor = self._child
        if predecessor is None:
            return  # the next one is about to be started anyway
        try:
            successor = self._spawn()
        except OSError as error:
            self._failures += 1
            what = f"the undertaker goes by the drain timeouts of before: {obstacle(error)}"
            self._again(what, self._succeed)
            return
        self._end(predecessor)
        self._adopt(successor)

    def _adopt(self, child: ChildProcess) -> None:
        if self._restart is not None:
            self._restart = None
            self._note(f"another undertaker (pid {child.pid}) has taken over")
        self._repetition.over()
        self._child = child
        self._started_at = time.monotonic()
        self._loop.add_reader(child.fileno(), self._on_death, child)

    def _end(self, child: ChildProcess) -> None:
        self._loop.remove_reader(child.fileno())
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.close()

    def _spawn(self) -> ChildProcess:
        # A fork of this process would not do: every page that this process changes from then on, and a count
        # of references is a change, would remain as a copy with it. A fresh interpreter is smaller.
        require_free(SPARE_DESCRIPTORS)
        listeners = [fd for estate in self._estates for fd in estate.listeners]
        lifelines = {estate.lifeline.upper_end: estate.seconds for estate in self._estates}
        ours = self._ours.lower_end()
        arguments = [
            str(ours),
            ",".join(map(str, listeners)),
            ",".join(f"{fd}:{seconds:g}" for fd, seconds in lifelines.items()),
        ]
        # It inherits the mask, and leaves it: nothing that is sent to everybody may end it before its time.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAM), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                pass_fds=[ours, *listeners, *lifelines],
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(ours)
        # From here on ChildProcess reaps it: Popen must neither wait for it nor complain that nobody did.
        process.returncode = 0
        return ChildProcess(process.pid)

    def _on_death(self, child: ChildProcess) -> None:
        self._loop.remove_reader(child.fileno())
        ending = child.wait(0)
        child.close()
        self._child = None
        lived = time.monotonic() - self._started_at
        self._failures = failures_after_death(self._failures, served_for=lived)
        self._again(f"the undertaker (pid {child.pid}) ended with {ending}", self._start)

    def _again(self, what: str, act: Callable[[], None]) -> None:
        delay = restart_delay(self._failures)
        unsaid = self._repetition.kept_quiet(what, time.monotonic())
        if unsaid is not None:
            self._note(f"{what}; replacing it{soon(delay)}{times_more(unsaid)}")
        if self._restart is not None:
            self._restart.cancel()
        self._restart = self._loop.call_later(delay, act)
