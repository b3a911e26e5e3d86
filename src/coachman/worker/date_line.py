"""The `Date` header of every response."""

from __future__ import annotations

from email.utils import formatdate
from time import time

_date: tuple[float, float, bytes] = (0.0, 0.0, b"")
"""From when and until when the line is right, in seconds since the epoch."""


def date_line() -> bytes:
    """Return the `Date` header with its line end, formatted once a second."""
    global _date
    begin, end, line = _date
    now = time()
    if not begin <= now < end:
        second = int(now)
        line = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        _date = (float(second), second + 1.0, line)  # in one step: other threads see the old ones or these
    return line
