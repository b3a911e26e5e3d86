"""The descriptors 0, 1 and 2 of an application process: the application may do to them what it likes.

They must never become the number of something of ours: a connection that the kernel gives the number 1, once
the application has closed that, would be sent what the application prints.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from typing import Final, TypeAlias

STANDARD: Final = (0, 1, 2)
FIRST_OTHER: Final = 3

Identity: TypeAlias = tuple[int, int]
"""What a descriptor leads to: two that lead to the same have the same."""


def fill_gaps() -> None:
    """Point those of 0, 1 and 2 that are closed to the null device."""
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            fd = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            if fd == number:  # the lowest that is free (open(2))
                os.set_inheritable(fd, True)
            else:  # another thread was faster
                os.close(fd)


def lift(sock: socket.socket) -> socket.socket:
    """Return `sock`, taken over, under a number above 2: the application has closed the one that it got."""
    if sock.fileno() >= FIRST_OTHER:
        return sock
    lifted = socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, FIRST_OTHER))
    sock.close()
    fill_gaps()
    return lifted


def report(text: str) -> None:
    """Tell the application's stderr something, if there is anybody to be told."""
    try:
        print(text, file=sys.stderr, flush=True)
    except Exception:  # closed, or the application's own object, which may raise whatever it likes
        pass


class Redirections:
    """Notes where 1 and 2 lead, and finds out later which of them the application has redirected.

    A worker that is forked from a preloader gets pipes of its own on 1 and 2. What the application redirected
    when it was loaded has to stay redirected there.
    """

    def __init__(self) -> None:
        self._given = {number: _identity(number) for number in (1, 2)}
        self._kept: dict[int, int] = {}

    def keep(self) -> None:
        """Keep, on descriptors of our own, what the application has put on 1 and 2."""
        for number, given in self._given.items():
            if _identity(number) != given:
                self._kept[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, FIRST_OTHER)

    def restore(self) -> None:
        """Put it back there, in the worker."""
        for number, fd in self._kept.items():
            os.dup2(fd, number)
            os.close(fd)
        self._kept.clear()


def _identity(number: int) -> Identity:
    status = os.fstat(number)
    return status.st_dev, status.st_ino
