"""What a connection says by itself: an error response to its peer, and an application's error to the log."""

from __future__ import annotations

import traceback

from coachman.protocol.request_ids import HEADER
from coachman.worker.date_line import date_line


def traceback_text(error: BaseException, engine_file: str) -> str:
    """Return the traceback of `error`, without the frames at its top that are of `engine_file`.

    What is left is the application's own.
    """
    while error.__traceback__ is not None and error.__traceback__.tb_frame.f_code.co_filename == engine_file:
        error.__traceback__ = error.__traceback__.tb_next
    return "".join(traceback.format_exception(error)).rstrip()


def error_response(status: str, *, head_only: bool = False, request_id: str = "") -> bytes:
    """Return a whole response that says no more than `status`, and is the last on its connection.

    `request_id`: of the request that it answers; "": it has none.
    """
    body = f"{status}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    if request_id:
        head += f"{HEADER}: {request_id}\r\n"
    return head.encode() + date_line() + b"Connection: close\r\n\r\n" + (b"" if head_only else body)
