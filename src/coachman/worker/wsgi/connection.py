"""One client connection: requests in, responses out, one after the other.

At every moment a connection belongs to one thread: to the loop's while it waits for the peer, to a pool
thread while an application call runs there. `pump` does all that can be done at once and gives the
connection back by arming it in the loop; nothing may touch it after that.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterable, Iterator
from select import EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING

from coachman.worker.complaints import complain
from coachman.worker.wsgi.environ import Environ, build_environ
from coachman.worker.wsgi.outbox import ClientGone, Outbox
from coachman.worker.wsgi.request import BadRequest, Request, RequestParser
from coachman.worker.wsgi.response import Response, date_line

if TYPE_CHECKING:
    from coachman.worker.wsgi.engine import Engine

READ_SIZE = 64 * 1024
TURN_SIZE = 256 * 1024
"""Bytes of a streamed response that go out before other connections get a turn."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """The server's end of one connection. It owns the socket and closes it."""

    __slots__ = (
        "_armed",
        "_blocks",
        "_closing",
        "_engine",
        "_environ",
        "_out",
        "_parser",
        "_refusal",
        "_request",
        "_response",
        "_source",
        "fd",
        "sock",
    )

    def __init__(self, engine: Engine, sock: socket.socket, environ: Environ) -> None:
        self._engine = engine
        self.sock = sock
        self.fd = sock.fileno()
        self._environ = environ
        """What the environments of all its requests have in common."""
        self._parser = RequestParser()
        self._armed = EPOLLIN
        """What the loop waits for; 0 while a thread has the connection. The loop begins by itself."""
        self._out = Outbox(sock)
        self._request: Request | None = None
        self._response: Response | None = None
        self._source: Iterable[bytes] | None = None
        """What the application returned, while its `close` is still to be called."""
        self._blocks: Iterator[bytes] | None = None
        """The iterator over `_source`, where it is served block by block."""
        self._refusal: BadRequest | None = None
        """The answer to what could not be parsed; it follows the responses that are still due."""
        self._closing = False

    @property
    def idle(self) -> bool:
        """True while the connection waits for the first byte of a request. Only the loop's thread may ask."""
        return self._armed == EPOLLIN and self._parser.between_requests

    def close_if_idle(self) -> None:
        """Close a connection on which nothing of a request has come. Only the loop's thread may call."""
        if self.idle and not self._has_unread():
            self.close()

    def _has_unread(self) -> bool:
        """Return whether the kernel has bytes for us, of which the loop then knows as well."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def on_event(self, events: int) -> None:
        """What the loop calls when the peer has sent something or can take more."""
        if self._armed == EPOLLIN:
            self._receive()
        else:
            self._armed = 0
            self._engine.proceed(self)

    def _receive(self) -> None:
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            self._wait_for_more()
            return
        except OSError:
            data = b""
        if not data:
            # Between requests the peer is done; in the middle of one it can no longer finish it.
            self.close()
            return
        parser = self._parser
        try:
            parser.feed(data)
        except BadRequest as refusal:
            self._refusal = refusal
        except OSError as error:  # the temporary file of a large body
            complain(f"cannot keep the request body of {self._describe_peer()}: {error}")
            self._refusal = BadRequest("507 Insufficient Storage", str(error))
        if parser.complete or parser.awaits_continue or self._refusal is not None:
            if self._engine.oneshot:
                self._armed = 0
            self._engine.proceed(self)
        else:
            self._wait_for_more()

    def pump(self) -> None:
        """Send what is due, serve what waits, then wait for more: the loop's or a pool thread runs this."""
        out = self._out
        out.sent_this_turn = 0
        while True:
            if out.pending and not out.flush():
                self._arm(EPOLLOUT)
                return
            if self._blocks is not None:
                if out.sent_this_turn > TURN_SIZE and not self._engine.oneshot:
                    self._arm(EPOLLOUT)
                    return
                self._send_block()
            elif self._closing or out.gone:
                self.close()
                return
            elif self._parser.complete:
                self._serve(self._parser.complete.popleft())
            elif self._refusal is not None:
                self._refuse(self._refusal)
            elif self._parser.awaits_continue:
                self._parser.awaits_continue = False
                out.send(_CONTINUE)
            elif self._engine.draining and self._parser.between_requests and not self._has_unread():
                self.close()
                return
            else:
                self._arm(EPOLLIN)
                return

    @property
    def has_requests(self) -> bool:
        """True where a complete request waits to be served."""
        return bool(self._parser.complete)

    def close(self) -> None:
        """Close the connection and everything that belongs to its requests."""
        self._end_request()
        self._parser.close()
        self._engine.forget(self)
        self.sock.close()

    # Serving one request.

    def _serve(self, request: Request) -> None:
        engine = self._engine
        self._request = request
        response = self._response = Response(
            method=request.method,
            version=request.fields.version,
            keep_alive=request.fields.keep_alive,
            send=self._write,
        )
        try:
            environ = build_environ(self._environ, request)
            result = engine.application(environ, response.start)
            if engine.draining:
                response.keep_alive = False
            if type(result) is list or type(result) is tuple:
                self._out.send(response.whole(result[0] if len(result) == 1 else b"".join(result)))
                self._finish(response)
            else:
                self._source = result
                self._blocks = iter(result)
        except BaseException as error:  # the application's own code, which ends nothing but its request
            self._fail(error)

    def _send_block(self) -> None:
        response, blocks = self._response, self._blocks
        assert response is not None
        assert blocks is not None
        try:
            block = next(blocks, None)
            if block is None:
                self._blocks = None
                self._out.send(response.end())
                self._finish(response)
            elif block:
                self._out.send(response.part(block))
                if self._out.pending and self._engine.oneshot:
                    # What an application opened in one thread (a database cursor, say) may be of use in that
                    # thread alone, so a response that is being made stays where it began.
                    self._out.wait_until_sent()
        except ClientGone:
            self._end_request()
        except BaseException as error:  # the application's own code, as in _serve
            self._fail(error)
        if self._out.gone:
            self._end_request()

    def _finish(self, response: Response) -> None:
        if response.fault:
            self._report(response.fault)
        if not response.keep_alive:
            self._closing = True
        self._end_request()

    def _fail(self, error: BaseException) -> None:
        """Log what the application raised; answer 500 where nothing was sent, else end the connection."""
        request, response = self._request, self._response
        assert request is not None
        assert response is not None
        if not isinstance(error, ClientGone):
            frames = "".join(traceback.format_exception(_without_own_frames(error)))
            self._report(f"the application failed\n{frames.rstrip()}")
        self._closing = True
        self._end_request()
        if response.head_sent:
            return  # the peer sees a response that breaks off, which it must not take for a whole one
        self._out.send(_error_response("500 Internal Server Error", head_only=request.method == "HEAD"))

    def _refuse(self, refusal: BadRequest) -> None:
        self._refusal = None
        self._closing = True
        complain(f"refused a request from {self._describe_peer()}: {refusal.status}: {refusal}")
        self._out.send(_error_response(refusal.status))

    def _end_request(self) -> None:
        """Close what the application returned and the request's body, on every path exactly once."""
        source, self._source, self._blocks = self._source, None, None
        close = getattr(source, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:  # the application's own code, as in _serve
                frames = "".join(traceback.format_exception(_without_own_frames(error)))
                self._report(f"the application failed in close()\n{frames.rstrip()}")
        request, self._request, self._response = self._request, None, None
        if request is not None:
            request.close()

    def _write(self, data: bytes) -> None:
        """What `write()` of PEP 3333 does: when it returns, the data is on its way."""
        self._out.send(data)
        self._out.wait_until_sent()

    # The loop.

    def _arm(self, events: int) -> None:
        """Give the connection back to the loop, to wait for `events`. Nothing may follow in this thread."""
        engine = self._engine
        if engine.oneshot:
            with engine.giving_back:
                self._armed = events
                engine.arm(self, events)
        elif events != self._armed:
            self._armed = events
            engine.arm(self, events)

    def _wait_for_more(self) -> None:
        if self._engine.oneshot:
            self._engine.arm(self, EPOLLIN)

    # Words.

    def _describe_peer(self) -> str:
        return self._environ["REMOTE_ADDR"] or "a local process"

    def _report(self, what: str) -> None:
        request = self._request
        subject = ""
        if request is not None:
            subject = f"{request.method} {request.target} from {self._describe_peer()}: "
        complain(subject + what)


def _without_own_frames(error: BaseException) -> BaseException:
    """Drop the engine's frame from the top of the traceback: what is left is the application's own."""
    while error.__traceback__ is not None and error.__traceback__.tb_frame.f_code.co_filename == __file__:
        error.__traceback__ = error.__traceback__.tb_next
    return error


def _error_response(status: str, *, head_only: bool = False) -> bytes:
    body = f"{status}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        f"{date_line()}Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)
