"""Processes that applications left behind, and that became children of the supervisor.

A worker's death ends its process group. What has left the group before, to outlive its parent, is given to
the supervisor by the kernel, because that is the nearest subreaper: it has to be reaped when it ends, and
ended when the supervisor stops.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from coachman.supervisor.log.log import Log
from coachman.unix.adoption import children

ROUNDS = 100
"""How often the end of strays may bring up others: each has to come from one that was just ended."""


class Strays:
    """Reaps and ends the children of this process that nobody else looks after.

    `known` returns the pids that somebody does look after; None while a child may be among ours of which
    nobody has heard yet.
    """

    def __init__(self, known: Callable[[], set[int] | None], log: Log) -> None:
        self._known = known
        self._log = log
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def close(self) -> None:
        """Look after them no longer."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def reap(self) -> None:
        """Reap the strays that have ended."""
        known = self._known()
        if known is not None:
            for pid in self._children() - known:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def end(self) -> None:
        """Kill and reap every stray."""
        ended: set[int] = set()
        for _ in range(ROUNDS):
            strays = self._children() - (self._known() or set())
            if not strays:
                break
            for pid in strays:
                # Not reaped yet, so the number is still theirs.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in strays:
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            ended |= strays
        if ended:
            pids = ", ".join(map(str, sorted(ended)))
            self._log.note(f"ended what the application had left behind: {pids}")

    def _children(self) -> set[int]:
        try:
            return children()
        except OSError as error:
            # No descriptor to look with. Whoever is overlooked is found the next time that a child ends.
            self._log.debug(f"cannot look for what applications have left behind: {error}")
            return set()
