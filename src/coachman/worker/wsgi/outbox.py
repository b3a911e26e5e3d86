"""What a connection has to send, and what of it the kernel has not taken yet."""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from select import POLLOUT, poll

from coachman.counted import counted
from coachman.unix.waiting import LONGEST_WAIT
from coachman.worker.complaints import complain
from coachman.worker.wsgi.file_wrapper import FilePart, FileWrapper

FILE_TURN_SIZE = 512 * 1024
"""Bytes of a file that are sent before other connections get a turn."""


class ClientGone(ConnectionError):
    """The peer closed the connection or took nothing for too long; `write()` raises it to the application."""


class PendingFile:
    """A part of a file that is to be sent. It owns its descriptor, so the file itself may be closed."""

    __slots__ = ("fd", "offset", "size")

    def __init__(self, part: FilePart) -> None:
        """Raises OSError where there is no descriptor left."""
        # From 3 on: a request may have closed 0, 1 or 2.
        self.fd = fcntl(part.fd, F_DUPFD_CLOEXEC, 3)
        self.offset, self.size = part.offset, part.size

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


def pending_file(wrapper: FileWrapper) -> PendingFile | None:
    """Return what the kernel can send by itself; None where the file has to be read block by block."""
    part = wrapper.part()
    try:
        return None if part is None else PendingFile(part)
    except OSError:  # out of descriptors
        return None


class Outbox:
    """Sends bytes and files on a non-blocking socket, in order, and keeps what the kernel does not take."""

    __slots__ = ("_socket", "_timeout", "gone", "pending", "sent_this_turn")

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        """`timeout`: seconds for which a thread waits until the peer takes some of it; 0: for ever."""
        self._socket = sock
        self._timeout = timeout
        self.pending: deque[bytes | memoryview | PendingFile] = deque()
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

    def send_both(self, head: bytes, body: bytes) -> None:
        """Give `head` and `body` to the kernel at once, keeping back what it does not take."""
        if not body:  # of a HEAD, say; the kernel would hold the head back for what is to follow it
            Outbox.send(self, head)
            return
        self.sent_this_turn += len(head) + len(body)
        self.pending += (head, memoryview(body))
        if len(self.pending) == 2:
            self.flush()

    def send_with_file(self, head: bytes, file: PendingFile) -> None:
        """Send `head` and then `file`, which is the outbox's from now on."""
        self.pending.append(head)
        if file.size:
            self.pending.append(file)
        else:
            file.close()
        self.flush()

    def flush(self) -> bool:
        """Send what was kept back; return whether all of it is gone now."""
        pending = self.pending
        while pending:
            data = pending[0]
            try:
                if isinstance(data, PendingFile):
                    if not self._send_file(data):
                        return False
                    continue
                # What follows at once goes into the same packets.
                sent = self._socket.send(data, socket.MSG_MORE if len(pending) > 1 else 0)
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

    def _send_file(self, file: PendingFile) -> bool:
        """Send one turn of `file`, the first that is pending; return whether there is more to do at once."""
        sent = os.sendfile(self._socket.fileno(), file.fd, file.offset, min(file.size, FILE_TURN_SIZE))
        if sent == 0:
            complain(f"a file became shorter while it was sent, by {counted(file.size, 'byte')}")
            self.give_up()
            return True
        file.offset += sent
        file.size -= sent
        if file.size:
            return False
        file.close()
        self.pending.popleft()
        return True

    def wait_until_sent(self) -> None:
        """Block this thread until the kernel has it all; raise `ClientGone` where the peer takes nothing."""
        writable = poll()
        writable.register(self._socket, POLLOUT)
        timeout = min(self._timeout, LONGEST_WAIT) * 1000 if self._timeout else None
        while not self.flush():
            if not writable.poll(timeout):
                self.give_up()
                # What is kept back no longer must not be followed by what the application still writes.
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
        if self.gone:
            raise ClientGone("the client takes no more of the response")

    def give_up(self) -> None:
        """Take the peer for gone, and keep nothing for it."""
        self.gone = True
        for data in self.pending:
            if isinstance(data, PendingFile):
                data.close()
        self.pending.clear()
