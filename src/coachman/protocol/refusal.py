"""The answer of a supervisor whose workers cannot answer: 503 with Retry-After (RFC 9110, 15.6.4, 10.2.3)."""

from __future__ import annotations

from typing import Final

HEAD_LIMIT: Final = 64 * 1024
"""Bytes of a request's head that are read before it is answered all the same."""

SORRY: Final = "This site cannot answer at the moment. Please try again in a moment.\n"


def head_is_complete(received: bytes | bytearray) -> bool:
    """Return whether the head of a request is there, or so much that no more of it is wanted."""
    return b"\r\n\r\n" in received or b"\n\n" in received or len(received) >= HEAD_LIMIT


def refusal(head: bytes | bytearray, *, retry_after: int, page: str | None = None) -> bytes:
    """Return the response to a request that begins with `head`: 503, and the connection is closed.

    `retry_after` is in whole seconds; `page` is an HTML document to show instead of a plain sentence.
    """
    body = (SORRY if page is None else page).encode()
    kind = "plain" if page is None else "html"
    fields = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        f"Retry-After: {retry_after}\r\n"
        f"Content-Type: text/{kind}; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return fields.encode() + (b"" if head.startswith(b"HEAD ") else body)
