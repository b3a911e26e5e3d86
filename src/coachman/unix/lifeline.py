"""Lifelines: pipes that carry nothing, whose end is the news (pipe(7), F_SETSIG in fcntl(2)).

A lifeline hangs up when the last process that holds its upper end is gone. The kernel can be told to kill a
process group then. A thread that watches could not be relied on: it would wait for the interpreter as long as
C code holds it, and would not run in a process that is stopped.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal


class Lifeline:
    """A pipe whose upper end this process owns, and may share; lower ends are for those that depend on it."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC)

    @property
    def upper_end(self) -> int:
        """The descriptor that keeps it; whoever inherits it keeps it as well. It stays this object's."""
        return self._write_end

    def lower_end(self) -> int:
        """Return a descriptor that hangs up with the lifeline. The caller owns it.

        It is an open file description of its own, and so has an owner of its own for signals (F_SETOWN),
        where a duplicate would share one. It has to be made here: a process of another user may not open
        /proc/self/fd of our pipe, and one that may could open the upper end as well. Raises OSError.
        """
        return os.open(f"/proc/self/fd/{self._read_end}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it. Again: nothing happens."""
        for fd in (self._read_end, self._write_end):
            if fd >= 0:
                os.close(fd)
        self._read_end = self._write_end = -1


def kill_group_at_hangup(fd: int) -> None:
    """Have the kernel kill the calling process's group when the pipe that `fd` reads hangs up.

    Something written to it does the same. What the group contains at that moment is killed, whatever state
    it is in. `fd` has to stay open in this process; nobody else may have the same open file description.
    The group has to be the caller's to signal: the kernel goes by the user who calls this.
    """
    fcntl.fcntl(fd, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    # From here on the kernel tells; what happened before has to be looked for.
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if poll.poll(0):
        os.killpg(0, signal.SIGKILL)


def ignore_hangup(fd: int) -> None:
    """Take back `kill_group_at_hangup`."""
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_ASYNC)


def hung_up(fd: int) -> bool:
    """Return whether the pipe that `fd` reads has no writer any more."""
    poll = select.poll()
    poll.register(fd, 0)  # POLLHUP is reported unasked
    return any(events & select.POLLHUP for _, events in poll.poll(0))
