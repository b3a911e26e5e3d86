"""How a message channel waits in a thread: by blocking, in turns, at most as long as it is told."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import TypeVar

from coachman.errors import ChannelTimeout, PeerGone, RemoteProtocolError
from coachman.unix.channel_base import DONT_WAIT, ChannelBase
from coachman.unix.descriptors import Descriptor
from coachman.unix.waiting import wait_for

Item = TypeVar("Item")


class BlockingChannel(ChannelBase):
    """The machinery under `MessageChannel`: a lock for each direction, and loops around the system calls."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, blocking=True)
        self._reading = Turn(self, "reading")
        self._writing = Turn(self, "writing")
        self._deferred: deque[bytes] = deque()

    def _next(self, take: Callable[[], Item | None], timeout: float | None) -> Item | None:
        """Return the next item of the kind that `take` cuts from the stream; None if that ends before."""
        item = take()
        return self._await(take, timeout) if item is None else item

    def _await(self, take: Callable[[], Item | None], timeout: float | None) -> Item | None:
        """Receive until there is such an item."""
        deadline = deadline_of(timeout)
        flags = 0 if timeout is None else DONT_WAIT
        while True:
            try:
                goes_on = self._receive(flags)
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            if not goes_on:
                self._decoder.end()
                return None
            item = take()
            if item is not None:
                return item

    def _write_out(self, data: bytes, timeout: float | None) -> None:
        rest = self._begin_writing(data)
        deadline = deadline_of(timeout)
        flags = 0 if timeout is None else DONT_WAIT
        try:
            while rest:
                try:
                    rest = rest[self._send(rest, flags) :]
                except BlockingIOError:
                    self._wait(select.POLLOUT, deadline)
        finally:
            self._note_written(data, rest)

    def _send_io(self, descriptor: Descriptor, deadline: float | None) -> None:
        if self._unsent is not None:
            self._begin_writing(b"")  # refuses
        flags = 0 if deadline is None else DONT_WAIT
        while True:
            try:
                return self._send_descriptor(descriptor, flags)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)

    def _expect(self, name: str, deadline: float | None) -> None:
        """Read one message of the negotiation."""
        message = self._next(self._array, remaining(deadline))
        if message is None:
            raise PeerGone(f"the peer's stream ended where {name!r} was expected")
        if message != [name]:
            raise RemoteProtocolError(f"the peer sent {message!r} where {name!r} was expected")

    def _wait(self, event: int, deadline: float | None) -> None:
        """Wait for the socket, at most until `deadline`; `ChannelTimeout` once that has passed."""
        timeout = remaining(deadline)
        if timeout == 0:
            doing = "reading" if event == select.POLLIN else "writing"
            raise ChannelTimeout(f"the time for {doing} is used up")
        wait_for(self._socket, event, timeout)

    def _catch_up(self) -> None:
        """Do what came up while a turn was held: messages of its signals' handlers; the closing."""
        if self._closed:
            self._shut_if_idle()
        elif not self._writable:
            self._deferred.clear()
        elif self._unsent is None and not self._writing.lock.locked():
            with self._writing:
                while self._deferred:
                    self._write_out(self._deferred[0], None)
                    self._deferred.popleft()
                    self._messages_written += 1

    def _shut_if_idle(self) -> None:
        """Close the socket unless a thread is inside a call: then that thread does it on its way out."""
        reading, writing = self._reading.lock, self._writing.lock
        # Again where that failed: of two threads that leave at once, each may find the other still there.
        while self.fileno() >= 0 and not (reading.locked() or writing.locked()):
            if reading.acquire(False):
                if writing.acquire(False):
                    self._shut()
                    writing.release()
                reading.release()


class Turn:
    """One direction of a channel, held by one call at a time; kills the channel when the call has to."""

    __slots__ = ("_channel", "_doing", "lock", "owner")

    def __init__(self, channel: BlockingChannel, doing: str) -> None:
        self._channel = channel
        self._doing = doing
        self.lock = threading.Lock()
        self.owner = 0

    def __enter__(self) -> None:
        if self.owner:
            raise self._channel._busy(self._doing)
        # Before the turn is taken: a signal's handler that runs in between has to find whose it is.
        self.owner = get_ident()
        taken = False
        try:
            taken = self.lock.acquire(False)
        finally:
            if not taken:
                self.owner = 0
        if not taken:
            raise self._channel._busy(self._doing)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        channel = self._channel
        try:
            if error is not None and isinstance(error, RemoteProtocolError):
                channel._kill(error)
        finally:
            self.owner = 0
            self.lock.release()
        if channel._closed or channel._deferred:
            channel._catch_up()


def deadline_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
