"""The head of a response, from what the application gives; and how its body is to be framed (RFC 9112)."""

from __future__ import annotations

import http
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, DATE = "length", "coding", "connection", "date"

_SPECIAL: Final = {
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"date": DATE,
}
_BAD_NAME: Final = re.compile(rb'[\x00-\x20\x7f-\xff()<>@,;:\[\]={}\\"/?]')
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_KNOWN_LIMIT: Final = 1024


class _Line(NamedTuple):
    """A header that was looked at."""

    line: bytes
    special: str | None
    value: bytes


_known: dict[Any, _Line] = {}
"""By name and value, as applications give them; most send the same few over and over. Bounded."""


class Framing(NamedTuple):
    """What the head says of the body that follows it."""

    length: int | None
    """Bytes of the body; None: none is declared."""
    chunked: bool
    keep_alive: bool


def _make_status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES: Final = {status: _make_status_line(status) for status in range(200, 600)}


def status_line(status: int) -> bytes:
    """Return the first line of a response; raise `RuntimeError` where there is no such final status."""
    line = _STATUS_LINES.get(status)
    if line is None:
        raise RuntimeError(f"{status!r} is not a final status")
    return line


def make_head(
    status: int,
    headers: Iterable[Any],
    *,
    date: bytes,
    version: str,
    keep_alive: bool,
    bodyless: bool,
    whole: int | None,
) -> tuple[bytes, Framing]:
    """Return the bytes of the head, and the framing that it declares.

    `date` is a whole line. `whole` is the length of the body where all of it is known, else None. Raises
    `RuntimeError` where the application gave what must not be sent.
    """
    lines = [status_line(status)]
    length: int | None = None
    for pair in headers:
        try:
            known = _known[pair]
        except (KeyError, TypeError):  # a list cannot be a key
            known = _look_at(pair)
        special = known.special
        if special is None:
            lines.append(known.line)
        elif special is CONTENT_LENGTH:
            if length is not None:
                raise RuntimeError("content-length is given twice")
            length = _length_of(known.value)
            if status != 204:  # which has none (RFC 9110, 8.6)
                lines.append(known.line)
        elif special is DATE:
            date = known.line
        elif special is CONNECTION and b"close" in known.value.lower():
            keep_alive = False
        # What else there is of these two is the server's to say.
    lines.append(date)
    chunked = False
    if length is None and not bodyless and status not in (204, 304):
        if whole is not None:
            length = whole
            lines.append(b"content-length: %d\r\n" % whole)
        elif version == "1.1":
            chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            keep_alive = False  # only the end of the connection can end this body
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    elif version == "1.0":
        lines.append(b"connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return b"".join(lines), Framing(length, chunked, keep_alive)


def _look_at(pair: Any) -> _Line:
    name, value = pair
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise RuntimeError(f"the header {name!r}: {value!r} is not made of bytes")
    if not name or _BAD_NAME.search(name) or _BAD_VALUE.search(value):
        raise RuntimeError(f"the header {name!r}: {value!r} has a character in it that must not be sent")
    lowered = name.lower()
    known = _Line(lowered + b": " + value + b"\r\n", _SPECIAL.get(lowered), value)
    if len(_known) < _KNOWN_LIMIT and type(pair) is tuple:
        _known[pair] = known
    return known


def _length_of(value: bytes) -> int:
    if not value.isdigit():
        raise RuntimeError(f"the content-length {value!r} is not a whole number")
    return int(value)
