"""The undertaker: it outlives a supervisor that was killed, for as long as the workers may take to finish.

It is executed as a file, by an interpreter without site-packages (``-I -S``), and imports next to nothing: it
waits for the whole life of a supervisor, mostly in vain. It holds descriptors, and lets go of them:

    __main__.py OURS LISTENERS LIFELINES

OURS is a lower end of the supervisor's own lifeline. LISTENERS are the listening sockets, with commas between
them, or nothing. LIFELINES are the upper ends of those that workers depend on, each as ``FD:SECONDS``. When
this process ends, however that comes, the kernel kills what still depends on them. It is started with every
signal blocked: SIGKILL ends it, and nothing else does.
"""

import os
import select
import sys
import time

# Not socket, which brings enum and selectors: a third of this process.
from _socket import SHUT_RDWR, socket

NAME = "undertaker"
"""What ps shows for the command; 15 bytes at most (PR_SET_NAME in prctl(2))."""

LONGEST_WAIT = 86_400.0
"""Seconds: poll(2) takes no more milliseconds than an int holds, which is less than 25 days."""


def main(ours: str, listeners: str, lifelines: str) -> None:
    """Wait for the end of the supervisor; stop listening in its place; let the workers finish."""
    try:
        with open("/proc/self/comm", "w") as comm:
            comm.write(NAME)
    except OSError:
        pass
    wait_for_hangup(int(ours))
    for fd in filter(None, listeners.split(",")):
        stop_listening(int(fd))
    seconds = {}
    for lifeline in filter(None, lifelines.split(",")):
        fd, _, patience = lifeline.partition(":")
        seconds[int(fd)] = float(patience)
    hold(seconds)


def wait_for_hangup(fd: int) -> None:
    """Return once the pipe that `fd` reads has no writer any more."""
    poll = select.poll()
    poll.register(fd, 0)  # POLLHUP is reported unasked
    poll.poll()


def stop_listening(fd: int) -> None:
    """Make the listening socket `fd` deaf in all processes that have it: another one can be bound at once.

    A worker could close it no sooner than it has the time to, and one that is stopped not at all. Clients
    that nobody has accepted are refused, as they are when the last listener closes.
    """
    try:
        socket(fileno=fd).shutdown(SHUT_RDWR)
    except OSError:
        pass  # ENOTCONN: done by somebody else


def hold(lifelines: dict[int, float]) -> None:
    """Keep each of `lifelines` for its seconds, but no longer than somebody is at the other end; close it."""
    began = time.monotonic()
    poll = select.poll()
    for fd in lifelines:
        poll.register(fd, 0)  # POLLERR, once there is no reader any more, is reported unasked
    while lifelines:
        next_one = min(lifelines.values())
        patience = min(max(0.0, began + next_one - time.monotonic()), LONGEST_WAIT)
        unused = [fd for fd, _ in poll.poll(patience * 1000)]
        passed = time.monotonic() - began
        for fd in [fd for fd, seconds in lifelines.items() if fd in unused or seconds <= passed]:
            del lifelines[fd]
            poll.unregister(fd)
            os.close(fd)


if __name__ == "__main__":
    main(*sys.argv[1:])
