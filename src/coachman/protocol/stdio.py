"""The lines of the stdio channel, which an application process and its supervisor negotiate its start with.

::

    app  !> I have control 1.0
    us   You have control 1.0
    us   app_root: /srv/app                 one "key: value" per line
    us                                      an empty line ends the request
    app  !> Ready
    app  !> socket: main;tcp://127.0.0.1:8000;http;4
    app  !>                                 the prefix alone: the end

A start that fails says ``!> Error`` instead, at any point before the end, then optional fields, the end, and
text for the person until the stream closes. `docs/protocols.md` has every byte.
"""

from __future__ import annotations

from enum import Enum, auto

from coachman.protocol.addresses import Endpoint, parse_endpoint
from coachman.protocol.value import Value

PREFIX = b"!> "
"""What every line of the application side that means something here starts with."""

CONTROL = b"I have control 1.0"
ACKNOWLEDGEMENT = b"You have control 1.0"
LINE_LIMIT = 16 * 1024
"""Bytes that one line of the protocol may have."""


class Line(Enum):
    """What a line of the application side is, its prefix taken off."""

    CONTROL = auto()
    READY = auto()
    ERROR = auto()
    FIELD = auto()
    END = auto()


_FIXED = {CONTROL: Line.CONTROL, b"Ready": Line.READY, b"Error": Line.ERROR, b"": Line.END}


def classify(line: bytes) -> Line | None:
    """Return what `line`, without its prefix, is; None where the protocol has no such line."""
    known = _FIXED.get(line)
    if known is not None:
        return known
    return Line.FIELD if b": " in line else None


def decode_field(line: bytes) -> tuple[str, str]:
    """Return key and value of a ``key: value`` line; raise ValueError where it is none."""
    key, separator, value = line.partition(b": ")
    if not separator:
        raise ValueError(f"{quote(line)} is not of the form 'key: value'")
    return decode_text(key), decode_text(value)


def encode_field(key: str, value: str) -> bytes:
    """Return the line for a field, with its newline; raise ValueError where a line cannot carry it."""
    line = encode_text(f"{key}: {value}")
    if b"\n" in line or ": " in key or not key:
        raise ValueError(f"a line cannot carry the field {key!r} with the value {value!r}")
    if len(line) > LINE_LIMIT:
        raise ValueError(f"the field {key!r} is longer than a line may be ({LINE_LIMIT} bytes)")
    return line + b"\n"


def parse_pid(value: str) -> int:
    """Read the value of a ``pid`` field; raise ValueError, quoting it, where it is no process's number."""
    if not (value.isascii() and value.isdecimal()) or not 0 < int(value) < 2**31:
        raise ValueError(f"the pid {value!r} is not the number of a process")
    return int(value)


def decode_text(data: bytes) -> str:
    """Decode UTF-8 such that any byte survives the way back."""
    return data.decode("utf-8", "surrogateescape")


def encode_text(text: str) -> bytes:
    """Encode as UTF-8, with the bytes that `decode_text` could not read."""
    return text.encode("utf-8", "surrogateescape")


def quote(line: bytes) -> str:
    """Return `line` as a person can read it in a message, shortened."""
    shown = line if len(line) <= 200 else line[:200] + b"..."
    return repr(shown.decode("utf-8", "backslashreplace"))


class AdvertisedSocket(Value):
    """Where an application says it can be reached: the value of a ``socket`` field."""

    name: str
    address: str
    """``unix:/absolute/path`` or ``tcp://127.0.0.1:port``."""
    protocol: str
    concurrency: int
    """How many requests it takes at once; 0 for no limit."""

    @classmethod
    def parse(cls, value: str) -> AdvertisedSocket:
        """Read ``name;address;protocol;concurrency``; raise ValueError, quoting it, where it is wrong."""
        parts = value.split(";")
        if len(parts) != 4:
            raise ValueError(
                f"socket {value!r} does not have the four fields name;address;protocol;concurrency"
            )
        name, address, protocol, concurrency = parts
        if not (concurrency.isascii() and concurrency.isdecimal()):
            raise ValueError(f"the concurrency in socket {value!r} is not a whole number")
        try:
            parse_endpoint(address)
        except ValueError as error:
            raise ValueError(f"the address in socket {value!r} {error}") from None
        return cls(name, address, protocol, int(concurrency))

    @property
    def endpoint(self) -> Endpoint:
        """Where to connect to."""
        return parse_endpoint(self.address)

    def __str__(self) -> str:
        return f"{self.name};{self.address};{self.protocol};{self.concurrency}"
