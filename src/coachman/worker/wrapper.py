"""The application side of the stdio channel: it moves the channel out of the application's reach."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress

from coachman.errors import CoachmanError
from coachman.protocol.stdio import AdvertisedSocket
from coachman.protocol.wrapper_half import WrapperHalf

READ_SIZE = 64 * 1024


class SupervisorGone(CoachmanError):
    """The supervisor closed the channel before it had sent its request."""


class Wrapper:
    """Owns the stdio channel of this process on two private, close-on-exec descriptors.

    From the moment it exists, descriptor 0 is the null device, and what is printed to 1 goes where 2 goes,
    until `redirect_stdout` gives it a pipe of its own: nothing that the application does to 0 and 1 reaches
    the channel.
    """

    def __init__(self) -> None:
        self.stdin = os.dup(0)
        """At its end once the supervisor is gone."""
        self._channel = os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self._half = WrapperHalf()

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
        """Give descriptor 1 a pipe of its own and return the read end, for the supervisor."""
        read_end, write_end = os.pipe()
        os.dup2(write_end, 1)
        os.close(write_end)
        # Python buffers what goes to a pipe in blocks; a log wants every line when it is printed.
        # In a forked worker the application may have closed or replaced the stream, and then it knows why.
        with suppress(AttributeError, OSError, ValueError):
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper, normally
        return read_end

    def ready(self, sockets: Iterable[AdvertisedSocket]) -> None:
        """Report that the application takes requests; closes the channel's output."""
        self._report(self._half.ready(sockets, pid=os.getpid()))

    def error(self, text: str) -> None:
        """Report that the start failed; closes the channel's output."""
        self._report(self._half.error(text))

    def close(self) -> None:
        """Give up the channel's input, in a process that was forked and has a channel of its own."""
        os.close(self.stdin)

    def _report(self, data: bytes) -> None:
        self._write(data)
        os.close(self._channel)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._channel, data) :]
