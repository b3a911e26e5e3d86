"""Control sockets in the file system: made, found, connected to, and who is at the other end."""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

SUFFIX: Final = ".sock"
BACKLOG: Final = 128
LONGEST_NAME: Final = 60
"""Bytes of the names of applications in that of the file."""
_NAME: Final = re.compile(r"(\d+)-(.*)\.sock")
_TIMEVAL: Final = struct.Struct("ll")
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred of socket(7): pid, uid, gid


@dataclass(frozen=True, slots=True)
class SocketName:
    """The name of a control socket's file."""

    file: str
    pid: int
    applications: str
    """The names of the applications, as far as a file name has room for them."""


def socket_name(pid: int, applications: list[str]) -> str:
    """Return the file name for a supervisor."""
    words = re.sub(r"[^\w.+]+", "_", "+".join(applications))
    return f"{pid}-{words.encode()[:LONGEST_NAME].decode(errors='ignore')}{SUFFIX}"


def socket_names(folder: int) -> list[SocketName]:
    """Return the control sockets in the folder behind the descriptor, by pid; some may be stale."""
    found = [
        SocketName(name, int(match[1]), match[2])
        for name in os.listdir(folder)
        if (match := _NAME.fullmatch(name))
    ]
    return sorted(found, key=lambda socket: socket.pid)


def listen_in(folder: int, name: str) -> socket.socket:
    """Return a socket that listens in the folder behind the descriptor, for its owner only (mode 0600).

    It appears under its name once it listens, so whoever finds a socket that refuses can take it for stale.
    Raises OSError.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The mode that bind(2) gives the file is the socket's, less the umask.
        os.fchmod(sock.fileno(), 0o600)
        temporary = f".{name}"
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        sock.bind(_path(folder, temporary))
        sock.listen(BACKLOG)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def connect_in(folder: int, name: str, timeout: float) -> socket.socket:
    """Return a socket connected to that of a supervisor, within so many seconds.

    Raises `ConnectionRefusedError` where nobody listens any more, other OSErrors where it cannot be reached.
    """
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(f"{name} is not a socket")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Blocking, with the kernel's own timeout: a connect that does not block fails with EAGAIN where the
        # queue of a unix socket is full, and there is nothing to wait for it by.
        seconds, rest = divmod(timeout, 1)
        limit = _TIMEVAL.pack(int(seconds), int(rest * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        sock.connect(_path(folder, name))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(0, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def peer_uid(sock: socket.socket) -> int:
    """Return the user that the peer had when it connected or listened (SO_PEERCRED, unix(7))."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])


def _path(folder: int, name: str) -> str:
    # An address has room for 107 bytes, and folders may have longer paths.
    return f"/proc/self/fd/{folder}/{name}"
