"""The names of a response's headers: which are the server's, and which are none."""

from __future__ import annotations

import re
from typing import Final

CONTENT_LENGTH: Final = "content-length"
DATE: Final = "date"
HOP_BY_HOP: Final = "hop-by-hop"
REQUEST_ID: Final = "x-request-id"
ORDINARY: Final = ""

_SPECIAL: Final = {
    "content-length": CONTENT_LENGTH,
    "date": DATE,
    "x-request-id": REQUEST_ID,
    # RFC 2616, 13.5.1, to which PEP 3333 refers: they belong to the server.
    "connection": HOP_BY_HOP,
    "keep-alive": HOP_BY_HOP,
    "proxy-authenticate": HOP_BY_HOP,
    "proxy-authorization": HOP_BY_HOP,
    "te": HOP_BY_HOP,
    "trailer": HOP_BY_HOP,
    "trailers": HOP_BY_HOP,
    "transfer-encoding": HOP_BY_HOP,
    "upgrade": HOP_BY_HOP,
}
_KNOWN_LIMIT: Final = 512

known_kinds: dict[str, str] = {}
"""What the server has to do with a header, by its name as applications spell it: valid ones; bounded."""

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class ApplicationFault(Exception):
    """The application broke PEP 3333; the message says how."""


def kind_of(name: str) -> str:
    """Return what the server has to do with a header, which is known from then on.

    Raises `ApplicationFault` where that is no name of one.
    """
    if not _NAME.fullmatch(name):
        raise ApplicationFault(f"{name!r} is no name of a header")
    kind = _SPECIAL.get(name.lower(), ORDINARY)
    if len(known_kinds) < _KNOWN_LIMIT:
        known_kinds[name] = kind
    return kind
