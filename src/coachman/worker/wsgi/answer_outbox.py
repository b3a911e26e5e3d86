"""An outbox that sees what the answer to each request comes to, and when nothing more may be sent."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from coachman.worker.watchdog import Watchdog, Watched
from coachman.worker.wsgi.outbox import Outbox, PendingFile

_send_plainly = Outbox.send
"""Looked up once: Python 3.11 takes its time for what is asked of an imported class."""


class AnswerOutbox(Outbox):
    """Sends bytes and files, in order.

    It ends the time that the application has before anything is sent. Where that was up, somebody else has
    answered, and all that there is to send is dropped.
    """

    __slots__ = ("_watchdog", "_watched", "body_size", "status", "timed")

    def __init__(
        self, sock: socket.socket, timeout: float, watched: Watched, watchdog: Watchdog | None
    ) -> None:
        super().__init__(sock, timeout)
        self._watched = watched
        self._watchdog = watchdog
        self.timed = False
        """The watchdog has been told that the application is at work, and not yet that it is done."""
        self.status = 0
        """That of the answer, once its head was to be sent; to be set to 0 when another one is expected."""
        self.body_size = 0
        """Bytes of the answer's body that were to be sent so far; to be set to 0 with `status`."""

    def begin_timing(self) -> None:
        """Give the application its time for an answer, or for a further part of it."""
        if self._watchdog is not None:
            self.timed = True
            self._watchdog.began(self._watched)

    def end_timing(self) -> None:
        """End it, where it has begun; where it was up, the peer counts as gone."""
        watchdog = self._watchdog
        if self.timed and watchdog is not None:
            self.timed = False
            if not watchdog.ended(self._watched):
                watchdog.settle()
                self.give_up()

    def send(self, data: bytes) -> None:
        """Give `data` to the kernel, keeping back what it does not take."""
        if self._begin(data):
            _send_plainly(self, data)

    def send_both(self, head: bytes, body: bytes) -> None:
        """Give `head` and `body` to the kernel at once, keeping back what it does not take."""
        if self._begin(head):
            self.body_size += len(body)
            super().send_both(head, body)

    def send_with_file(self, head: bytes, file: PendingFile) -> None:
        """Send `head` and then `file`, which is the outbox's from now on."""
        if self._begin(head):
            self.body_size += file.size
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
                self.body_size += part.size if isinstance(part, PendingFile) else len(part)
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
        try:
            sent = self._socket.send(answer)
        except OSError:
            return False
        self.status, self.body_size = status, _body_size(answer)
        return sent == len(answer)

    def _begin(self, data: bytes) -> bool:
        """Look at what is to be sent; return whether it may be."""
        if self.timed:
            self.end_timing()
        if self.gone:
            return False
        if self.status:
            self.body_size += len(data)
        else:
            self.status = int(data[9:12])
            self.body_size = _body_size(data)
        return True


def _body_size(answer: bytes) -> int:
    return len(answer) - answer.find(b"\r\n\r\n") - 4
