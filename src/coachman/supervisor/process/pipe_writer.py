"""The supervisor's end of the pipe that an application reads from."""

from __future__ import annotations

import asyncio
import os


class PipeWriter:
    """Writes to a pipe without ever waiting for its reader: what the pipe does not take is kept, in order.

    It takes over `fd` and closes it when `close` is called. What is written after that, or after the reader
    has gone, is dropped.
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._kept = b""
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        """Write `data`, now or when there is room."""
        if self._fd < 0:
            return
        was_waiting = bool(self._kept)
        self._kept += data
        if not was_waiting:
            self._flush()
            if self._kept:
                self._loop.add_writer(self._fd, self._on_writable)

    def close(self) -> None:
        """Close the pipe, which its reader sees as the end. What did not fit into it is dropped."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        if self._kept:
            self._kept = b""
            self._loop.remove_writer(fd)
        os.close(fd)

    def _on_writable(self) -> None:
        self._flush()
        if not self._kept:
            self._loop.remove_writer(self._fd)

    def _flush(self) -> None:
        try:
            self._kept = self._kept[os.write(self._fd, self._kept) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._kept = b""
