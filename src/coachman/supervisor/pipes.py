"""The supervisor's end of the pipes that applications print to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from coachman.protocol.lines import LineSplitter

READ_SIZE = 64 * 1024
PIPE_CAPACITY = 1024 * 1024
"""Bytes that a pipe holds at most (/proc/sys/fs/pipe-max-size, by default)."""


class PipeReader:
    """Passes on what arrives in a pipe; an empty `data` says that its writers have closed it.

    It takes over `fd` and closes it at the end of the stream, or when `close` is called.
    """

    def __init__(self, fd: int, receive: Callable[[bytes], None]) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self.ended = False
        self._loop.add_reader(fd, self._on_readable)

    def read_available(self) -> None:
        """Read what is there already, and no more than a pipe can hold: its writer may go on writing."""
        for _ in range(PIPE_CAPACITY // READ_SIZE):
            if self.ended or not self._on_readable():
                break

    def close(self) -> None:
        """Read what is there already, then close. Again: nothing happens."""
        self.read_available()
        if not self.ended:
            self._end()

    def _on_readable(self) -> bool:
        """Read once; return False where nothing was there."""
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return False
        if data:
            self._receive(data)
        else:
            self._end()
        return True

    def _end(self) -> None:
        fd, self._fd = self._fd, -1
        self._loop.remove_reader(fd)
        os.close(fd)
        self.ended = True
        self._receive(b"")


class LineReceiver:
    """Receives the bytes of one stream and passes whole lines on; `partial` is how the first one begins."""

    def __init__(self, write: Callable[[list[bytes]], None], partial: bytes = b"") -> None:
        self._write = write
        self._splitter = LineSplitter(partial)

    def __call__(self, data: bytes) -> None:
        lines = self._splitter.feed(data) if data else self._splitter.flush()
        if lines:
            self._write(lines)
