"""The supervisor's side of the negotiation: it reads stdout until the start is decided."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from coachman.protocol.lines import CUT, LineSplitter
from coachman.protocol.stdio import (
    ACKNOWLEDGEMENT,
    LINE_LIMIT,
    PREFIX,
    AdvertisedSocket,
    Line,
    classify,
    decode_field,
    decode_text,
    encode_field,
    parse_pid,
    quote,
)
from coachman.protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

CONTROL_LIMIT = 16
"""How often an application may ask for its request during one start: again when it executes itself again."""

FIELD_LIMIT = 256
"""Fields that one start may report: a wrapper that reports without end is not waited for."""

ERROR_TEXT_LIMIT = 1024 * 1024
"""Bytes of an application's error text that are kept."""


class Step(Enum):
    """Where the start stands, as the supervisor sees it."""

    GREETING = auto()
    """The process runs; its wrapper has not spoken yet."""
    STARTING = auto()
    """The wrapper has the request; the application is loading."""
    READY_FIELDS = auto()
    ERROR_FIELDS = auto()
    ERROR_TEXT = auto()
    """What follows, to the end of the stream, is the message for the person."""
    READY = auto()
    FAILED = auto()


TRANSITIONS: dict[Step, dict[Line, Step]] = {
    Step.GREETING: {Line.CONTROL: Step.STARTING, Line.ERROR: Step.ERROR_FIELDS},
    # Control again: the application executed itself anew, under another interpreter for example.
    Step.STARTING: {
        Line.CONTROL: Step.STARTING,
        Line.READY: Step.READY_FIELDS,
        Line.ERROR: Step.ERROR_FIELDS,
    },
    Step.READY_FIELDS: {
        Line.FIELD: Step.READY_FIELDS,
        Line.END: Step.READY,
        Line.ERROR: Step.ERROR_FIELDS,
    },
    Step.ERROR_FIELDS: {Line.FIELD: Step.ERROR_FIELDS, Line.END: Step.ERROR_TEXT},
    # In these no line is read as protocol any more.
    Step.ERROR_TEXT: {},
    Step.READY: {},
    Step.FAILED: {},
}


class Send(Value):
    """Write `data` to the application's stdin."""

    data: bytes


class Output(Value):
    """A line, without newline, that the application printed: it belongs in the log."""

    line: bytes


class Ready(Value):
    """The application takes requests. The bytes of stdout from here on are its log."""

    sockets: tuple[AdvertisedSocket, ...]
    fields: Mapping[str, str]
    """Every field but the sockets, also those that have no meaning here."""

    @property
    def unknown_fields(self) -> dict[str, str]:
        """Those that have no meaning here."""
        return {key: value for key, value in self.fields.items() if key != "pid"}


class Refused(Value):
    """The application reported by itself that its start failed."""

    text: str
    html: bool
    """Whether `text` is HTML."""


class Broken(Value):
    """The application side broke the protocol; `reason` quotes the line."""

    reason: str


class Ended(Value):
    """stdout was closed before the start was decided. What became of the process, its exit status tells."""

    step: Step


Event: TypeAlias = Send | Output | Ready | Refused | Broken | Ended


