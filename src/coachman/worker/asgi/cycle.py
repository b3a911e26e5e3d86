"""One request and its response, as the application has them: uvicorn's cycle with a response of our own.

`receive` is uvicorn's. Its `send` looks at every header with two patterns and sends a head before there is a
body to it, which ASGI forbids, chunked even where the peer is of HTTP/1.0 (as of 0.54).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from coachman.counted import counted
from coachman.protocol.request_ids import HEADER
from coachman.worker.asgi.response_head import make_head, status_line

FAILURE: Final = b"500 Internal Server Error\n"


class Cycle(RequestResponseCycle):
    """What the application is called with; uvicorn's protocol looks at the attributes that have its names."""

    def __init__(
        self,
        scope: Any,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        date: bytes,
        expect_100_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        # Not the base's: it takes what only its `send` needs, and this runs for every request.
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.message_event = asyncio.Event()
        self.on_response = on_response
        self.disconnected = False
        self.keep_alive = keep_alive
        """Whether the connection can carry a further request; final once the head is sent."""
        self.waiting_for_100_continue = expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        """The head is on its way."""
        self.response_complete = False
        self.status = 0
        """Once the application has given it."""
        self.instead = (0, 0)
        """Status and bytes of body of the answer that the client gets in its place, where it does."""
        self.request_id = ""
        """What the client is told where it is answered for the application; "": nothing."""
        self.task: asyncio.Task[None] | None = None
        """The call of the application."""
        self._date = date
        self._headers: Any = ()
        self._bodyless = scope["method"] == "HEAD"
        self._chunked = False
        self._remaining: int | None = None
        """Bytes of the body that the declared length still allows; None where none is declared."""
        self._sent = 0
        """Bytes behind the head that were given to the transport."""

    async def send(self, message: Any) -> None:
        """The `send` of ASGI; raises `RuntimeError` where the application breaks the protocol."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if self.response_complete:
            raise RuntimeError(f"{kind!r} after the end of the response")
        if kind == "http.response.start":
            if self.status:
                raise RuntimeError("a second http.response.start")
            status_line(message["status"])  # the scoreboard gets it, whether it is sent or not
            self.status = message["status"]
            # It goes with the first part of the body, as ASGI wants it: what fails before can still say so.
            self._headers = message.get("headers", ())
        elif kind == "http.response.body":
            if not self.status:
                raise RuntimeError("http.response.body before http.response.start")
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind!r} is not part of a response")

    def _send_body(self, body: bytes, *, more: bool) -> None:
        head = b"" if self.response_started else self._head(None if more else len(body))
        size = len(body)
        if self._bodyless:
            body = b""
        elif self._remaining is not None:
            if size > self._remaining:
                raise RuntimeError(f"the body is longer than its content-length, by {size - self._remaining}")
            self._remaining -= size
        elif self._chunked:
            body = (b"%x\r\n%b\r\n" % (size, body) if size else b"") + (b"" if more else b"0\r\n\r\n")
        if not more and self._remaining and not self._bodyless:
            raise RuntimeError(f"the body ended {counted(self._remaining, 'byte')} before its content-length")
        self.response_started = True
        self._sent += len(body)
        if data := head + body if head else body:
            self.transport.write(data)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive and not self.more_body:
                self.transport.close()  # else the connection sees to it that the answer can be read
            self.on_response()

    def _head(self, whole: int | None) -> bytes:
        status = self.status
        head, framing = make_head(
            status,
            self._headers,
            date=self._date,
            version=self.scope["http_version"],
            keep_alive=self.keep_alive,
            bodyless=self._bodyless,
            whole=whole,
        )
        self._remaining, self._chunked, self.keep_alive = framing
        self.waiting_for_100_continue = False
        if status in (204, 304):
            self._bodyless = True
        return head

    def answered(self) -> tuple[int, int]:
        """Return status and bytes of body that go out; 0: none. The application has returned or failed."""
        if any(self.instead):
            return self.instead
        if self.response_started:
            return self.status, self._sent
        return (0, 0) if self.disconnected else (500, len(FAILURE))

    def fail(self) -> None:
        """Answer for an application that has failed."""
        self.answer(500, FAILURE)

    def answer(self, status: int, body: bytes) -> None:
        """Answer for the application, where nothing of a response was sent; the connection ends with it."""
        self.keep_alive = False
        self.status, self._headers = status, [(b"content-type", b"text/plain")]
        if self.request_id:
            self._headers.append((HEADER.lower().encode(), self.request_id.encode()))
        self._send_body(body, more=False)
