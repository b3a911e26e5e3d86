"""What a client is answered by the watchdog, for an application that does not."""

from __future__ import annotations

from typing import Final

from coachman.protocol.request_ids import HEADER

LATE_BODY: Final = b"504 Gateway Timeout\n"


def late_fields(request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the header fields of the answer to the request with that id; "": it has none."""
    fields = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(LATE_BODY)).encode()),
        (b"connection", b"close"),
    ]
    if request_id:
        fields.append((HEADER.lower().encode(), request_id.encode()))
    return fields


def late_answer(request_id: str, *, head_only: bool) -> bytes:
    """Return the whole answer. `head_only`: it is for a HEAD."""
    lines = [name + b": " + value for name, value in late_fields(request_id)]
    head = b"\r\n".join([b"HTTP/1.1 504 Gateway Timeout", *lines, b"", b""])
    return head if head_only else head + LATE_BODY
