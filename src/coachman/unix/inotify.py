"""Being told by the kernel of changes in folders (inotify(7))."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from enum import IntFlag

READ_SIZE = 64 * 1024
_HEADER = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Change(IntFlag):
    """What can happen in a folder; bits of the kernel's masks."""

    ATTRIBUTES = 0x4
    """The times or the mode of a file changed: what touch(1) does to one that exists."""
    CLOSE_WRITE = 0x8
    """A file that was open for writing was closed."""
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    """The folder itself was removed."""
    MOVE_SELF = 0x800
    OVERFLOW = 0x4000
    """The kernel had more to tell than it could keep; the event belongs to no folder."""
    IGNORED = 0x8000
    """There will be no more of this folder: the watch, or the folder, is gone."""


ONLY_FOLDERS = 0x0100_0000


@dataclass(frozen=True, slots=True)
class FolderEvent:
    """A change."""

    watch: int
    """What `Inotify.watch` returned; -1 where it belongs to no folder."""
    change: int
    """Bits of `Change`."""
    name: bytes
    """What it happened to in the folder; b"" where that is the folder itself."""


class Inotify:
    """A queue of changes, with the descriptor `fd` that is readable when there are some. It owns that.

    Raises OSError where the kernel gives no further one to this user (EMFILE).
    """

    def __init__(self) -> None:
        """Make an empty queue."""
        self.fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")

    def watch(self, folder: str, changes: int) -> int:
        """Queue these `changes` in `folder`; return a number for it, the same for the same folder.

        Raises OSError: ENOENT, ENOTDIR, EACCES, or ENOSPC where this user watches too many things.
        """
        return _checked(_libc.inotify_add_watch(self.fd, os.fsencode(folder), changes | ONLY_FOLDERS), folder)

    def unwatch(self, watch: int) -> None:
        """Queue nothing more of this folder; one that is gone already is no error."""
        _libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[FolderEvent]:
        """Return what has happened; never waits."""
        try:
            data = os.read(self.fd, READ_SIZE)
        except BlockingIOError:
            return []
        events = []
        offset = 0
        while offset < len(data):
            watch, change, _cookie, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            events.append(FolderEvent(watch, change, data[offset : offset + length].rstrip(b"\0")))
            offset += length
        return events

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
