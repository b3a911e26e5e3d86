"""Requests that are not served, and the answer to them."""

from __future__ import annotations

from coachman.worker.wsgi.response import date_line


class Refusal(Exception):
    """A request is not served; `status` is the answer, the message says why."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def refusal_response(status: str) -> bytes:
    """Return the whole answer, after which the connection ends."""
    body = f"{status}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        f"{date_line()}Connection: close\r\n\r\n"
    )
    return head.encode() + body
