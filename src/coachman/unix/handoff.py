"""The handoff queue: open sockets that belong to nobody, in the order in which they were put there.

It has two lanes, the second for those that are taken before the others. Each is a `SOCK_SEQPACKET` pair that
many processes have inherited. A message carries one descriptor and a few bytes; the kernel gives each message
to one reader. It keeps what it carries open for as long as anybody has both ends.

The other direction of a lane carries calls: who begins to take says so to those that wait for somebody.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

BUFFER_SIZE: Final = 4 * 1024 * 1024
"""What is asked of the kernel, which gives at most net.core.wmem_max: some hundred messages fit into that."""

LANES: Final = 2

OVERTAKING_SECONDS: Final = 0.25
"""How long each process takes from the express lane alone while somebody waits in the other."""

_DESCRIPTOR_SIZE: Final = array.array("i").itemsize
_ROOM: Final = socket.CMSG_SPACE(_DESCRIPTOR_SIZE)

_NOTHING: Final = b"\0"
"""A message without a descriptor, which is passed over: it only wakes."""

# ETOOMANYREFS: a user may have as many descriptors on their way as RLIMIT_NOFILE says (unix(7)).
_FULL: Final = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS}
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE}


class NoDescriptorLeft(OSError):
    """The process can take no more descriptors; what is in the queue stays there."""


class HandoffQueue:
    """All ends of the queue in this process. It owns their descriptors."""

    def __init__(self, descriptors: Sequence[int], clock: Callable[[], float] = time.monotonic) -> None:
        """Take over the ownership of what `descriptors` returns elsewhere, all of it non-blocking."""
        self._clock = clock
        put, take, put_express, take_express = descriptors
        self._main, self._express = _Lane(put, take), _Lane(put_express, take_express)
        self._overtaking_since: float | None = None
        """Since when this process has looked into the express lane alone, and found something there."""

    @classmethod
    def create(cls) -> HandoffQueue:
        """Make an empty queue; raise OSError where there is no descriptor left."""
        main = _Lane.create()
        try:
            express = _Lane.create()
        except OSError:
            main.close()
            raise
        return cls([end.detach() for lane in (main, express) for end in lane.ends])

    @property
    def descriptors(self) -> list[int]:
        """What another process needs to use the queue: two for each lane."""
        return [end.fileno() for lane in (self._main, self._express) for end in lane.ends]

    @property
    def put_fd(self) -> int:
        """Writable while there is room for whatever is put."""
        return self._main.put_end.fileno()

    @property
    def take_fds(self) -> list[int]:
        """One of them is readable while something is there."""
        return [lane.take_end.fileno() for lane in (self._main, self._express)]

    @property
    def size(self) -> int:
        """Bytes of all messages that are there."""
        return self._main.size + self._express.size

    def put(self, sock: socket.socket, message: bytes, *, express: bool = False) -> bool:
        """Put a duplicate of `sock`, which stays the caller's, at the end of a lane; False: there is no room.

        Who has put it there closes its own socket then, without shutdown(2).
        """
        return (express and self._express.put(sock, message)) or self._main.put(sock, message)

    def take(self, max_size: int) -> tuple[socket.socket, bytes] | None:
        """Take what is first, a socket that is the caller's and a message of at most so many bytes.

        What is in the express lane goes first, for up to `OVERTAKING_SECONDS`. Returns None where nothing
        is there. Raises `NoDescriptorLeft`.
        """
        since, now = self._overtaking_since, self._clock()
        if since is not None and now - since >= OVERTAKING_SECONDS:
            self._overtaking_since = None
            return self._main.take(max_size) or self._express.take(max_size)
        taken = self._express.take(max_size)
        if taken is None:
            self._overtaking_since = None
            return self._main.take(max_size)
        if since is None:
            self._overtaking_since = now
        return taken

    def wake(self) -> None:
        """Wake one of those that wait for something to take, without changing what is there."""
        self._main.wake()

    def call_out(self) -> None:
        """Make `put_fd` readable, for those that wait for somebody who takes."""
        self._main.call_out()

    def forget_calls(self) -> None:
        """Make `put_fd` readable again by the next call only."""
        self._main.forget_calls()

    def close(self) -> None:
        """Close all ends in this process; the last process to do so closes what is in the queue."""
        self._main.close()
        self._express.close()


class _Lane:
    """Both ends of one line."""

    def __init__(self, put_fd: int, take_fd: int) -> None:
        self.put_end = socket.socket(fileno=put_fd)
        self.take_end = socket.socket(fileno=take_fd)

    @classmethod
    def create(cls) -> Self:
        put_end, take_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        for option in ("SO_SNDBUFFORCE", "SO_SNDBUF"):  # beyond the limit, where we may
            # Python does not name the first (socket(7)).
            number = getattr(socket, option, 32)
            with suppress(PermissionError):
                put_end.setsockopt(socket.SOL_SOCKET, number, BUFFER_SIZE)
                break
        return cls(put_end.detach(), take_end.detach())

    @property
    def ends(self) -> tuple[socket.socket, socket.socket]:
        return self.put_end, self.take_end

    @property
    def size(self) -> int:
        """Do as `HandoffQueue.size`."""
        size = array.array("i", [0])
        fcntl.ioctl(self.take_end.fileno(), termios.FIONREAD, size)  # of a SOCK_SEQPACKET: of all messages
        return size[0]

    def put(self, sock: socket.socket, message: bytes) -> bool:
        """Do as `HandoffQueue.put`."""
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
        """Do as `HandoffQueue.wake`."""
        _poke(self.put_end)

    def take(self, max_size: int) -> tuple[socket.socket, bytes] | None:
        """Do as `HandoffQueue.take`."""
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
        """Do as `HandoffQueue.call_out`."""
        _poke(self.take_end)

    def forget_calls(self) -> None:
        """Do as `HandoffQueue.forget_calls`."""
        with suppress(BlockingIOError):
            while self.put_end.recv(1):
                pass

    def close(self) -> None:
        """Close both ends in this process."""
        self.put_end.close()
        self.take_end.close()


def _poke(end: socket.socket) -> None:
    """Make the other end readable; where there is no room for a message, it is."""
    try:
        end.send(_NOTHING, socket.MSG_NOSIGNAL)
    except OSError as error:
        if error.errno not in _FULL:
            raise
