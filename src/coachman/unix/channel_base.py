"""What the two flavours of the message channel share: a socket, what arrived on it, and how it died."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final, NoReturn

from coachman.errors import (
    ChannelBusy,
    ChannelDead,
    ChannelError,
    LocalProtocolError,
    PeerGone,
    RemoteProtocolError,
)
from coachman.protocol.messages import MARKER, Decoder
from coachman.unix.descriptor_queue import ANCILLARY_SIZE, DescriptorQueue, rights
from coachman.unix.descriptors import Descriptor, descriptor_number

# Not sock.family and sock.type, which look members of enumerations up: that would be much of a server's
# start.
FAMILY: Final = socket.SocketType.family.__get__
TYPE: Final = socket.SocketType.type.__get__
UNIX_STREAM: Final = (int(socket.AF_UNIX), int(socket.SOCK_STREAM))
RECEIVE_SIZE: Final = 65_536
# Plain numbers, these flags: combining members of an enumeration costs more than the system call.
# Received descriptors are close-on-exec from their first moment: setting it afterwards would lose a race
# against a thread that forks and executes. Systems without the flag (macOS) have that race.
RECEIVE_FLAGS: Final = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
SEND_FLAGS: Final = int(getattr(socket, "MSG_NOSIGNAL", 0))
DONT_WAIT: Final = int(socket.MSG_DONTWAIT)
TRUNCATED: Final = int(socket.MSG_CTRUNC)
# What the kernel queues in one piece or not at all; Linux does so up to 32 KiB.
ATOMIC_WRITE: Final = 4096


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What has travelled over one channel, each way. A message counts once it is complete."""

    messages_read: int
    messages_written: int
    bytes_read: int
    bytes_written: int
    descriptors_read: int
    descriptors_written: int


