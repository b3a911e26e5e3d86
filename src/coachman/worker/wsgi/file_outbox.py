"""An outbox that also sends parts of files, and sees what the answer to a request comes to."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from coachman.worker.complaints import complain
from coachman.worker.wsgi.outbox import Outbox

TURN_SIZE: Final = 256 * 1024
"""Bytes of files that go out before other connections get a turn."""

_NOT_FOR_SENDFILE: Final = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))
"""What a file system says whose files have to be read to be sent."""


class FileSpan:
    """The bytes of an open file from `start` up to, not including, `stop`. It owns the descriptor."""

    __slots__ = ("fd", "start", "stop")

    def __init__(self, fd: int, start: int, stop: int) -> None:
        self.fd = fd
        self.start = start
        self.stop = stop

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


class FileOutbox(Outbox):
    """Sends bytes and parts of files, in order.

    `may_send` is asked before anything is sent: False means that somebody else has answered, and all that
    there is to send is dropped.
    """

    __slots__ = ("_head_size", "_may_send", "_sent", "status")

    pending: deque[bytes | memoryview | FileSpan]  # type: ignore[assignment]

    def __init__(self, sock: socket.socket, timeout: float, may_send: Callable[[], bool]) -> None:
        super().__init__(sock, timeout)
        self._may_send = may_send
        self.status = 0
        """That of the answer, once its head was given to `send`."""
        self._head_size = self._sent = 0

    @property
    def body_size(self) -> int:
        """Bytes of the answer's body that were given to `send` and `send_file`."""
        return self._sent - self._head_size

    def expect_answer(self) -> None:
        """Take what is sent next for the beginning of an answer."""
        self.status = self._head_size = self._sent = 0

    def send(self, data: bytes) -> None:
        """Give `data` to the kernel, keeping back what it does not take."""
        if self._begin(data):
            super().send(data)

    def send_head(self, head: bytes) -> None:
        """Send `head`; more follows at once, and goes into the same packet where it can."""
        if not self._begin(head):
            return
        if not self.pending:
            try:
                head = head[self._socket.send(head, socket.MSG_MORE) :]
            except BlockingIOError:
                pass
            except OSError:
                self.give_up()
                return
        if head:
            self.pending.append(head)

    def send_file(self, span: FileSpan) -> None:
        """Send `span`, which is taken over, once all before it is sent."""
        if self.gone:
            span.close()
            return
        self._sent += span.stop - span.start
        self.pending.append(span)

    def flush(self) -> bool:
        """Send what was kept back, of files `TURN_SIZE` at most; return whether all of it is gone now."""
        pending, left = self.pending, TURN_SIZE
        while pending:
            item = pending[0]
            if isinstance(item, FileSpan):
                if left <= 0:
                    return False
                sent = self._send_part(item, min(left, item.stop - item.start))
                if sent is None:
                    return not pending
                left -= sent
                continue
            try:
                sent = self._socket.send(item)
            except BlockingIOError:
                return False
            except OSError:
                self.give_up()
                break
            if sent == len(item):
                pending.popleft()
            else:
                pending[0] = memoryview(item)[sent:]
        return True

    def give_up(self) -> None:
        """Take the peer for gone, and keep nothing for it."""
        for item in self.pending:
            if isinstance(item, FileSpan):
                item.close()
        super().give_up()

    def _begin(self, data: bytes) -> bool:
        """Look at what is to be sent; return whether it may be."""
        if not self._may_send():
            self.give_up()
        elif not self.status and not data.startswith(b"HTTP/1.1 1"):  # but for an interim answer
            self.status = int(data[9:12])
            self._head_size = data.find(b"\r\n\r\n") + 4
        if self.gone:
            return False
        self._sent += len(data)
        return True

    def _send_part(self, span: FileSpan, size: int) -> int | None:
        """Send up to `size` bytes; return how many, None where the socket takes none, or never will again."""
        try:
            sent = os.sendfile(self._socket.fileno(), span.fd, span.start, size)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _NOT_FOR_SENDFILE:
                self.give_up()
                return None
            block = os.pread(span.fd, size, span.start)
            sent = len(block)
            if sent:
                self.pending.appendleft(block)
        if not sent:
            complain(f"a static file became shorter while it was sent: there is nothing at byte {span.start}")
            self.give_up()  # the peer sees that something is missing
            return None
        span.start += sent
        if span.start == span.stop:
            self.pending.remove(span)
            span.close()
        return sent
