"""The `Date` header of every response."""

from __future__ import annotations

import time
from email.utils import formatdate

_date: tuple[int, str] = (0, "")


def date_line() -> str:
    """Return the `Date` header with its line end, formatted once a second."""
    global _date
    now = int(time.time())
    second, line = _date
    if now != second:
        line = f"Date: {formatdate(now, usegmt=True)}\r\n"
        _date = (now, line)  # in one step: other threads see the old pair or this one
    return line
