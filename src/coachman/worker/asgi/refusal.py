"""The answer to a request that is not served."""

from __future__ import annotations

from coachman.worker.date_line import date_line


def refusal_response(status: str) -> bytes:
    """Return the whole answer, after which the connection ends."""
    body = f"{status}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        f"{date_line()}Connection: close\r\n\r\n"
    )
    return head.encode() + body
