"""The application side of the stdio channel: it moves the channel out of the application's reach."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from io import TextIOWrapper

from coachman.errors import CoachmanError
from coachman.protocol.stdio import AdvertisedSocket
from coachman.protocol.value import Value
from coachman.protocol.wrapper_half import WrapperHalf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

READ_SIZE = 64 * 1024


class SupervisorGone(CoachmanError):
    """The supervisor closed the channel before it had sent its request."""


class FileIdentity(Value):
    """What a descriptor refers to, by device and inode: a pipe, too, has its own."""

    device: int
    inode: int

    @classmethod
    def of(cls, fd: int) -> Self:
        """Look it up; raise OSError where `fd` is not open."""
        status = os.fstat(fd)
        return cls(status.st_dev, status.st_ino)


class Wrapper:
    """Owns the stdio channel of this process on two private, close-on-exec descriptors.

    What the application does to 0, 1 and 2 does not reach the channel. `take_over` makes it in a process that
    was executed, `in_fork` in one that was forked with the application loaded.
    """

    def __init__(self, stdin: int, channel: int) -> None:
        self.stdin = stdin
        """At its end once the supervisor is gone."""
        self._channel = channel
        self._half = WrapperHalf()
        self._stdout: FileIdentity | None = None
        """What 1 was put on for the application; None: not yet."""
        self._stderr = FileIdentity.of(2)

    @classmethod
    def take_over(cls) -> Self:
        """Move the channel away from 0 and 1, on which the process was started.

        Then 0 is the null device, and what is printed to 1 goes where 2 goes until `redirect_stdout`.
        """
        wrapper = cls(os.dup(0), os.dup(1))
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        # Python buffers what goes to a pipe in blocks; a log wants every line when it is printed.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
        return wrapper

    @classmethod
    def in_fork(cls, parents: Wrapper, stdin: int, stdout: int, stderr: int) -> Self:
        """Take over the three pipes of a process that was forked from the one that has `parents`.

        Where the application has put something else on 1 or 2, that stays.
        """
        os.close(parents.stdin)
        if FileIdentity.of(2) == parents._stderr:
            os.dup2(stderr, 2)
        os.close(stderr)
        wrapper = cls(stdin, stdout)
        wrapper._stdout = parents._stdout
        return wrapper

    def negotiate(self) -> dict[str, str]:
        """Ask for the request and return its fields; raise `SupervisorGone` where none comes."""
        self._write(self._half.greeting())
        while not self._half.complete:
            data = os.read(self.stdin, READ_SIZE)
            if not data:
                raise SupervisorGone("the supervisor closed the channel before it had sent its request")
            self._half.receive(data)
        return self._half.request

    def redirect_stdout(self) -> int:
        """Give descriptor 1 a pipe of its own, unless the application has put something else there.

        Returns the read end, for the supervisor, which the caller owns.
        """
        read_end, write_end = os.pipe()
        if self._stdout is None or FileIdentity.of(1) == self._stdout:
            os.dup2(write_end, 1)
            self._stdout = FileIdentity.of(1)
        os.close(write_end)
        return read_end

    def read_ends(self) -> list[int]:
        """Return descriptors that read what is printed to 1 and 2, where the application left them alone.

        The caller owns them. As long as they are open, nobody who prints there gets EPIPE or SIGPIPE. They
        do not block. None where there is no /proc.
        """
        found = []
        for fd, ours in ((1, self._stdout), (2, self._stderr)):
            with suppress(OSError):
                if FileIdentity.of(fd) == ours:
                    found.append(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        return found

    def ready(self, sockets: Iterable[AdvertisedSocket]) -> None:
        """Report that the application takes requests; closes the channel's output."""
        self._report(self._half.ready(sockets, pid=os.getpid()))

    def error(self, text: str) -> None:
        """Report that the start failed; closes the channel's output."""
        self._report(self._half.error(text))

    def _report(self, data: bytes) -> None:
        self._write(data)
        os.close(self._channel)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._channel, data) :]
