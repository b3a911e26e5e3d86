"""The answer to a request that is not served."""

from __future__ import annotations

import time

from coachman.protocol.access_log import Access, no_request
from coachman.worker.date_line import date_line


def refusal_body(status: str) -> bytes:
    """Return the body of the answer."""
    return f"{status}\n".encode()


def refusal_response(status: str) -> bytes:
    """Return the whole answer, after which the connection ends."""
    body = refusal_body(status)
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + date_line() + b"Connection: close\r\n\r\n" + body


def refused(status: str, peer: str) -> Access:
    """Return what the access log has of what was sent by `peer`, and is no request that is served."""
    return no_request(peer, int(status[:3]), len(refusal_body(status)), time.monotonic_ns())
