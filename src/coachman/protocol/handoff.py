"""What travels with a connection from one worker to the next: a message of the handoff queue."""

from __future__ import annotations

from typing import Final

import msgspec


class Passport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the next worker has to know of a connection, beyond what the kernel tells of its socket.

    As JSON, because workers of two generations, of two versions of coachman even, share a queue: a field that
    a reader does not know is passed over, one that the writer did not know has its default.
    """

    server: tuple[str, str] = ("localhost", "80")
    """Host and port at which the client has reached us."""
    peer: tuple[str, str] = ("", "")
    """Host and port of the client; a host of "": a local process, on a unix socket."""
    scheme: str = "http"
    """By which the client asks, as a proxy tells it by the PROXY protocol."""
    introduced: bool = False
    """Whether the PROXY protocol's header, where it is expected, was read."""
    served: int = 0
    """Requests that have been answered on the connection."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Passport)

MAX_SIZE: Final = 4096
"""Bytes that a message may have."""

USUAL_SIZE: Final = 192
"""Bytes that every message has, unless it needs more: so the bytes in a queue tell how many there are."""


def encode_passport(passport: Passport) -> bytes:
    """Return the message for `passport`."""
    return _encoder.encode(passport).ljust(USUAL_SIZE)  # with spaces, which JSON takes for nothing


def messages_in(size: int) -> int:
    """Return how many messages so many bytes of a queue are, what only wakes somebody not counted."""
    return size // USUAL_SIZE


def decode_passport(message: bytes) -> Passport | None:
    """Return what a message says; None where it cannot be understood."""
    try:
        return _decoder.decode(message)
    except msgspec.DecodeError:  # ValidationError among them
        return None
