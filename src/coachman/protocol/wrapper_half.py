"""The application side of the negotiation: what a wrapper says and understands."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from coachman.protocol.lines import LineSplitter
from coachman.protocol.stdio import (
    ACKNOWLEDGEMENT,
    CONTROL,
    LINE_LIMIT,
    PREFIX,
    AdvertisedSocket,
    decode_field,
    encode_field,
    encode_text,
    quote,
)


class WrapperState(Enum):
    """Where the wrapper stands."""

    ASKING = auto()
    """It said that it has control and waits for the answer."""
    LISTENING = auto()
    """It takes the fields of the request."""
    STARTING = auto()
    """It has the request; the application is loading."""
    REPORTED = auto()
    """It said Ready or Error: nothing more may be said."""


class WrapperEvent(Enum):
    """What moves it."""

    ACKNOWLEDGED = auto()
    FIELD = auto()
    REQUEST_END = auto()
    REPORT = auto()


TRANSITIONS = {
    WrapperState.ASKING: {
        WrapperEvent.ACKNOWLEDGED: WrapperState.LISTENING,
        WrapperEvent.REPORT: WrapperState.REPORTED,
    },
    WrapperState.LISTENING: {
        WrapperEvent.FIELD: WrapperState.LISTENING,
        WrapperEvent.REQUEST_END: WrapperState.STARTING,
        WrapperEvent.REPORT: WrapperState.REPORTED,
    },
    WrapperState.STARTING: {WrapperEvent.REPORT: WrapperState.REPORTED},
    WrapperState.REPORTED: {},
}


class NegotiationError(Exception):
    """The other side said what the protocol does not allow at this point."""


class WrapperHalf:
    """Feed it what arrives on stdin, write what it returns to the channel."""

    def __init__(self) -> None:
        self.state = WrapperState.ASKING
        self.request: dict[str, str] = {}
        """The fields of the request; complete once `complete` is true."""
        self._splitter = LineSplitter()

    @property
    def complete(self) -> bool:
        """True once the request has been received whole."""
        return self.state is WrapperState.STARTING

    def greeting(self) -> bytes:
        """Return the first bytes to write."""
        return PREFIX + CONTROL + b"\n"

    def receive(self, data: bytes) -> None:
        """Take in bytes from stdin; raise `NegotiationError` where they are not a request."""
        lines = self._splitter.feed(data)
        if any(len(line) > LINE_LIMIT for line in (*lines, self._splitter.partial)):
            raise NegotiationError(f"a line of the request is longer than {LINE_LIMIT} bytes")
        for line in lines:
            self._receive_line(line)

    def ready(self, sockets: Iterable[AdvertisedSocket], *, pid: int | None = None) -> bytes:
        """Return what reports that the application takes requests on `sockets`."""
        self._move(WrapperEvent.REPORT, b"Ready")
        fields = [encode_field("socket", str(socket)) for socket in sockets]
        if pid is not None:
            fields.append(encode_field("pid", str(pid)))
        return _report(b"Ready", fields)

    def error(self, text: str, *, html: bool = False) -> bytes:
        """Return what reports that the start failed. The channel has to be closed after it."""
        self._move(WrapperEvent.REPORT, b"Error")
        return _report(b"Error", [encode_field("html", "true")] if html else []) + encode_text(text)

    def _receive_line(self, line: bytes) -> None:
        if self.state is WrapperState.ASKING and line == ACKNOWLEDGEMENT:
            self._move(WrapperEvent.ACKNOWLEDGED, line)
        elif self.state is WrapperState.LISTENING and not line:
            self._move(WrapperEvent.REQUEST_END, line)
        else:
            self._move(WrapperEvent.FIELD, line)
            try:
                key, value = decode_field(line)
            except ValueError as error:
                raise NegotiationError(str(error)) from None
            self.request[key] = value

    def _move(self, event: WrapperEvent, line: bytes) -> None:
        try:
            self.state = TRANSITIONS[self.state][event]
        except KeyError:
            raise NegotiationError(f"{quote(line)} is out of place (state {self.state.name})") from None


def _report(kind: bytes, fields: list[bytes]) -> bytes:
    return b"".join(PREFIX + line for line in [kind + b"\n", *fields, b"\n"])
