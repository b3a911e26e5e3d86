"""HTTP as far as the supervisor speaks it: the head of one request in, one response out, then the end.

What follows the head (a body, a second request) is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

HEAD_LIMIT: Final = 16 * 1024
"""Bytes that a head may have."""
TEXT: Final = "text/plain; charset=utf-8"

_END: Final = b"\r\n\r\n"
_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,32}) ([\x21-\x7e\x80-\xff]+) HTTP/1\.[0-9]")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By name in lower case; what came several times is joined with commas."""

    @property
    def path(self) -> str:
        """The target without its query, as it came: nothing is decoded or resolved."""
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response; lengths and what concerns the connection are added when it is encoded."""

    status: int
    body: bytes = b""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, *, date: str, bodyless: bool = False) -> bytes:
        """Return its bytes; `date` is a date of HTTP, `bodyless`: it answers HEAD."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = ""
        lines = [
            f"HTTP/1.1 {self.status} {phrase}",
            f"Date: {date}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        return head if bodyless else head + self.body


def text_response(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return a response of plain text, with a newline at its end."""
    return Response(status, f"{text}\n".encode(), headers=headers)


BAD_REQUEST: Final = text_response(400, "this is not a request of HTTP/1")
TOO_LARGE: Final = text_response(431, f"the head of a request may have {HEAD_LIMIT} bytes here")


def read_head(received: bytes | bytearray) -> Request | Response | None:
    """Return the request at the beginning of `received`; None: its head has not all come yet.

    Where there never will be one, the response that says so.
    """
    end = received.find(_END, 0, HEAD_LIMIT)
    if end < 0:
        return TOO_LARGE if len(received) >= HEAD_LIMIT else None
    first, *lines = received[:end].decode("latin-1").split("\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None:
        return BAD_REQUEST
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return BAD_REQUEST
        name, value = header[1].lower(), header[2]
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(request_line[1], request_line[2], headers)
