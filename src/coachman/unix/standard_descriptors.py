"""Descriptors 0, 1 and 2: they must never become the number of something of ours.

A connection that the kernel gives the number 1, because somebody has closed that, is sent what is printed.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Final

FIRST_OTHER: Final = 3


def keep_standard_descriptors() -> None:
    """Put the null device where 0, 1 or 2 is closed."""
    while (null := os.open(os.devnull, os.O_RDWR)) < FIRST_OTHER:  # the lowest number that is free
        os.set_inheritable(null, True)
    os.close(null)


def above_standard(sock: socket.socket) -> socket.socket:
    """Return `sock`, which is taken over, on a number above 2, and fill the gap in which it was."""
    if sock.fileno() >= FIRST_OTHER:
        return sock
    import fcntl  # here, as every command imports this module, and few have anything to lift
    import socket

    lifted = socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, FIRST_OTHER))
    sock.close()
    keep_standard_descriptors()
    return lifted
