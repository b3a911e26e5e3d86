"""The undertaker as the supervisor has it: started, and started again when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from coachman.policy.backoff import failures_after_death, restart_delay
from coachman.supervisor.durations import soon
from coachman.supervisor.log.log import Log
from coachman.unix.lifeline import Lifeline
from coachman.unix.processes import ChildProcess

PROGRAM = Path(__file__).with_name("__main__.py")


class Undertaker:
    """Gives the workers time to finish should this process be killed, and ends what is left of them then.

    `lifeline` for every kind of workers, then `start`; `close` when no worker is left.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._ours = Lifeline()
        """Nobody else has its upper end: it hangs up with this process."""
        self._lifelines: dict[Lifeline, float] = {}
        self._listeners: list[int] = []
        self._child: ChildProcess | None = None
        self._started_at = 0.0
        self._failures = 0
        self._restart: asyncio.TimerHandle | None = None

    @property
    def pids(self) -> set[int]:
        """The process that this object looks after, if there is one at the moment."""
        return set() if self._child is None else {self._child.pid}

    def lifeline(self, seconds: float) -> Lifeline:
        """Return a lifeline that holds for so many seconds when this process is killed. It stays ours.

        It hangs up earlier where the undertaker dies as well. Must be called before `start`.
        """
        lifeline = Lifeline()
        self._lifelines[lifeline] = seconds
        return lifeline

    def start(self, listeners: Iterable[int]) -> None:
        """Start the process, which also stops listening on `listeners` when this process is killed.

        These stay the caller's; only what this process has bound may be among them, not what a service
        manager keeps open. Where the process cannot be started, the log says so and it is tried again.
        """
        self._listeners = list(listeners)
        self._execute()

    def close(self) -> None:
        """End the process and give up the lifelines. Whatever still depends on them is killed."""
        if self._restart is not None:
            self._restart.cancel()
        child, self._child = self._child, None
        if child is not None:
            self._loop.remove_reader(child.fileno())
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.close()
        for lifeline in (self._ours, *self._lifelines):
            lifeline.close()

    def _execute(self) -> None:
        try:
            child = self._child = self._spawn()
        except OSError as error:
            self._failures += 1
            self._again(f"the undertaker could not be started: {error}")
            return
        self._started_at = time.monotonic()
        self._loop.add_reader(child.fileno(), self._on_death, child)

    def _spawn(self) -> ChildProcess:
        # A fork of this process would not do: every page that this process changes from then on, and a count
        # of references is a change, would remain as a copy with it. A fresh interpreter is smaller.
        upper_ends = [lifeline.upper_end for lifeline in self._lifelines]
        patience = ",".join(f"{line.upper_end}:{seconds:g}" for line, seconds in self._lifelines.items())
        ours = self._ours.lower_end()
        arguments = [str(ours), ",".join(map(str, self._listeners)), patience]
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
                pass_fds=[ours, *self._listeners, *upper_ends],
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
        self._again(f"the undertaker (pid {child.pid}) ended with {ending}")

    def _again(self, what: str) -> None:
        delay = restart_delay(self._failures)
        self._log.note(f"{what}; replacing it{soon(delay)}")
        self._restart = self._loop.call_later(delay, self._execute)
