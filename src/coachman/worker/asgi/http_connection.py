"""One HTTP connection: uvicorn's protocol, with our bounds, our order of things at the end, and our log.

uvicorn parses, builds the scope, keeps pipelined requests in order and speaks ASGI with the application. What
is overridden here is on its seams: what comes in is bounded before uvicorn sees it, calls of the application
are counted, and an idle connection waits in one of our deadlines instead of a timer of its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, MutableMapping
from functools import partial
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from coachman.worker.asgi.context import Client, Context
from coachman.worker.asgi.deadlines import Deadlines
from coachman.worker.asgi.refusal import Refusal, refusal_response
from coachman.worker.asgi.state import State
from coachman.worker.asgi.websocket_connection import WebSocketConnection
from coachman.worker.asgi.wording import frames_of, line_of
from coachman.worker.complaints import complain

_UNBOUNDED = sys.maxsize


class HttpConnection(HttpToolsProtocol):
    """The server's end of one connection, which asyncio drives."""

    def __init__(self, context: Context, config: Config, state: State, app_state: dict[str, Any]) -> None:
        super().__init__(config, state, app_state, _loop=context.loop)
        self._context = context
        self._state = state
        self._requests = 0
        self._receiving = False
        """Something of a request has come, and not all of it."""
        self._in_head = False
        self._head_size = 0
        """Bytes of an incomplete head that earlier reads brought."""
        self._read_size = 0
        """Bytes of the present read."""
        self._body_size = 0
        self._declined = False
        """The request offers another protocol, and is to be parsed again without the offer."""
        self._running: RequestResponseCycle | None = None
        """The request whose response is due."""
        self._status = 0
        """Of the response that is due, once it has begun."""
        self._deadlines: Deadlines[Client] | None = None
        """Those in which the connection waits for its peer to send something."""
        self._refusal: Refusal | None = None
        """The answer to what will not be served; it follows the responses that are still due."""
        self._unsent = 0
        """Bytes that the peer had not taken when they were last looked at."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._context.opened(self)
        self._wait_in(self._context.heads)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._running is not None:  # uvicorn tells the last request that came, which may not be this one
            self._running.disconnected = True
            self._running.message_event.set()
        self._context.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._read_size = len(data)
        rest: bytes | None = data
        try:
            while rest is not None:
                rest = self._feed(rest)
            if self._in_head:
                self._bound_unfinished_head()
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if not self._receiving:
            self._wait_in(None)
        elif self._in_head:
            if self._deadlines is not self._context.heads:
                self._wait_in(self._context.heads)
        else:
            self._wait_in(self._context.bodies)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._context.readers.forget(self)
        if self._context.draining and self.idle:
            self._leave()

    # What the parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._in_head = True
        self._head_size = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        context = self._context
        self._check_head()
        if self.parser.should_upgrade() and self._get_upgrade() != b"websocket":
            if self.parser.get_method() == b"CONNECT":
                raise Refusal("501 Not Implemented", "CONNECT is not served here")
            self._declined = True
            return
        if self.url[:1] != b"/":
            self._take_other_form()
        self._state.renew_date()
        before = self.cycle
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is before:
            return  # a WebSocket's handshake
        self._requests += 1
        if self._requests == context.bounds.requests_per_connection or (
            context.draining and context.hand_over is None
        ):
            cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        if self._declined:
            return
        super().on_body(body)
        limit = self._context.bounds.body_size
        if limit:
            self._body_size += len(body)
            if self._body_size > limit:
                raise Refusal("413 Content Too Large", f"over {limit} bytes of body")

    def on_message_complete(self) -> None:
        if self._declined:
            return
        self._receiving = False
        super().on_message_complete()
        if self._running is None and not self.pipeline:
            self._rest()  # the response did not wait for the end of its request

    # What uvicorn calls at a request's begin and end.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running, self._status = cycle, 0
        self._context.call(self.loop.create_task(self._serve(cycle)))

    def on_response_complete(self) -> None:
        self._finish()
        if self.transport.is_closing():
            self._wait_for_reader()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._answer(self._refusal)
        elif not self._receiving:
            self._rest()

    def handle_websocket_upgrade(self) -> None:
        if self._running is not None or self.pipeline:
            raise Refusal("400 Bad Request", "a WebSocket behind a request that is not answered yet")
        self._context.closed(self)
        self.ws_protocol_class = partial(WebSocketConnection, self._context)  # type: ignore[assignment]
        super().handle_websocket_upgrade()

    # Serving a request.

    async def _serve(self, cycle: RequestResponseCycle) -> None:
        """Call the application: what `run_asgi` of uvicorn does, with our counting and our words."""
        context = self._context
        scope: Any = cycle.scope
        context.board.began(cycle, scope["method"].encode() + b" " + scope["raw_path"])
        begin_or_go_on: Any = cycle.send

        def send(message: MutableMapping[str, Any]) -> Awaitable[None]:
            if message["type"] == "http.response.start" and self._running is cycle:
                self._status = message["status"]
            sent: Awaitable[None] = begin_or_go_on(message)
            return sent

        if scope["http_version"] == "1.0":
            begin_or_go_on = partial(_send_unchunked, cycle)
        try:
            await context.application(scope, cycle.receive, send)  # type: ignore[arg-type]
            if not cycle.response_complete and not cycle.disconnected:
                what = "completing its" if cycle.response_started else "a"
                await self._fail(cycle, f"the application returned without {what} response")
        except asyncio.CancelledError:
            self.give_up()
        except BaseException as error:  # the application's own code, which ends nothing but its request
            await self._fail(cycle, f"the application failed\n{frames_of(error)}")
        finally:
            if self._running is cycle:
                self._finish()
            cycle.on_response = _do_nothing  # or connection and cycle would keep each other alive

    async def _fail(self, cycle: RequestResponseCycle, what: str) -> None:
        """Report; answer 500 where nothing was sent, else let the response break off."""
        complain(f"{line_of(cycle.scope)} from {self._describe_peer()}: {what}")
        if cycle.disconnected:
            return
        if not cycle.response_started:
            self._status = 500
            await cycle.send_500_response()
        elif not cycle.response_complete:
            self.transport.close()

    def _finish(self) -> None:
        """Note that the response which was due is complete, or will never be."""
        cycle, self._running = self._running, None
        self._context.board.ended(cycle, self._status)

    # Refusing one.

    def _check_head(self) -> None:
        """Raise `Refusal` where the head is not one that may be served."""
        bounds = self._context.bounds
        if bounds.request_line and len(self.url) > bounds.request_line:
            raise Refusal("414 URI Too Long", f"over {bounds.request_line} bytes of request line")
        if bounds.header_count and len(self.headers) > bounds.header_count:
            raise Refusal("431 Request Header Fields Too Large", f"over {bounds.header_count} headers")
        limit = bounds.header_size
        # The sum is made only where the reads that brought the head would have had room for too much.
        if limit and self._head_size + self._read_size > limit:
            size = sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > limit:
                raise Refusal("431 Request Header Fields Too Large", f"over {limit} bytes of headers")
        self._body_size = 0
        if bounds.body_size:
            for name, value in self.headers:
                if name == b"content-length" and value.isdigit() and int(value) > bounds.body_size:
                    raise Refusal("413 Content Too Large", f"over {bounds.body_size} bytes of body")

    def _bound_unfinished_head(self) -> None:
        bounds = self._context.bounds
        if bounds.request_line and len(self.url) > bounds.request_line:
            raise Refusal("414 URI Too Long", f"over {bounds.request_line} bytes of request line")
        # The present read may be mostly the end of another request: it counts once there is a further one.
        if bounds.header_size and self._head_size > bounds.header_size:
            raise Refusal(
                "431 Request Header Fields Too Large", f"over {bounds.header_size} bytes of headers"
            )
        self._head_size += self._read_size

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with `refusal`, once the responses that are due before have been sent."""
        self._refusal = refusal
        self._wait_in(None)
        complain(f"refused a request from {self._describe_peer()}: {refusal.status}: {refusal}")
        refused = self.cycle if self._receiving and not self._in_head else None
        if refused is not None and refused is self._running:
            # Its application is running, and has to hear that the rest of the body will not come.
            refused.disconnected = True
            refused.message_event.set()
            if refused.response_started:
                self.transport.close()
                return
        elif refused is not None and self.pipeline and self.pipeline[0][0] is refused:
            self.pipeline.popleft()
        if self._running is None or self._running is refused:
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        self.transport.write(refusal_response(refusal.status))
        # To close with something unread would have the kernel reset the connection, and the answer might
        # never be read: what still comes is thrown away for a moment.
        self.transport.write_eof()
        self._context.lingering.watch(self)

    # Waiting, and going.

    @property
    def idle(self) -> bool:
        """True while the connection waits for the first byte of a request, and no response is due."""
        return not self._receiving and self._running is None and not self.pipeline and self._refusal is None

    def drain(self) -> None:
        """Go now where the connection is idle, else with the last response that is due."""
        if self.idle:
            self._leave()
        elif self._context.hand_over is None and self._running is not None:
            self._running.keep_alive = False

    def say_farewell(self) -> None:
        """A request in hand still has some time."""

    def give_up(self) -> None:
        """Close at once; the application hears of it."""
        self.transport.abort()

    def on_late_head(self) -> None:
        """Close; with an answer where something of a request has come."""
        if self._receiving:
            self._refuse(Refusal("408 Request Timeout", "its head did not come in time"))
        else:
            self.transport.close()

    def on_late_body(self) -> None:
        """Refuse the request, unless it is the application that does not read."""
        if self.flow.read_paused:
            self._context.bodies.watch(self)
        else:
            self._refuse(Refusal("408 Request Timeout", "its body made no progress"))

    def on_late_request(self) -> None:
        """Close."""
        self.transport.close()

    def on_late_reader(self) -> None:
        """Close, unless the peer has taken something meanwhile."""
        if self.transport.get_write_buffer_size() < self._unsent:
            self._wait_for_reader()
        else:
            complain(f"{self._describe_peer()} takes nothing of its response: the connection is closed")
            self.transport.abort()

    def _rest(self) -> None:
        """Wait for the next request, or go where the worker is about to end."""
        if self._context.draining:
            self._leave()
            return
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()
        self._wait_in(self._context.idle)

    def _leave(self) -> None:
        """Move the connection to another worker, or end it."""
        transport = self.transport
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # then the end of it is told, in resume_writing
            return
        fd = transport.get_extra_info("socket").fileno()
        hand_over = self._context.hand_over
        if hand_over is not None and hand_over(fd):
            # The queue holds the connection open: closing this descriptor ends nothing.
            transport.abort()
        elif not _has_unread(fd):
            transport.close()

    def _wait_in(self, deadlines: Deadlines[Client] | None) -> None:
        """Let the time begin that the peer has until it sends something, None: it has nothing to send."""
        if self._deadlines is not None:
            self._deadlines.forget(self)
        self._deadlines = deadlines
        if deadlines is not None:
            deadlines.watch(self)

    def _wait_for_reader(self) -> None:
        """Let the time begin that the peer has until it takes something of what is still to be sent."""
        self._unsent = self.transport.get_write_buffer_size()
        self._context.readers.forget(self)
        if self._unsent:
            self._context.readers.watch(self)

    # Parsing.

    def _feed(self, data: bytes) -> bytes | None:
        """Parse `data`; return what is to be parsed next, None: nothing."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._declined:
                return self._without_offer(data[upgrade.args[0] :])
            self.handle_websocket_upgrade()
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, Refusal):
                raise cause from None
            if isinstance(cause, httptools.HttpParserInvalidURLError | UnicodeError):
                raise Refusal("400 Bad Request", f"a request target that is none: {self.url!r}") from None
            raise
        except httptools.HttpParserError as error:
            raise Refusal("400 Bad Request", str(error)) from None
        return None

    def _without_offer(self, rest: bytes) -> bytes:
        """Return the head without the offer to change the protocol, and `rest`, for a fresh parser.

        llhttp takes such a request for complete at the end of its headers; a body that follows must not pass
        for the next request (RFC 9110, 7.8).
        """
        self._declined = False
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self._read_size = 0  # it was counted before
        return b"\r\n".join(head) + b"\r\n\r\n" + rest

    def _take_other_form(self) -> None:
        """Reduce the absolute form of a target to path and query; `*` stays (RFC 9112, 3.2)."""
        scheme, separator, rest = self.url.partition(b"://")
        if separator and scheme.lower() in (b"http", b"https"):
            slash = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
            path = rest[slash:]
            self.url = path if path.startswith(b"/") else b"/" + path
        elif self.url == b"*" and self.parser.get_method() == b"OPTIONS":
            self.url = b"/*"
        else:
            raise Refusal("400 Bad Request", f"a request target that is none: {self.url!r}")

    def _describe_peer(self) -> str:
        return self.client[0] if self.client else "a local process"


def _send_unchunked(cycle: RequestResponseCycle, message: Any) -> Awaitable[None]:
    """Send to a peer that does not know the chunked coding: the end of the connection ends the body.

    uvicorn chunks whatever has no length (as of 0.54); here it is told a length, and of the last part the
    right one.
    """
    if message["type"] == "http.response.start":
        if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
            cycle.chunked_encoding, cycle.expected_content_length = False, _UNBOUNDED
    elif cycle.expected_content_length > _UNBOUNDED // 2 and not message.get("more_body", False):
        cycle.expected_content_length = len(message.get("body", b""))
    return cycle.send(message)


def _has_unread(fd: int) -> bool:
    """Return whether the kernel has bytes of the peer, of which the loop will tell."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        try:
            return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False


def _do_nothing() -> None:
    pass