class ChannelBase:
    """One socket, the bytes and descriptors that arrived and wait, and what is half written.

    There is no state to look at before every call: what must not be used any more is replaced by what
    refuses.
    """

    def __init__(self, sock: socket.socket, *, blocking: bool) -> None:
        if (FAMILY(sock), TYPE(sock)) != UNIX_STREAM:
            raise ValueError(f"a message channel needs a Unix stream socket, not {sock!r}")
        sock.setblocking(blocking)
        self._socket = sock
        self._recvmsg = sock.recvmsg
        self._send_bytes = sock.send
        self._sendmsg = sock.sendmsg
        self._decoder: Decoder | _Refusal = Decoder()
        self._array = self._decoder.array
        self._descriptors = DescriptorQueue()
        self._closed = False
        self._dead: ChannelError | None = None
        self._peer_gone = False
        self._writable = True
        # The rest of a message of which the peer has a part, and the whole of it; see _begin_writing.
        self._unsent: memoryview | None = None
        self._half_written: bytes = b""
        # How far a negotiated transfer of a descriptor had come when its time was used up.
        self._sending_step = 0
        self._receiving_step = 0
        self._messages_read = self._messages_written = 0
        self._bytes_read = self._bytes_written = 0
        self._descriptors_read = self._descriptors_written = 0

    def fileno(self) -> int:
        """Return the socket's descriptor, for poll and its kin. It stays the channel's. -1 once closed."""
        return self._socket.fileno()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def peer_gone(self) -> bool:
        """Whether a write has found that the peer has closed its end."""
        return self._peer_gone

    def statistics(self) -> ChannelStatistics:
        """Return what has travelled so far."""
        return ChannelStatistics(
            self._messages_read,
            self._messages_written,
            self._bytes_read,
            self._bytes_written,
            self._descriptors_read,
            self._descriptors_written,
        )

    def _receive(self, flags: int) -> bool:
        """Do one recvmsg and take in what it brings, bytes and descriptors; False: the stream has ended.

        Every read is a recvmsg, because the kernel merges plain bytes with the descriptor-carrying byte
        behind them; a plain recv would lose the descriptor without a trace.
        """
        try:
            data, ancillary, message_flags, _ = self._recvmsg(
                RECEIVE_SIZE, ANCILLARY_SIZE, RECEIVE_FLAGS | flags
            )
            if ancillary or message_flags & TRUNCATED:
                self._descriptors.add(ancillary, truncated=bool(message_flags & TRUNCATED))
            if data:
                self._decoder.feed(data)
        except ConnectionResetError:
            return False
        except (BlockingIOError, ChannelError):
            raise
        except BaseException as error:
            # A signal's handler has raised, an OSError perhaps. Whether before the call took bytes or after,
            # nobody can know.
            self._refuse_reading(interrupted("read", error))
            raise
        self._bytes_read += len(data)
        return bool(data)

    def _marker(self) -> bool | None:
        """Take the byte that a descriptor comes with, and look whether one came."""
        marker = self._decoder.marker()
        if marker and not self._descriptors:
            raise RemoteProtocolError("the peer sent bytes where a descriptor was expected")
        return marker

    def _take_descriptor(self) -> int:
        """Hand out the oldest descriptor. The caller owns it."""
        self._descriptors_read += 1
        return self._descriptors.take()

    def _send(self, data: bytes | memoryview, flags: int) -> int:
        try:
            sent = self._send_bytes(data, SEND_FLAGS | flags)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone() from error
        except (BlockingIOError, ChannelError):
            raise
        except BaseException as error:
            # As in _receive; but what is atomic is out or is not, and the next message may follow in both
            # cases.
            if len(data) > ATOMIC_WRITE:
                self._refuse_writing(interrupted("write", error))
            raise
        self._bytes_written += sent
        return sent

    def _send_descriptor(self, descriptor: Descriptor, flags: int) -> None:
        ancillary = rights(descriptor_number(descriptor))
        try:
            self._sendmsg((MARKER,), ancillary, SEND_FLAGS | flags)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone() from error
        self._bytes_written += 1
        self._descriptors_written += 1

    def _begin_writing(self, data: bytes) -> memoryview:
        """Return what is left to send of this message: all, or the rest if its first part went out before.

        A write that runs out of time may leave the peer with the beginning of a message. Only the end of that
        same message may follow it, so the same call continues and every other one is refused.
        """
        if self._unsent is None:
            return memoryview(data)
        if data != self._half_written:
            raise LocalProtocolError(
                f"a message is written up to its last {len(self._unsent)} bytes: repeat that call to go on"
            )
        return self._unsent

    def _note_written(self, data: bytes, rest: memoryview) -> None:
        """Note how far the writing of `data` came: `rest` is what the peer has not got."""
        if not rest:
            self._unsent, self._half_written = None, b""
        elif len(rest) < len(data) and self._writable:
            self._unsent, self._half_written = rest, data

    def _gone(self) -> PeerGone:
        self._peer_gone = True
        return PeerGone("the peer has closed its end of the channel")

    def _busy(self, doing: str) -> ChannelBusy:
        return ChannelBusy(f"somebody else is {doing} on this channel; it takes one reader and one writer")

    def _kill(self, error: ChannelError) -> None:
        """Note the error after which nothing on this channel means anything any more."""
        self._dead = error
        refusal = ChannelDead(f"the channel is dead since an earlier error: {error}")
        self._refuse_reading(refusal)
        self._refuse_writing(refusal)
        self._descriptors.close()

    def _refuse_reading(self, error: ChannelDead) -> None:
        self._decoder = _Refusal(error)
        self._array = self._decoder.array

    def _refuse_writing(self, error: ChannelDead) -> None:
        self._send_bytes = self._sendmsg = _Refusal(error).array
        self._writable = False
        self._unsent = None

    def _shut(self) -> None:
        """Close the socket and every descriptor that nobody has asked for."""
        self._socket.close()
        self._descriptors.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"dead: {self._dead}" if self._dead else "open"
        return f"<{type(self).__name__} {self.fileno()}: {state}>"


def interrupted(what: str, error: BaseException) -> ChannelDead:
    """Return the error of every later call, after `error` came out of a signal's handler during one."""
    name = type(error).__name__
    return ChannelDead(f"a {what} was interrupted by {name}: how much of a message is lost cannot be known")


class _Refusal:
    """Stands where the decoder of a channel stood that must not be read any more."""

    def __init__(self, error: ChannelDead) -> None:
        self._error = error

    def array(self, *_: object) -> NoReturn:
        # A new one each time: an exception that is raised twice gathers the frames of both.
        raise ChannelDead(*self._error.args)

    scalar = marker = feed = end = array
