"""What ends a worker whose supervisor is gone, whatever it is doing at that moment."""

from __future__ import annotations

import fcntl
import os
import select
import signal


def end_with_writer_of(pipe: int) -> None:
    """Have this process's group killed when the last writer of `pipe` is gone, or has written to it again.

    The process has to lead its group; what the application started goes with it. The kernel does it
    (F_SETSIG and F_SETOWN in fcntl(2)): a thread that watches would wait for the interpreter as long as C
    code holds it, would not run in a process that is stopped, and would be one thread too many before a fork.
    PR_SET_PDEATHSIG would leave the children. `pipe` has to stay open.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    # From here on the kernel tells; what happened before has to be looked for.
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if poll.poll(0):
        os.killpg(0, signal.SIGKILL)
