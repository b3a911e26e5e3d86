"""MessageChannel: discrete messages and descriptors over a socket, for code that waits by blocking."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from threading import get_ident
from types import TracebackType
from typing import Self

from coachman.errors import ChannelDead, PeerGone, RemoteProtocolError
from coachman.protocol.messages import GOT_IO, PASS_IO, Element, encode_array, encode_scalar
from coachman.unix.blocking import BlockingChannel, deadline_of, remaining
from coachman.unix.channel_base import interrupted
from coachman.unix.descriptors import Descriptor


class MessageChannel(BlockingChannel):
    """Discrete messages and descriptors over one end of a Unix stream socket.

    The wire is in `docs/protocols.md`. One thread may read while another writes; a second reader or writer
    gets `ChannelBusy`. Every `timeout` is in seconds, None waits for ever, 0 does not wait; after a
    `ChannelTimeout` the same call can be made again and continues where it was. After a `RemoteProtocolError`
    the channel is dead: every further call raises `ChannelDead`.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`, a connected `AF_UNIX` `SOCK_STREAM` socket; it is made blocking."""
        super().__init__(sock)

    def read(self, timeout: float | None = None) -> list[str] | None:
        """Read an array message: its elements, the name first. None at the end of the stream.

        Raises `ChannelTimeout`, `RemoteProtocolError` (`MessageCut` if the stream ends inside the message),
        `ChannelBusy`, `ChannelDead`.
        """
        # Here and in `write`, what `with self._reading` does: a call of __enter__ and one of __exit__ are a
        # tenth of the time of a message.
        if not self._reading.lock.acquire(False):
            raise self._busy("reading")
        message = None
        try:
            try:
                message = self._array()
                if message is None:
                    message = self._await(self._array, timeout)
                if message is not None:
                    self._messages_read += 1
                return message
            except RemoteProtocolError as error:
                self._kill(error)
                raise
            finally:
                self._reading.lock.release()
                if self._closed:
                    self._catch_up()
        except BaseException as error:
            if message is not None:  # a signal's handler has raised on the way out: it is lost
                self._refuse_reading(interrupted("read", error))
            raise

    def read_scalar(self, max_size: int | None = None, timeout: float | None = None) -> bytes | None:
        """Read a scalar message. None at the end of the stream.

        A scalar announced longer than `max_size` bytes is a `RemoteProtocolError` before its body is read;
        the other errors are those of `read`.
        """
        with self._reading:
            data = self._next(lambda: self._decoder.scalar(max_size), timeout)
            if data is not None:
                self._messages_read += 1
            return data

    def write(self, name: Element, *args: Element, timeout: float | None = None) -> None:
        """Write an array message.

        Raises `LocalProtocolError` before any byte is written if the elements cannot be carried: a NUL, a
        body of more than 65,535 bytes, another type. Raises `PeerGone` if the peer has closed its end,
        `ChannelTimeout`, `ChannelBusy`, `ChannelDead`.

        In a signal's handler that has interrupted a write of its own thread, the message goes out right
        behind the one that is being written.
        """
        data = encode_array((name, *args))
        turn = self._writing
        thread = get_ident()
        if turn.owner:
            if turn.owner != thread:
                raise self._busy("writing")
            # Neither of the two writes of this thread can wait for the other.
            self._deferred.append(data)
            return
        # Before the turn is taken: a signal's handler that runs in between has to find whose it is.
        turn.owner = thread
        taken = False
        size, sent = len(data), 0
        try:
            taken = turn.lock.acquire(False)
            if not taken:
                raise self._busy("writing")
            if timeout is None and self._unsent is None:
                sent = self._send(data, 0)
                if sent != size:  # a signal came in the middle of a long one
                    self._note_written(data, memoryview(data)[sent:])
                    self._write_out(data, None)
            else:
                self._write_out(data, timeout)
            self._messages_written += 1
        except BaseException as error:
            if 0 < sent < size:  # another signal, whose handler raises, before that was noted
                self._refuse_writing(interrupted("write", error))
            raise
        finally:
            turn.owner = 0
            if taken:
                turn.lock.release()
            if self._closed or self._deferred:
                self._catch_up()

    def write_all(self, messages: Iterable[Sequence[Element]], timeout: float | None = None) -> None:
        """Write several array messages with as few system calls as possible: for many at once, much faster.

        Raises what `write` raises; `LocalProtocolError` for any of them before a byte of the first is
        written.
        """
        encoded = [encode_array(tuple(message)) for message in messages]
        with self._writing:
            self._write_out(b"".join(encoded), timeout)
            self._messages_written += len(encoded)

    def write_scalar(self, data: bytes | bytearray | memoryview | str, timeout: float | None = None) -> None:
        """Write a scalar message: any bytes, below 4 GiB; a `str` as UTF-8. Raises what `write` raises."""
        message = encode_scalar(data)
        with self._writing:
            self._write_out(message, timeout)
            self._messages_written += 1

    def send_io(self, descriptor: Descriptor, negotiate: bool = True, timeout: float | None = None) -> None:
        """Send a descriptor (a number, or an object with `fileno()`); it stays open here and the caller's.

        With `negotiate` this waits until the peer asks with `recv_io(negotiate=True)`, and until it has
        confirmed. Raises what `write` and `read` raise; `PeerGone` if the stream ends during the negotiation.
        """
        deadline = deadline_of(timeout)
        if not negotiate:
            with self._writing:
                self._send_io(descriptor, deadline)
            return
        with self._reading, self._writing:
            if self._sending_step == 0:
                self._expect(PASS_IO, deadline)
                self._sending_step = 1
            if self._sending_step == 1:
                self._send_io(descriptor, deadline)
                self._sending_step = 2
            self._expect(GOT_IO, deadline)
            self._sending_step = 0

    def recv_io(self, negotiate: bool = True, timeout: float | None = None) -> int | None:
        """Receive a descriptor: its number, close-on-exec, the caller's. None at the end of the stream.

        `negotiate` has to be what the peer's `send_io` says. Raises what `read` and `write` raise.
        """
        if not negotiate:
            with self._reading:
                return self._take_descriptor() if self._next(self._marker, timeout) else None
        deadline = deadline_of(timeout)
        with self._reading, self._writing:
            if self._receiving_step == 0:
                try:
                    self._write_out(encode_array((PASS_IO,)), timeout)
                except PeerGone:
                    return None
                self._receiving_step = 1
            if self._receiving_step == 1:
                if not self._next(self._marker, remaining(deadline)):
                    return None
                self._receiving_step = 2
            try:
                self._write_out(encode_array((GOT_IO,)), remaining(deadline))
            except PeerGone:
                pass  # the descriptor is here all the same
            self._receiving_step = 0
            return self._take_descriptor()

    def end_reading(self) -> None:
        """End what the peer sends, for both sides: a read that waits returns None, the peer's writes fail."""
        self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close the socket, and every descriptor that arrived and was not asked for. Again: nothing happens.

        A thread that waits in a call on this channel is woken and gets `ChannelDead`.
        """
        if self._closed:
            return
        self._closed = True
        refusal = ChannelDead("the channel is closed")
        self._refuse_reading(refusal)
        self._refuse_writing(refusal)
        if self._reading.lock.locked() or self._writing.lock.locked():
            # The number must not be closed under a system call of another thread: it could be somebody else's
            # file by the time that call looks at it. Shutting down wakes the thread; the last one out closes.
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._shut_if_idle()

    def __enter__(self) -> Self:
        """Own the channel for a block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the channel."""
        self.close()

    def __iter__(self) -> Iterator[list[str]]:
        """Iterate over array messages until the stream ends."""
        while (message := self.read()) is not None:
            yield message
