"""Taking one connection from a listening socket."""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from coachman.unix.standard_descriptors import above_standard

_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Exhausted(OSError):
    """There is no descriptor, or no memory, for the connection that waits: it would be so again at once."""


def accept(listener: socket.socket) -> tuple[socket.socket, Any] | None:
    """Return a non-blocking connection, which is the caller's, and the address of its peer.

    Returns None where none is there (any more), and raises `Exhausted`.
    """
    try:
        sock, address = listener.accept()
        # Somebody may have closed 0, 1 or 2, and what is printed there must not go to this peer.
        sock = above_standard(sock)
    except BlockingIOError:
        return None  # another process was faster
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise Exhausted(error.errno, error.strerror) from None
        return None  # anything else is the fate of one connection (accept(2), "Error handling")
    sock.setblocking(False)
    return sock, address
