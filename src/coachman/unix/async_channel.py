"""AsyncMessageChannel: the message channel for code that waits in an asyncio event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

from coachman.errors import ChannelDead, ChannelTimeout, PeerGone, RemoteProtocolError
from coachman.protocol.messages import GOT_IO, PASS_IO, Element, encode_array, encode_scalar
from coachman.unix.channel_base import DONT_WAIT, ChannelBase
from coachman.unix.descriptors import Descriptor

Item = TypeVar("Item")


class AsyncMessageChannel(ChannelBase):
    """What `MessageChannel` is, with coroutines; the same wire, the same errors, the same promises.

    One task may read while another writes; a second reader or writer gets `ChannelBusy`. A read that is
    cancelled or runs out of time loses nothing. A write that is cancelled before a byte went out has not
    happened; in the middle of a message, the same call can be made again and continues, and any other write
    is refused. Belongs to one event loop, the one it is first awaited in.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`, a connected `AF_UNIX` `SOCK_STREAM` socket; it is made non-blocking."""
        super().__init__(sock, blocking=False)
        self._active: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def read(self, timeout: float | None = None) -> list[str] | None:
        """Read an array message: its elements, the name first. None at the end of the stream."""
        async with self._call("reading", timeout=timeout):
            message = await self._next(self._array)
            if message is not None:
                self._messages_read += 1
            return message

    async def read_scalar(self, max_size: int | None = None, timeout: float | None = None) -> bytes | None:
        """Read a scalar message of at most `max_size` bytes. None at the end of the stream."""
        async with self._call("reading", timeout=timeout):
            data = await self._next(lambda: self._decoder.scalar(max_size))
            if data is not None:
                self._messages_read += 1
            return data

    async def write(self, name: Element, *args: Element, timeout: float | None = None) -> None:
        """Write an array message."""
        data = encode_array((name, *args))
        async with self._call("writing", timeout=timeout):
            await self._write_out(data)
            self._messages_written += 1

    async def write_all(self, messages: Iterable[Sequence[Element]], timeout: float | None = None) -> None:
        """Write several array messages with as few system calls as possible."""
        encoded = [encode_array(tuple(message)) for message in messages]
        async with self._call("writing", timeout=timeout):
            await self._write_out(b"".join(encoded))
            self._messages_written += len(encoded)

    async def write_scalar(
        self, data: bytes | bytearray | memoryview | str, timeout: float | None = None
    ) -> None:
        """Write a scalar message: any bytes, below 4 GiB; a `str` as UTF-8."""
        message = encode_scalar(data)
        async with self._call("writing", timeout=timeout):
            await self._write_out(message)
            self._messages_written += 1

    async def send_io(
        self, descriptor: Descriptor, negotiate: bool = True, timeout: float | None = None
    ) -> None:
        """Send a descriptor; it stays open here and the caller's."""
        if not negotiate:
            async with self._call("writing", timeout=timeout):
                await self._send_io(descriptor)
            return
        async with self._call("reading", "writing", timeout=timeout):
            if self._sending_step == 0:
                await self._expect(PASS_IO)
                self._sending_step = 1
            if self._sending_step == 1:
                await self._send_io(descriptor)
                self._sending_step = 2
            await self._expect(GOT_IO)
            self._sending_step = 0

    async def recv_io(self, negotiate: bool = True, timeout: float | None = None) -> int | None:
        """Receive a descriptor: its number, close-on-exec, the caller's. None at the end of the stream."""
        if not negotiate:
            async with self._call("reading", timeout=timeout):
                return self._take_descriptor() if await self._next(self._marker) else None
        async with self._call("reading", "writing", timeout=timeout):
            if self._receiving_step == 0:
                try:
                    await self._write_out(encode_array((PASS_IO,)))
                except PeerGone:
                    return None
                self._receiving_step = 1
            if self._receiving_step == 1:
                if not await self._next(self._marker):
                    return None
                self._receiving_step = 2
            try:
                await self._write_out(encode_array((GOT_IO,)))
            except PeerGone:
                pass  # the descriptor is here all the same
            self._receiving_step = 0
            return self._take_descriptor()

    def close(self) -> None:
        """Close the socket, and every descriptor that arrived and was not asked for. Again: nothing happens.

        A task that waits in a call on this channel gets `ChannelDead`.
        """
        if self._closed:
            return
        self._closed = True
        refusal = ChannelDead("the channel is closed")
        self._refuse_reading(refusal)
        self._refuse_writing(refusal)
        for doing, waiter in self._waiting.items():
            self._forget(doing, waiter.get_loop())
            _wake(waiter)
        self._waiting.clear()
        self._shut()

    async def __aenter__(self) -> Self:
        """Own the channel for a block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the channel."""
        self.close()

    async def __aiter__(self) -> AsyncIterator[list[str]]:
        """Iterate over array messages until the stream ends."""
        while (message := await self.read()) is not None:
            yield message

    async def _next(self, take: Callable[[], Item | None]) -> Item | None:
        while (item := take()) is None:
            try:
                goes_on = self._receive(DONT_WAIT)
            except BlockingIOError:
                await self._wait("reading")
                continue
            if not goes_on:
                self._decoder.end()
                return None
        return item

    async def _write_out(self, data: bytes) -> None:
        rest = self._begin_writing(data)
        try:
            while rest:
                try:
                    rest = rest[self._send(rest, DONT_WAIT) :]
                except BlockingIOError:
                    await self._wait("writing")
        finally:
            self._note_written(data, rest)

    async def _send_io(self, descriptor: Descriptor) -> None:
        self._begin_writing(b"")
        while True:
            try:
                return self._send_descriptor(descriptor, DONT_WAIT)
            except BlockingIOError:
                await self._wait("writing")

    async def _expect(self, name: str) -> None:
        """Read one message of the negotiation."""
        message = await self._next(self._array)
        if message is None:
            raise PeerGone(f"the peer's stream ended where {name!r} was expected")
        if message != [name]:
            raise RemoteProtocolError(f"the peer sent {message!r} where {name!r} was expected")

    @asynccontextmanager
    async def _call(self, *directions: str, timeout: float | None) -> AsyncIterator[None]:
        """Hold these directions for one call, in its time; kill the channel when the call has to."""
        for doing in directions:
            if doing in self._active:
                raise self._busy(doing)
        self._active.update(directions)
        try:
            async with asyncio.timeout(timeout):
                yield
        except RemoteProtocolError as error:
            self._kill(error)
            raise
        except TimeoutError as error:
            raise ChannelTimeout(f"the time for {directions[0]} is used up") from error
        finally:
            self._active.difference_update(directions)

    async def _wait(self, doing: str) -> None:
        """Wait until the socket can be read or written, or the channel is closed."""
        loop = asyncio.get_running_loop()
        waiter = self._waiting[doing] = loop.create_future()
        watch = loop.add_reader if doing == "reading" else loop.add_writer
        watch(self._socket, _wake, waiter)
        try:
            await waiter
        finally:
            if self._waiting.pop(doing, None) is not None:
                self._forget(doing, loop)
        if self._closed:
            self._array()  # refuses

    def _forget(self, doing: str, loop: asyncio.AbstractEventLoop) -> None:
        (loop.remove_reader if doing == "reading" else loop.remove_writer)(self._socket)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
