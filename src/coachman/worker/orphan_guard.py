"""What ends an application process whose supervisor is gone, whatever it is doing at that moment."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from coachman.unix.lifeline import hung_up, ignore_hangup, kill_group_at_hangup


class OrphanGuard:
    """Sees to it that nothing of this process's group outlives the supervisor for long.

    The process has to lead its group; what the application started goes with it. PR_SET_PDEATHSIG would
    leave the children.
    """

    def __init__(self) -> None:
        self._tether = self._leader = -1

    def watch(self) -> int:
        """Have the group killed as soon as whoever gets the descriptor that is returned is gone.

        That is for the supervisor, and nobody else may keep it; until then it is the caller's. Right for
        whatever has no request in hand.

        stdin would not do, though the supervisor alone writes to it: the kernel lets readers have what was
        written before it sends the signal for it, which so may come when the request was read long ago.
        """
        if self._tether >= 0:
            os.close(self._tether)  # that of the preloader, in a worker that it has forked
        self._tether, upper_end = os.pipe2(os.O_CLOEXEC)
        self._leader = os.getpid()
        kill_group_at_hangup(self._tether)
        return upper_end

    def give_time(self, lifeline: int) -> None:
        """Have the group killed when `lifeline`, which is taken over, hangs up, and no earlier."""
        kill_group_at_hangup(lifeline)
        ignore_hangup(self._tether)

    @property
    def orphaned(self) -> bool:
        """Whether the supervisor is gone."""
        return self._tether >= 0 and hung_up(self._tether)

    def end_group(self) -> None:
        """Do for the group what the supervisor would do upon this process's death, if it is gone.

        To be called as the last thing of all: this process is killed as well, unless it is alone.
        """
        # Not in a copy that the application has forked and that leaves the way this process would.
        if os.getpid() == self._leader and self.orphaned and not _alone():
            os.killpg(0, signal.SIGKILL)


def _alone() -> bool:
    """Return whether nobody else is in this group. Where that cannot be told, somebody may be."""
    ourselves, group = os.getpid(), os.getpgrp()
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return False
    for pid in pids:
        with suppress(OSError):  # it has ended meanwhile
            if pid != ourselves and os.getpgid(pid) == group:
                return False
    return True
