"""Opening a file that lies in a folder, whatever its name says and whatever symbolic links are on the way."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Final

# openat2(2). The number is the same on all architectures that Python runs on but Alpha.
_OPENAT2: Final = 437
_NO_MAGIC_LINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08

# O_NONBLOCK: opening a FIFO does not wait for its writer. It means nothing to a regular file.
FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

RACES: Final = 8
"""How often the kernel may ask to try again because something on the way was renamed."""

_UNAVAILABLE: Final = frozenset((errno.ENOSYS, errno.EPERM))
"""What a kernel before 5.6 says, and what a filter of system calls makes of it."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_STRICT: Final = _OpenHow(FLAGS, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGIC_LINKS)
_FOLLOWING: Final = _OpenHow(FLAGS, 0, _BENEATH | _NO_MAGIC_LINKS)


def open_beneath(folder: int, path: bytes, *, follow_symlinks: bool = False) -> int:
    """Open `path`, relative to the descriptor `folder`, for reading; the caller owns what is returned.

    Raises OSError: EXDEV where the path leaves the folder, ELOOP where a symbolic link is on the way and
    they are not followed, and what open(2) raises. Links that are followed may lead where they like inside
    the folder; openat2(2) takes an absolute one for one that leaves it, wherever it leads.
    """
    return _open(folder, path, follow_symlinks)


def open_with_openat2(folder: int, path: bytes, follow_symlinks: bool) -> int:
    """Do it in one system call, which the kernel keeps free of races."""
    how = _FOLLOWING if follow_symlinks else _STRICT
    number = 0
    for _ in range(RACES):
        fd: int = _syscall(_OPENAT2, folder, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number), path)


def open_and_compare(folder: int, path: bytes, follow_symlinks: bool) -> int:
    """Do it without openat2(2): look where the path has led to before anything there is opened.

    `O_PATH` finds a file without opening it, and /proc tells where it is now. If no link was followed, that
    is the folder's place and `path`; if one was, it is still below the folder. What has been found is
    what is opened, whatever becomes of the names meanwhile.
    """
    root = os.readlink(b"/proc/self/fd/%d" % folder)
    found = os.open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=folder)
    try:
        link = b"/proc/self/fd/%d" % found
        place, inside = os.readlink(link), root.rstrip(b"/") + b"/"
        if place != root and not place.startswith(inside):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        if not follow_symlinks and place != (root if path == b"." else inside + path):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return os.open(link, FLAGS)
    finally:
        os.close(found)


def _find_out(folder: int, path: bytes, follow_symlinks: bool) -> int:
    """Take the first way that works here, and stay with it."""
    global _open
    try:
        fd = open_with_openat2(folder, path, follow_symlinks)
    except OSError as error:
        if error.errno not in _UNAVAILABLE:
            raise
        _open = open_and_compare
        return open_and_compare(folder, path, follow_symlinks)
    _open = open_with_openat2
    return fd


_open: Callable[[int, bytes, bool], int] = _find_out
