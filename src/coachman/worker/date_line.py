"""The `Date` header of every response."""

from __future__ import annotations

import time
from email.utils import formatdate

_date: tuple[int, bytes] = (0, b"")


def date_line() -> bytes:
    """Return the `Date` header with its line end, formatted once a second."""
    global _date
    now = int(time.time())
    second, line = _date
    if now != second:
        line = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        _date = (now, line)  # in one step: other threads see the old pair or this one
    return line
