"""How `coachman spawn` is asked to stop: by the end of its input or by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from coachman.unix.signals import signal_name

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STDIN = 0
READ_SIZE = 64 * 1024


class StopRequest:
    """Waits for the request to stop; calls `on_repeated` when a signal comes after it."""

    def __init__(self, on_repeated: Callable[[], None]) -> None:
        self._on_repeated = on_repeated
        self._loop = asyncio.get_running_loop()
        self.asked: asyncio.Future[str] = self._loop.create_future()
        """Done with the reason once there is a request."""
        self.repeated = False
        self._reading = False
        for number in STOP_SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal, number)

    def watch_input(self) -> None:
        """Take the end of standard input for a request, from now on. What comes before the end is dropped."""
        try:
            self._loop.add_reader(STDIN, self._on_readable)
            self._reading = True
        except OSError:
            # EPERM: a file or /dev/null, which epoll does not take, and which end at once. EBADF: closed.
            self._on_end_of_input()

    def close(self) -> None:
        """Give the signals back their default meaning and leave the input alone."""
        for number in STOP_SIGNALS:
            self._loop.remove_signal_handler(number)
        self._stop_reading()

    def _on_readable(self) -> None:
        data = b""
        with suppress(OSError):  # EIO: the terminal is gone, which is an end as well
            try:
                data = os.read(STDIN, READ_SIZE)
            except BlockingIOError:  # somebody else who has the same stdin was faster
                return
        if not data:
            self._on_end_of_input()

    def _on_end_of_input(self) -> None:
        self._stop_reading()
        if not self.asked.done():
            self.asked.set_result("end of input")

    def _stop_reading(self) -> None:
        if self._reading:
            self._loop.remove_reader(STDIN)
            self._reading = False

    def _on_signal(self, number: int) -> None:
        if self.asked.done():
            self.repeated = True
            self._on_repeated()
        else:
            self.asked.set_result(signal_name(number))
