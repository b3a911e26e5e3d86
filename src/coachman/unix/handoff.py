"""The handoff queue: open sockets that belong to nobody, in the order in which they were put there.

A `SOCK_SEQPACKET` pair that many processes have inherited. A message carries one descriptor and a few
bytes; the kernel gives each message to one reader. It keeps what it carries open for as long as anybody
has both ends.

The pair's other direction carries calls: who begins to take says so to those that wait for somebody.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from contextlib import suppress
from typing import Final

BUFFER_SIZE: Final = 4 * 1024 * 1024
"""What is asked of the kernel, which gives at most net.core.wmem_max: some hundred messages fit into that."""

_DESCRIPTOR_SIZE: Final = array.array("i").itemsize
_ROOM: Final = socket.CMSG_SPACE(_DESCRIPTOR_SIZE)

# ETOOMANYREFS: a user may have as many descriptors on their way as RLIMIT_NOFILE says (unix(7)).
_NOTHING: Final = b"\0"
"""A message without a descriptor, which is passed over: it only wakes."""

_FULL: Final = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS}
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE}


class NoDescriptorLeft(OSError):
    """The process can take no more descriptors; what is in the queue stays there."""


class HandoffQueue:
    """Both ends of the queue in this process. It owns the two descriptors."""

    def __init__(self, put_fd: int, take_fd: int) -> None:
        """Take over the ownership of the two ends, which are non-blocking."""
        self.put_end = socket.socket(fileno=put_fd)
        self.take_end = socket.socket(fileno=take_fd)

    @classmethod
    def create(cls) -> HandoffQueue:
        """Make an empty queue; raise OSError where there is no descriptor left."""
        put_end, take_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        for option in ("SO_SNDBUFFORCE", "SO_SNDBUF"):  # beyond the limit, where we may
            # Python does not name the first (socket(7)).
            number = getattr(socket, option, 32)
            with suppress(PermissionError):
                put_end.setsockopt(socket.SOL_SOCKET, number, BUFFER_SIZE)
                break
        return cls(put_end.detach(), take_end.detach())

    def put(self, sock: socket.socket, message: bytes) -> bool:
        """Put a duplicate of `sock`, which stays the caller's, at the end; False: there is no room.

        Who has put it there closes its own socket then, without shutdown(2).
        """
        descriptor = array.array("i", [sock.fileno()])
        try:
            self.put_end.sendmsg(
                [message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)], socket.MSG_NOSIGNAL
            )
        except OSError as error:
            if error.errno in _FULL:
                return False
            raise
        return True

    def wake(self) -> None:
        """Wake one of those that wait for something to take, without changing what is there."""
        with suppress(BlockingIOError):  # whoever takes something makes room, and so is awake
            self.put_end.send(_NOTHING, socket.MSG_NOSIGNAL)

    def take(self, max_size: int) -> tuple[socket.socket, bytes] | None:
        """Take what is first, a socket that is the caller's and a message of at most so many bytes.

        Returns None where nothing is there. Raises `NoDescriptorLeft`.
        """
        while True:
            try:
                self.take_end.recv(1, socket.MSG_PEEK)  # mostly there is nothing, which is to cost little
            except BlockingIOError:
                return None
            # Where there is no number for it, the kernel drops the descriptor with its message: so look.
            try:
                os.close(os.dup(self.take_end.fileno()))
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    raise NoDescriptorLeft(error.errno, os.strerror(error.errno)) from None
                raise
            try:
                message, ancillary, _flags, _ = self.take_end.recvmsg(
                    max_size, _ROOM, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return None
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS) and len(data) >= _DESCRIPTOR_SIZE:
                    (fd,) = array.array("i", data[:_DESCRIPTOR_SIZE])
                    return socket.socket(fileno=fd), message
            if not message:
                return None  # the end of the stream: nobody can put anything there any more
            if message != _NOTHING:
                break
        # Another thread of the application has taken the last number in between.
        raise NoDescriptorLeft(errno.EMFILE, os.strerror(errno.EMFILE) + "; a connection was lost by it")

    def call_out(self) -> None:
        """Make the end where connections are put readable, for those that wait for somebody who takes."""
        with suppress(BlockingIOError):  # full of calls that nobody has waited for: it is readable
            self.take_end.send(b"\0", socket.MSG_NOSIGNAL)

    def forget_calls(self) -> None:
        """Make that end readable again by the next call only."""
        with suppress(BlockingIOError):
            while self.put_end.recv(1):
                pass

    def close(self) -> None:
        """Close both ends in this process; the last process to do so closes what is in the queue."""
        self.put_end.close()
        self.take_end.close()
