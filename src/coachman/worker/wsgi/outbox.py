"""What a connection has to send, and what of it the kernel has not taken yet."""

from __future__ import annotations

import socket
from collections import deque
from select import POLLOUT, poll


class ClientGone(ConnectionError):
    """The peer closed the connection or took nothing for too long; `write()` raises it to the application."""


class Outbox:
    """Sends bytes on a non-blocking socket, in order, and keeps what the kernel does not take at once."""

    __slots__ = ("_socket", "_timeout", "gone", "pending", "sent_this_turn")

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        """`timeout`: seconds for which a thread waits until the peer takes some of it; 0: for ever."""
        self._socket = sock
        self._timeout = timeout
        self.pending: deque[bytes | memoryview] = deque()
        """What the kernel has not taken yet."""
        self.gone = False
        """The peer is gone: nothing can be sent any more, and nothing is kept."""
        self.sent_this_turn = 0
        """Bytes given to `send` since whoever serves the connection last set this to 0."""

    def send(self, data: bytes) -> None:
        """Give `data` to the kernel, keeping back what it does not take."""
        self.sent_this_turn += len(data)
        if self.pending:
            self.pending.append(data)
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.gone = True
            return
        if sent < len(data):
            self.pending.append(memoryview(data)[sent:])

    def flush(self) -> bool:
        """Send what was kept back; return whether all of it is gone now."""
        pending = self.pending
        while pending:
            data = pending[0]
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                return False
            except OSError:
                self.give_up()
                break
            if sent == len(data):
                pending.popleft()
            else:
                pending[0] = memoryview(data)[sent:]
        return True

    def wait_until_sent(self) -> None:
        """Block this thread until the kernel has it all; raise `ClientGone` where the peer takes nothing."""
        writable = poll()
        writable.register(self._socket, POLLOUT)
        while not self.flush():
            if not writable.poll(self._timeout * 1000 if self._timeout else None):
                self.give_up()
        if self.gone:
            raise ClientGone("the client takes no more of the response")

    def give_up(self) -> None:
        """Take the peer for gone, and keep nothing for it."""
        self.gone = True
        self.pending.clear()
