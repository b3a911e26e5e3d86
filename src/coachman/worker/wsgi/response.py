"""One response: `start_response`, the head, and the framing of the body (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import Final, TypeAlias

from coachman.counted import counted
from coachman.worker.date_line import date_line
from coachman.worker.wsgi.header_kinds import ApplicationFault
from coachman.worker.wsgi.header_lines import header_lines

ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
Headers: TypeAlias = list[tuple[str, str]]

_NO_HEADERS: Headers = []
_STATUS = re.compile(r"[2-5][0-9]{2} .*")
_STATUSES_LIMIT: Final = 128
_statuses: set[str] = set()
"""Those that are known to be of the right form; bounded, because applications may make them up."""


def _check_status(status: str) -> None:
    if not _STATUS.match(status):
        raise ApplicationFault(f"status {status!r} is not of the form '200 OK', from 200 to 599")
    if len(_statuses) < _STATUSES_LIMIT:
        _statuses.add(status)


def _check_bytes(data: bytes) -> None:
    if not isinstance(data, bytes):
        raise ApplicationFault(f"the body has to be made of bytes, not {type(data).__name__}")


class Response:
    """The answer to one request, from `start_response` to its last byte, without any I/O.

    `send` takes this and the bytes of the legacy `write()` callable; everything else is returned as bytes,
    for the connection to send.
    """

    __slots__ = (
        "_bodyless",
        "_chunked",
        "_headers",
        "_remaining",
        "_request_id",
        "_send",
        "_status",
        "fault",
        "head_sent",
        "keep_alive",
        "sent_status",
        "version",
    )

    def __init__(
        self,
        method: str,
        version: str,
        keep_alive: bool,
        send: Callable[[Response, bytes], None],
        request_id: str = "",
    ) -> None:
        """`request_id`: what the peer is told, unless the application does; "": nothing."""
        self.version = version
        self.keep_alive = keep_alive
        """Whether the connection can carry a further request; final once the head is made."""
        self.head_sent = False
        self.sent_status = ""
        """The status that the peer is sent; "" before the head is made."""
        self.fault = ""
        """What was wrong with the body's length, if anything was; "" otherwise."""
        self._send = send
        self._request_id = request_id
        self._bodyless = method == "HEAD"
        self._status = ""
        self._headers: Headers = _NO_HEADERS
        self._chunked = False
        self._remaining: int | None = None
        """Bytes of the body that the declared length still allows; None where none is declared."""

    def start(
        self, status: str, headers: Headers, exc_info: ExceptionInfo | None = None, /
    ) -> Callable[[bytes], None]:
        """The `start_response` of PEP 3333."""
        if exc_info is not None:
            try:
                if self.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # or traceback and frame keep each other alive
        elif self._status:
            raise ApplicationFault("start_response() was called a second time without exc_info")
        if status not in _statuses:
            _check_status(status)
        self._status = status
        self._headers = headers
        return self._write

    def whole(self, body: bytes) -> bytes:
        """Return head and body in one piece, for a body that is known completely."""
        if type(body) is not bytes:
            _check_bytes(body)
        if self.head_sent:
            return self.part(body) + self.end()
        size = len(body)
        head = self._head(size)
        if self._remaining == size and not self._bodyless:
            self._remaining = 0  # as nearly always: nothing to cut, and nothing missing
            return head + body
        body = self._cut(body)
        self._check_complete()
        return head + body

    def head_and_body(self, body: bytes) -> tuple[bytes, bytes]:
        """Return both by themselves, for a body that is known completely and worth no copy."""
        _check_bytes(body)
        head = self._head(len(body))
        body = self._cut(body)
        self._check_complete()
        return head, body

    def file_head(self, size: int) -> tuple[bytes, int]:
        """Return the head for the rest of a file, `size` bytes, and how many of these are to follow it."""
        head = self._head(size, even_for_head=True)
        if self._bodyless:
            return head, 0
        assert self._remaining is not None
        sent = min(size, self._remaining)  # more in the file is no fault: a range of it was asked for
        self._remaining -= sent
        self._check_complete()
        return head, sent

    def part(self, data: bytes) -> bytes:
        """Return the framed bytes for one block of the body, behind the head if that is still to be sent."""
        _check_bytes(data)
        if not data:
            return b""
        head = b"" if self.head_sent else self._head(None)
        data = self._cut(data)
        if self._chunked and data:
            return b"%b%x\r\n%b\r\n" % (head, len(data), data)
        return head + data

    def end(self) -> bytes:
        """Return what ends the response once the last block has been framed."""
        head = b"" if self.head_sent else self._head(0)
        if self._chunked:
            return head + b"0\r\n\r\n"
        self._check_complete()
        return head

    @property
    def over(self) -> bool:
        """Whether nothing that the application may still return can go out."""
        return self.head_sent and (self._bodyless or self.fault != "")

    def _check_complete(self) -> None:
        if self._remaining and not self._bodyless:
            self.fault = f"the body ended {counted(self._remaining, 'byte')} before its Content-Length"
            self.keep_alive = False  # the peer waits for bytes that will not come

    def _write(self, data: bytes) -> None:
        if data:
            self._send(self, self.part(data))

    def _cut(self, data: bytes) -> bytes:
        """Return the part of `data` that may go out: no more than declared, nothing without a body."""
        if self._bodyless:
            return b""
        if self._remaining is not None:
            if len(data) > self._remaining:
                surplus = len(data) - self._remaining
                self.fault = (
                    f"the body is longer than its Content-Length, by at least {counted(surplus, 'byte')}"
                )
                self.keep_alive = False
                data = data[: self._remaining]
            self._remaining -= len(data)
        return data

    def _head(self, length: int | None, *, even_for_head: bool = False) -> bytes:
        """Return status line and headers.

        `length`: of the whole body, None where it is not known yet. `even_for_head`: it is certain to be that
        of the body that GET would have.
        """
        status = self._status
        if not status:
            raise ApplicationFault("the application returned before it called start_response()")
        own = header_lines(status, self._headers)
        head = own.text if own.dated else own.text + date_line()
        if self._request_id and not own.identified:
            head += f"X-Request-Id: {self._request_id}\r\n".encode()
        if own.bodyless:
            self._bodyless = True
        if own.length is not None:
            self._remaining = own.length
        elif own.bodyless or (self._bodyless and not even_for_head):
            pass
        elif length is not None:
            head += b"Content-Length: %d\r\n" % length
            self._remaining = length
        elif self.version == "1.1":
            head += b"Transfer-Encoding: chunked\r\n"
            self._chunked = True
        else:
            self.keep_alive = False  # only the end of the connection can end this body
        if not self.keep_alive:
            head += b"Connection: close\r\n"
        elif self.version == "1.0":
            head += b"Connection: keep-alive\r\n"
        self.head_sent = True
        self.sent_status = status
        return head + b"\r\n"
