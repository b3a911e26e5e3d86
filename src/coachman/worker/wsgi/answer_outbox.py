"""An outbox that sees what the answer to each request comes to, and when nothing more may be sent."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from coachman.worker.wsgi.outbox import Outbox, PendingFile


class AnswerOutbox(Outbox):
    """Sends bytes and files, in order.

    `may_send` is asked before anything is sent: False means that somebody else has answered, and all that
    there is to send is dropped.
    """

    __slots__ = ("_head_size", "_may_send", "_sent", "status")

    def __init__(self, sock: socket.socket, timeout: float, may_send: Callable[[], bool]) -> None:
        super().__init__(sock, timeout)
        self._may_send = may_send
        self.status = 0
        """That of the answer, once its head was to be sent."""
        self._head_size = self._sent = 0

    @property
    def body_size(self) -> int:
        """Bytes of the answer's body that were to be sent so far."""
        return self._sent - self._head_size

    def expect_answer(self) -> None:
        """Take what is sent next for the beginning of an answer."""
        self.status = self._head_size = self._sent = 0

    def send(self, data: bytes) -> None:
        """Give `data` to the kernel, keeping back what it does not take."""
        if self._begin(data):
            super().send(data)

    def send_both(self, head: bytes, body: bytes) -> None:
        """Give `head` and `body` to the kernel at once, keeping back what it does not take."""
        if self._begin(head):
            self._sent += len(body)
            super().send_both(head, body)

    def send_with_file(self, head: bytes, file: PendingFile) -> None:
        """Send `head` and then `file`, which is the outbox's from now on."""
        if self._begin(head):
            self._sent += file.size
            super().send_with_file(head, file)
        else:
            file.close()

    def send_parts(self, head: bytes, parts: Sequence[bytes | PendingFile]) -> None:
        """Send `head`, then bytes and files, which are the outbox's from now on, in their order."""
        if not any(isinstance(part, PendingFile) for part in parts):
            self.send(b"".join([head, *parts]))  # type: ignore[list-item]  # there are bytes only
            return
        begun = self._begin(head)
        if begun:
            self.pending.append(head)
        for part in parts:
            if begun:
                self._sent += part.size if isinstance(part, PendingFile) else len(part)
                self.pending.append(part)
            elif isinstance(part, PendingFile):
                part.close()
        self.flush()

    def send_late(self, status: int, answer: bytes) -> bool:
        """Send a whole `answer`, where none has begun; return whether it went out completely.

        In any thread, as long as the one that has the connection is kept from sending meanwhile.
        """
        if self.status or self.pending:
            return False  # it would be taken for a part of what was sent before
        self.status = status
        try:
            return self._socket.send(answer) == len(answer)
        except OSError:
            return False

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
