"""The socket of a service manager that takes notifications, as sd_notify(3) has it."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Final

MOST_WAITING: Final = 64
"""Messages that wait for a manager that reads none; the oldest go first."""


class NotifySocket:
    """Sends datagrams to a service manager, from the event loop's thread, and never waits or fails.

    What the manager does not take at once is sent when it does; what cannot be sent at all is dropped, and
    `problem` says why the first was.
    """

    def __init__(self, address: str) -> None:
        """Prepare to send to `address`: a path, or a name in the abstract namespace after an "@"."""
        self.problem = ""
        self._target = f"\0{address[1:]}" if address.startswith("@") else address
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        if not address.startswith(("/", "@")):
            self.problem = "it is neither a path nor an abstract name"
            return
        try:
            self._sock.connect(self._target)
        except OSError as error:
            self.problem = error.strerror or str(error)

    def send(self, message: bytes) -> None:
        """Send `message` after those that wait."""
        self._waiting.append(message)
        self._send_waiting()

    def offer(self, message: bytes) -> None:
        """Send `message` now, or not at all where it would have to wait."""
        if not self._waiting:
            self.send(message)
            if self._waiting:
                self._waiting.clear()
                self._loop.remove_writer(self._sock)

    def close(self) -> None:
        """Close the socket; what waits is lost."""
        self._loop.remove_writer(self._sock)
        self._sock.close()

    def _send_waiting(self) -> None:
        while self._waiting:
            try:
                self._sock.send(self._waiting[0])
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._send_waiting)
                return
            except OSError as error:
                # The manager is gone, or a filter forbids it. There is nobody to whom that would matter more.
                self.problem = self.problem or error.strerror or str(error)
            self._waiting.popleft()
        self._loop.remove_writer(self._sock)
