"""MessageChannel: discrete messages and descriptors over a socket, for code that waits by blocking."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import get_ident
from types import TracebackType
from typing import Self, TypeVar

from coachman.errors import ChannelTimeout, PeerGone, RemoteProtocolError
from coachman.protocol.messages import GOT_IO, PASS_IO, Element, encode_array, encode_scalar_header
from coachman.unix.channel_base import DONT_WAIT, ChannelBase
from coachman.unix.descriptors import Descriptor

Item = TypeVar("Item")


class MessageChannel(ChannelBase):
    """Discrete messages and descriptors over one end of a Unix stream socket.

    The wire is in `docs/library.md`. One thread may read while another writes; a second reader or writer gets
    `ChannelBusy`. Every `timeout` is in seconds, None waits for ever, 0 does not wait; after a
    `ChannelTimeout` the same call can be made again and continues where it was. After a `RemoteProtocolError`
    the channel is dead: every further call raises `ChannelDead`.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`, a connected `AF_UNIX` `SOCK_STREAM` socket; it is made blocking."""
        super().__init__(sock, blocking=True)
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._writer = 0
        self._deferred: deque[bytes] = deque()

    def read(self, timeout: float | None = None) -> list[str] | None:
        """Read an array message: its elements, the name first. None at the end of the stream.

        Raises `ChannelTimeout`, `RemoteProtocolError` (`MessageCut` if the stream ends inside the message),
        `ChannelBusy`, `ChannelDead`.
        """
        if not self._reading.acquire(False):
            raise self._busy("reading")
        try:
            message = self._next(self._decoder.array, timeout)
            if message is not None:
                self._messages_read += 1
            return message
        finally:
            self._reading.release()
            if self._closed:
                self._shut_if_idle()

    def read_scalar(self, max_size: int | None = None, timeout: float | None = None) -> bytes | None:
        """Read a scalar message. None at the end of the stream.

        A scalar announced longer than `max_size` bytes is a `RemoteProtocolError` before its body is read;
        the other errors are those of `read`.
        """
        with _Alone(self, self._reading, "reading"):
            data = self._next(lambda: self._decoder.scalar(max_size), timeout)
            if data is not None:
                self._messages_read += 1
            return data

    def write(self, name: Element, *args: Element, timeout: float | None = None) -> None:
        """Write an array message.

        Raises `LocalProtocolError` before any byte is written if the elements cannot be carried: a NUL, more
        than 65,535 bytes with one more for each element, another type. `PeerGone` if the peer has closed its
        end, `ChannelTimeout`, `ChannelBusy`, `ChannelDead`.
        """
        data = encode_array((name, *args))
        if not self._writing.acquire(False):
            if self._writer != get_ident():
                raise self._busy("writing")
            # A signal's handler, on top of a write of this very thread: neither can wait for the other.
            self._deferred.append(data)
            return
        self._writer = get_ident()
        try:
            self._write_out(data, timeout)
        finally:
            self._writer = 0
            self._writing.release()
            if self._closed:
                self._shut_if_idle()
        if self._deferred:
            self._write_deferred(timeout)

    def write_scalar(self, data: bytes | bytearray | memoryview | str, timeout: float | None = None) -> None:
        """Write a scalar message: any bytes, below 4 GiB; a `str` as UTF-8. Raises what `write` raises."""
        body = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        message = b"".join((encode_scalar_header(memoryview(body).nbytes), body))
        with _Alone(self, self._writing, "writing"):
            self._write_out(message, timeout)

    def send_io(self, descriptor: Descriptor, negotiate: bool = True, timeout: float | None = None) -> None:
        """Send a descriptor (a number, or an object with `fileno()`); it stays open here and the caller's.

        With `negotiate` this waits until the peer asks with `recv_io(negotiate=True)`, and until it has
        confirmed. Raises what `write` and `read` raise; `PeerGone` if the stream ends during the negotiation.
        """
        if not negotiate:
            with _Alone(self, self._writing, "writing"):
                self._send_io(descriptor, timeout)
            return
        deadline = _deadline(timeout)
        with _Alone(self, self._reading, "reading"), _Alone(self, self._writing, "writing"):
            if self._sending_step == 0:
                self._expect(PASS_IO, deadline)
                self._sending_step = 1
            if self._sending_step == 1:
                self._send_io(descriptor, _remaining(deadline))
                self._sending_step = 2
            self._expect(GOT_IO, deadline)
            self._sending_step = 0

    def recv_io(self, negotiate: bool = True, timeout: float | None = None) -> int | None:
        """Receive a descriptor: its number, close-on-exec, the caller's. None at the end of the stream.

        `negotiate` has to be what the peer's `send_io` says. Raises what `read` and `write` raise.
        """
        if not negotiate:
            with _Alone(self, self._reading, "reading"):
                return self._recv_io(timeout)
        deadline = _deadline(timeout)
        with _Alone(self, self._reading, "reading"), _Alone(self, self._writing, "writing"):
            if self._receiving_step == 0:
                try:
                    self._write_out(encode_array((PASS_IO,)), _remaining(deadline))
                except PeerGone:
                    return None
                self._receiving_step = 1
            if self._receiving_step == 1:
                if self._next(self._decoder.marker, _remaining(deadline)) is None:
                    return None
                if not self._descriptors:
                    self._take_descriptor()
                self._receiving_step = 2
            try:
                self._write_out(encode_array((GOT_IO,)), _remaining(deadline))
            except PeerGone:
                pass  # it is here all the same
            self._receiving_step = 0
            return self._take_descriptor()

    def end_reading(self) -> None:
        """End what the peer sends, for both sides: a read that waits returns None, the peer's writes fail."""
        self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close the socket, and every descriptor that arrived and was not asked for. Again: nothing happens.

        A thread that is waiting in a call on this channel is woken; its call ends as if the stream had ended.
        """
        if self._closed:
            return
        self._closed = True
        if self._reading.locked() or self._writing.locked():
            # The number must not be closed under a system call of another thread: it could be somebody else's
            # file by the time that call looks at it. Shutting down wakes the thread, and the last one out
            # closes.
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._shut_if_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[list[str]]:
        """Iterate over array messages until the stream ends."""
        while (message := self.read()) is not None:
            yield message

    def _next(self, take: Callable[[], Item | None], timeout: float | None) -> Item | None:
        """Return the next item of the kind that `take` cuts from the stream; None if that ends before."""
        if self._closed or self._dead is not None:
            self._refuse()
        try:
            item = take()
            if item is None:
                deadline = None if timeout is None else time.monotonic() + timeout
                while item is None:
                    try:
                        data = self._receive(0 if deadline is None else DONT_WAIT)
                    except BlockingIOError:
                        self._wait(select.POLLIN, deadline)
                        continue
                    if not data:
                        self._decoder.end()
                        return None
                    self._decoder.feed(data)
                    item = take()
            return item
        except RemoteProtocolError as error:
            self._kill(error)
            raise

    def _write_out(self, data: bytes, timeout: float | None) -> None:
        if self._closed or self._dead is not None:
            self._refuse()
        if timeout is None and self._unsent is None:
            sent = self._send(data, 0)
            if sent == len(data):
                self._messages_written += 1
                return
            rest = memoryview(data)[sent:]
        else:
            rest = self._begin_writing(data)
        deadline = _deadline(timeout)
        try:
            while rest:
                try:
                    rest = rest[self._send(rest, 0 if deadline is None else DONT_WAIT) :]
                except BlockingIOError:
                    self._wait(select.POLLOUT, deadline)
        finally:
            self._written(data, rest)

    def _write_deferred(self, timeout: float | None) -> None:
        with _Alone(self, self._writing, "writing"):
            while self._deferred:
                self._write_out(self._deferred[0], timeout)
                self._deferred.popleft()

    def _send_io(self, descriptor: Descriptor, timeout: float | None) -> None:
        if self._closed or self._dead is not None:
            self._refuse()
        self._begin_writing(b"")
        deadline = _deadline(timeout)
        while True:
            try:
                return self._send_descriptor(descriptor, 0 if deadline is None else DONT_WAIT)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)

    def _recv_io(self, timeout: float | None) -> int | None:
        if self._next(self._decoder.marker, timeout) is None:
            return None
        try:
            return self._take_descriptor()
        except RemoteProtocolError as error:
            self._kill(error)
            raise

    def _expect(self, name: str, deadline: float | None) -> None:
        """Read one message of the negotiation."""
        message = self._next(self._decoder.array, _remaining(deadline))
        if message is None:
            raise PeerGone(f"the peer's stream ended where {name!r} was expected")
        if message != [name]:
            error = RemoteProtocolError(f"the peer sent {message!r} where {name!r} was expected")
            self._kill(error)
            raise error

    def _wait(self, event: int, deadline: float | None) -> None:
        """Wait for the socket until `deadline`; `ChannelTimeout` if nothing happens before it."""
        timeout = None
        if deadline is not None:
            timeout = deadline - time.monotonic()
            if timeout <= 0:
                raise ChannelTimeout(
                    f"the time for {'reading' if event == select.POLLIN else 'writing'} is used up"
                )
        poll = select.poll()
        poll.register(self._socket, event)
        # Rounded up: rounded down, the last millisecond would be spent in a busy loop.
        poll.poll(None if timeout is None else math.ceil(timeout * 1000))

    def _shut_if_idle(self) -> None:
        """Close the socket unless a thread is inside a call: then that thread does it on its way out."""
        if self._reading.acquire(False):
            if self._writing.acquire(False):
                self._shut()
                self._writing.release()
            self._reading.release()


class _Alone:
    """Holds one direction of a channel for one call."""

    __slots__ = ("_channel", "_doing", "_lock")

    def __init__(self, channel: MessageChannel, lock: threading.Lock, doing: str) -> None:
        self._channel, self._lock, self._doing = channel, lock, doing

    def __enter__(self) -> None:
        if not self._lock.acquire(False):
            raise self._channel._busy(self._doing)
        if self._lock is self._channel._writing:
            self._channel._writer = get_ident()

    def __exit__(self, *_: object) -> None:
        channel = self._channel
        if self._lock is channel._writing:
            channel._writer = 0
        self._lock.release()
        if channel.closed:
            channel._shut_if_idle()


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
