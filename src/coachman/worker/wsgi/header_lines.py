"""The lines that an application's status and headers become (PEP 3333), and what they say to the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coachman.worker.wsgi.header_kinds import (
    CONTENT_LENGTH,
    DATE,
    HOP_BY_HOP,
    ORDINARY,
    REQUEST_ID,
    ApplicationFault,
    kind_of,
    known_kinds,
)

_CONTROLS: Final = bytes(range(0x20)).replace(b"\t", b"") + b"\x7f"


@dataclass(frozen=True, slots=True)
class HeaderLines:
    """What an application has said of its response."""

    text: bytes
    """The status line and a line for each header; the head goes on behind that."""
    length: int | None
    """What it declares the body's length to be; None: it does not."""
    dated: bool
    """Whether the header `Date` is among them."""
    identified: bool
    """Whether the header `X-Request-Id` is."""
    bodyless: bool
    """Whether responses of this status have no body."""


_last: tuple[str, Sequence[tuple[str, str]], HeaderLines] = (
    "",
    [],
    HeaderLines(b"", None, dated=False, identified=False, bodyless=False),
)


def header_lines(status: str, headers: Sequence[tuple[str, str]]) -> HeaderLines:
    """Return the lines for `status` and `headers`. Raises `ApplicationFault` where they break PEP 3333.

    The last ones are remembered: many an application says the same of most of its responses, and to compare
    takes a tenth of the time. May be called in any thread.
    """
    global _last
    last_status, last_headers, lines = _last
    if headers == last_headers and status == last_status:
        return lines
    lines = _make(status, headers)
    if all(type(header) is tuple for header in headers):  # or they might be changed behind our back
        _last = (status, list(headers), lines)  # in one step: other threads see the old ones or these
    return lines


def _make(status: str, headers: Sequence[tuple[str, str]]) -> HeaderLines:
    lines = [f"HTTP/1.1 {status}\r\n"]
    declared: str | None = None
    dated = identified = False
    for name, value in headers:
        try:
            kind = known_kinds[name]
        except KeyError:
            kind = kind_of(name)
        if kind is not ORDINARY:
            if kind is HOP_BY_HOP:
                raise ApplicationFault(f"header {name!r} is the server's to send (PEP 3333)")
            if kind is DATE:
                dated = True
            elif kind is REQUEST_ID:
                identified = True
            elif kind is CONTENT_LENGTH:
                if declared is not None:
                    raise ApplicationFault("Content-Length was given twice")
                declared = value
                if status.startswith("204"):
                    continue  # it has none (RFC 9110, 8.6)
        try:
            lines.append(name + ": " + value + "\r\n")
        except TypeError:
            raise ApplicationFault(f"the value of header {name!r} is no string: {value!r}") from None
    text = "".join(lines).encode("latin-1")
    # One check over all lines instead of one for each: every line ends in the only controls it holds.
    if len(text.translate(None, _CONTROLS)) != len(text) - 2 * len(lines):
        raise ApplicationFault(f"a control character in status {status!r} or headers {headers!r}")
    length = None
    if declared is not None:
        if not declared.isascii() or not declared.isdecimal():
            raise ApplicationFault(f"Content-Length {declared!r} is not a whole number")
        length = int(declared)
    bodyless = status.startswith(("204", "304"))
    return HeaderLines(text, length, dated=dated, identified=identified, bodyless=bodyless)