class SupervisorHalf:
    """Feed it what arrives on stdout, act on the events it returns.

    `request` are the fields that the wrapper is sent. The start is decided by exactly one of `Ready`,
    `Refused`, `Broken` and `Ended`.
    """

    def __init__(self, request: Mapping[str, str]) -> None:
        fields = b"".join(encode_field(key, value) for key, value in request.items())
        self._request = ACKNOWLEDGEMENT + b"\n" + fields + b"\n"
        self._splitter = LineSplitter()
        self._continues = False
        """Whether the next line is the rest of one that was cut, and so is output whatever it begins with."""
        self._controls = 0
        self._last_protocol_line = b""
        self._field_count = 0
        self._sockets: list[AdvertisedSocket] = []
        self._fields: dict[str, str] = {}
        self._error_text = b""
        self.step = Step.GREETING

    @property
    def decided(self) -> bool:
        """True once the start has succeeded or failed."""
        return self.step in (Step.READY, Step.FAILED)

    def receive(self, data: bytes) -> list[Event]:
        """Take in bytes from stdout; an empty `data` is the end of the stream."""
        if not data:
            return self._end()
        if self.step is Step.ERROR_TEXT:
            self._error_text = (self._error_text + data)[:ERROR_TEXT_LIMIT]
            return []
        return self._receive_lines(data)

    def rest(self) -> bytes:
        """Return the unfinished line behind the decision: the log goes on with it."""
        rest, self._splitter.partial = self._splitter.partial, b""
        return rest

    def _receive_lines(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        lines = self._splitter.feed(data)
        for number, line in enumerate(lines):
            protocol, self._continues = self._is_protocol(line), line.endswith(CUT)
            if not protocol:
                events.append(Output(line))
                continue
            events.extend(self._receive_protocol(line))
            if self.step is Step.ERROR_TEXT:
                rest = b"\n".join([*lines[number + 1 :], self._splitter.partial])
                self._error_text = rest[:ERROR_TEXT_LIMIT]
                self._splitter.partial = b""
                break
        partial = self._splitter.partial
        if len(partial) > LINE_LIMIT and self._is_protocol(partial):
            events.append(self._break(f"a line over {LINE_LIMIT} bytes: {quote(partial)}"))
        return events

    def _is_protocol(self, line: bytes) -> bool:
        return line.startswith(PREFIX) and not (self.decided or self._continues)

    def _receive_protocol(self, prefixed: bytes) -> list[Event]:
        line = prefixed[len(PREFIX) :]
        if len(prefixed) > LINE_LIMIT:
            return [self._break(f"a line over {LINE_LIMIT} bytes: {quote(prefixed)}")]
        kind = classify(line)
        step = TRANSITIONS[self.step].get(kind) if kind is not None else None
        if kind is None or step is None:
            return [
                self._break(f"the line {quote(prefixed)} is out of place (step {self.step.name.lower()})")
            ]
        was, self.step = self.step, step
        self._last_protocol_line = prefixed
        if kind is Line.CONTROL:
            self._controls += 1
            if self._controls > CONTROL_LIMIT:
                return [self._break(f"{quote(prefixed)} was said more than {CONTROL_LIMIT} times")]
            return [Send(self._request)]
        if kind is Line.FIELD:
            return self._receive_field(line)
        if kind is Line.END and was is Step.READY_FIELDS:
            return [Ready(tuple(self._sockets), self._fields)]
        if kind is Line.ERROR:
            self._fields = {}
        return []

    def _receive_field(self, line: bytes) -> list[Event]:
        key, value = decode_field(line)
        self._field_count += 1
        if self._field_count > FIELD_LIMIT:
            return [self._break(f"more than {FIELD_LIMIT} fields, the last of them {quote(line)}")]
        try:
            if key == "socket" and self.step is Step.READY_FIELDS:
                self._sockets.append(AdvertisedSocket.parse(value))
                return []
            if key == "pid" and self.step is Step.READY_FIELDS:
                parse_pid(value)
        except ValueError as error:
            return [self._break(str(error))]
        self._fields[key] = value
        return []

    def _end(self) -> list[Event]:
        if self.decided:
            return []
        cut_short = self._is_protocol(self._splitter.partial)
        step, self.step = self.step, Step.FAILED
        if step is Step.ERROR_TEXT:
            return [Refused(decode_text(self._error_text), html=self._fields.get("html") == "true")]
        partial = self.rest()
        events: list[Event] = [Output(partial)] if partial else []
        if cut_short:
            return [*events, Broken(f"the stream ended inside the line {quote(partial)}")]
        if step in (Step.READY_FIELDS, Step.ERROR_FIELDS):
            return [*events, Broken(f"the stream ended after the line {quote(self._last_protocol_line)}")]
        return [*events, Ended(step)]

    def _break(self, reason: str) -> Broken:
        self.step = Step.FAILED
        return Broken(reason)
