"""What the kernel lets one ask of a pipe beside reading and writing."""

from __future__ import annotations

import array
import fcntl
import termios
from contextlib import suppress
from typing import Final

DEFAULT_SIZE: Final = 64 * 1024
"""Bytes that pipes hold nearly everywhere, unless the kernel is asked."""


def enlarge(fd: int, size: int) -> int:
    """Let the pipe hold `size` bytes, where the kernel allows it; return how many it holds.

    It stays as it is where not. EPERM: over fs.pipe-max-size, or the user's share (fs.pipe-user-pages-soft)
    is used up. AttributeError: not on Linux.
    """
    with suppress(OSError, AttributeError):
        return fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
    with suppress(OSError, AttributeError):
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    return DEFAULT_SIZE


def waiting_bytes(fd: int) -> int:
    """Return how many bytes are in the pipe and have not been read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]
