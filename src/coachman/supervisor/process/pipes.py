"""The supervisor's end of the pipes that applications print to."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final

from coachman.protocol.lines import LineBlocks
from coachman.supervisor.log.gate import Gate
from coachman.unix.pipes import enlarge, waiting_bytes

PIPE_SIZE = 256 * 1024
"""Bytes that a pipe is to hold.

Four times the kernel's default spares a fast writer three of four waits. Not the megabyte that the kernel
would allow: a user's pipes may hold 64 MiB together, and over that each further pipe of that user, of
whatever program, is made with two pages (pipe(7)).
"""

READ_SIZE = PIPE_SIZE
"""Bytes that are read in one turn of the loop: each pipe gets its turn before any gets another.

All that there may be: every block that is read is handed to the thread that writes, which costs both threads
more than the reading (measured: a third of the CPU time, with a quarter of this).
"""


REST_SECONDS: Final = 0.01
"""How long a pipe is left alone that gets many small writes, once it was read.

A reader that waits is woken by each of them, and takes the processor from whoever writes if there is no
other. Of 60,000 lines a second, as an access log may have them, a quarter of `PIPE_SIZE` comes meanwhile.
"""


class PipeReader:
    """Passes on what arrives in a pipe; an empty `data` says that its writers have closed it.

    It takes over `fd` and closes it at the end of the stream, or when `close` is called. While `gate` is
    shut, it leaves in the pipe what is there; an `urgent` one reads on, since more than output travels in it.
    After a read that has found the pipe less than half full, it is left alone for `rest` seconds: what is
    written then waits in the kernel, where it outlives its writer.
    """

    def __init__(
        self,
        fd: int,
        receive: Callable[[bytes], None],
        gate: Gate,
        *,
        urgent: bool = False,
        rest: float = 0.0,
    ) -> None:
        os.set_blocking(fd, False)
        self._half = enlarge(fd, PIPE_SIZE) // 2
        self.urgent = urgent
        self._rest = rest
        self._fd = fd
        self._receive = receive
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self.ended = False
        self._loop.add_reader(fd, self._on_readable)

    def read_available(self) -> None:
        """Read what is there at this moment, and no more: its writer may go on writing."""
        left = 0 if self.ended else waiting_bytes(self._fd)
        while left > 0 and (size := self._read()):
            left -= size

    async def hear_out(self, deadline: float) -> None:
        """Read what is there at this moment, as the gate allows; from `deadline` on, whatever it allows."""
        left = 0 if self.ended else waiting_bytes(self._fd)
        while left > 0:
            await self._gate.wait_open(deadline - time.monotonic())
            if self.ended or not (size := self._read()):
                break
            left -= size

    def close(self) -> None:
        """Read what is there already, then close. Again: nothing happens."""
        self.read_available()
        if not self.ended:
            self._end()

    def _on_readable(self) -> None:
        if not self._may_read():
            self._loop.remove_reader(self._fd)
            self._gate.at_opening(self._go_on)
        elif self._read() < self._half and self._rest and not self.ended:
            self._loop.remove_reader(self._fd)
            self._loop.call_later(self._rest, self._end_rest)

    def _end_rest(self) -> None:
        """Take what has come meanwhile and rest again; where that is nothing or a lot, watch the pipe."""
        if not self.ended and self._may_read() and 0 < self._read() < self._half:
            self._loop.call_later(self._rest, self._end_rest)
        else:
            self._go_on()

    def _may_read(self) -> bool:
        return self.urgent or self._gate.is_open

    def _go_on(self) -> None:
        if not self.ended:
            self._loop.add_reader(self._fd, self._on_readable)

    def _read(self) -> int:
        """Read once; return how many bytes there were, 0 also at the end of the stream."""
        # No more memory than there are bytes: a lot of it comes from the kernel page by page, each time.
        size = min(waiting_bytes(self._fd), READ_SIZE)
        try:
            data = os.read(self._fd, size or 1)  # to see whether it is the end
        except BlockingIOError:
            return 0
        if data:
            self._receive(data)
        else:
            self._end()
        return len(data)

    def _end(self) -> None:
        fd, self._fd = self._fd, -1
        self._loop.remove_reader(fd)
        os.close(fd)
        self.ended = True
        self._receive(b"")


class LineReceiver:
    """Receives the bytes of one stream and passes on blocks of whole lines, each line with its newline.

    `partial` is how the first line begins.
    """

    def __init__(self, write: Callable[[bytes], None], partial: bytes = b"") -> None:
        self._write = write
        self._blocks = LineBlocks(partial)

    def __call__(self, data: bytes) -> None:
        block = self._blocks.feed(data) if data else self._blocks.flush()
        if block:
            self._write(block)
