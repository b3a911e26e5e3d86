"""What a client is answered by the watchdog, for an application that does not."""

from __future__ import annotations

from typing import Final

LATE_BODY: Final = b"504 Gateway Timeout\n"
LATE_FIELDS: Final = (
    (b"content-type", b"text/plain"),
    (b"content-length", str(len(LATE_BODY)).encode()),
    (b"connection", b"close"),
)
LATE_HEAD: Final = b"".join(
    (
        b"HTTP/1.1 504 Gateway Timeout\r\n",
        *(name + b": " + value + b"\r\n" for name, value in LATE_FIELDS),
        b"\r\n",
    )
)
LATE_ANSWER: Final = LATE_HEAD + LATE_BODY
