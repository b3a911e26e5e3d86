"""One client connection: requests in, responses out, one after the other.

At every moment a connection belongs to one thread: to the loop's while it waits for the peer, to a pool
thread while an application call runs there. `pump` does all that can be done at once and gives the
connection back by arming it in the loop; nothing may touch it after that.

While all threads of a pool are busy, the bytes of a request stay in the kernel until one is free, so that the
connection can go to another worker.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterable, Iterator
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from typing import TYPE_CHECKING

from coachman.worker.complaints import complain
from coachman.worker.handoff import Passport
from coachman.worker.wsgi.environ import Environ, build_environ
from coachman.worker.wsgi.outbox import ClientGone, Outbox
from coachman.worker.wsgi.request import BadRequest, Request, RequestParser
from coachman.worker.wsgi.response import Response, date_line

if TYPE_CHECKING:
    from coachman.worker.wsgi.engine import Engine

READ_SIZE = 64 * 1024
TURN_SIZE = 256 * 1024
"""Bytes of a streamed response that go out before other connections get a turn."""

_PEER_IS_DONE = EPOLLRDHUP | EPOLLHUP | EPOLLERR

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
        "_started",
        "fd",
        "registered",
        "served",
        "sock",
        "waits_since",
    )

    def __init__(self, engine: Engine, sock: socket.socket, environ: Environ, served: int = 0) -> None:
        self._engine = engine
        self.sock = sock
        self.fd = sock.fileno()
        self._environ = environ
        """What the environments of all its requests have in common."""
        self._parser = RequestParser()
        self._armed = 0
        """What the loop waits for; 0 while somebody has the connection in hand."""
        self.registered = False
        """Whether the loop's epoll knows of it."""
        self.served = served
        """Requests that were answered on this connection, by whichever worker."""
        self.waits_since = 0.0
        """When it came to wait for a thread, in monotonic seconds."""
        self._started = 0
        """When the request in hand went into the application, in monotonic nanoseconds."""
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

    @property
    def needs_application(self) -> bool:
        """True where a complete request waits to be served, or a response to be made."""
        return bool(self._parser.complete) or self._blocks is not None

    @property
    def passport(self) -> Passport:
        """What another worker has to know to go on with the connection between two requests."""
        environ = self._environ
        return Passport(
            server=(environ["SERVER_NAME"], environ["SERVER_PORT"]),
            peer=(environ["REMOTE_ADDR"], environ["REMOTE_PORT"]),
            served=self.served,
        )

    def close_if_idle(self) -> None:
        """Close a connection on which nothing of a request has come. Only the loop's thread may call."""
        if self.idle and not self.has_unread():
            self.close()

    def has_unread(self) -> bool:
        """Return whether the kernel has bytes for us, of which the loop then knows as well."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def on_event(self, events: int) -> None:
        """What the loop calls when the peer has sent something or can take more."""
        engine = self._engine
        if self._armed != EPOLLIN:
            self._armed = 0
            engine.proceed(self)
        elif engine.pool is None:
            if self._receive():
                self.pump()
        else:
            self.take_in_hand(engine.turn_began / 1e9)
            # What can be served at once is read here, so that threads are left alone with peers that leave and
            # with beginnings of requests. What was read is bound to this worker.
            if engine.pool.has_free_thread() or not self._parser.between_requests or events & _PEER_IS_DONE:
                if self._receive():
                    engine.proceed(self)
            else:
                engine.pool.add(self)

    def take_in_hand(self, now: float) -> None:
        """Wait for a thread, from `now` on, in monotonic seconds."""
        self._armed = 0
        self.waits_since = now

    def serve_unread(self) -> None:
        """Read what has come and serve it: a pool thread runs this."""
        if self._receive():
            self.pump()

    def _receive(self) -> bool:
        """Read what has come; return whether there is something to be done about it."""
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            self._arm(EPOLLIN)
            return False
        except OSError:
            data = b""
        if not data:
            # Between requests the peer is done; in the middle of one it can no longer finish it.
            self.close()
            return False
        parser = self._parser
        try:
            parser.feed(data)
        except BadRequest as refusal:
            self._refusal = refusal
        except OSError as error:  # the temporary file of a large body
            complain(f"cannot keep the request body of {self._describe_peer()}: {error}")
            self._refusal = BadRequest("507 Insufficient Storage", str(error))
        if parser.complete or parser.awaits_continue or self._refusal is not None:
            return True
        self._arm(EPOLLIN)
        return False

    def pump(self) -> None:
        """Send what is due, serve what waits, then wait for more: the loop's or a pool thread runs this."""
        out = self._out
        out.sent_this_turn = 0
        while True:
            if out.pending and not out.flush():
                self._arm(EPOLLOUT)
                return
            if self._blocks is not None:
                if out.sent_this_turn > TURN_SIZE and self._engine.threads == 1:
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
            else:
                self._arm(EPOLLIN)
                if self._engine.draining:
                    self._engine.release()
                return

    def close(self) -> None:
        """Close the connection and everything that belongs to its requests."""
        self._end_request()
        self._parser.close()
        self._engine.forget(self)
        self.sock.close()

    def leave(self) -> None:
        """Let go of the connection without ending it: somebody else has it now."""
        self.close()  # which is not shutdown(2)

    # Serving one request.

    def _serve(self, request: Request) -> None:
        engine = self._engine
        self._request = request
        response = self._response = Response(
            method=request.method,
            version=request.version,
            keep_alive=request.keep_alive,
            send=self._write,
        )
        line = request.method + b" " + request.target
        self._started = engine.tally.begin(self, line)
        try:
            environ = build_environ(self._environ, request)
            result = engine.application(environ, response.start)
            if engine.closing:
                response.keep_alive = False
            if type(result) is list or type(result) is tuple:
                self._out.send(response.whole(result[0] if len(result) == 1 else b"".join(result)))
                self._finish(response)
            else:
                engine.tally.hold(self, self._started, line)
                self._source = result
                self._blocks = iter(result)
        except BadRequest as refusal:
            self._end_request()
            self._refuse(refusal)
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
                if self._out.pending and self._engine.threads > 1:
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
        self._end_request("500 Internal Server Error")
        if response.head_sent:
            return  # the peer sees a response that breaks off, which it must not take for a whole one
        self._out.send(_error_response("500 Internal Server Error", head_only=request.method == b"HEAD"))

    def _refuse(self, refusal: BadRequest) -> None:
        self._refusal = None
        self._closing = True
        self._engine.tally.refused(refusal.status)
        complain(f"refused a request from {self._describe_peer()}: {refusal.status}: {refusal}")
        self._out.send(_error_response(refusal.status))

    def _end_request(self, status: str = "") -> None:
        """Close what the application returned and the request's body, on every path exactly once.

        `status`: of what answers the request where the application did not get so far.
        """
        source, self._source, self._blocks = self._source, None, None
        close = getattr(source, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:  # the application's own code, as in _serve
                frames = "".join(traceback.format_exception(_without_own_frames(error)))
                self._report(f"the application failed in close()\n{frames.rstrip()}")
        request, self._request = self._request, None
        if request is not None:
            response, self._response = self._response, None
            assert response is not None
            self.served += 1
            self._engine.tally.end(self, self._started, response.sent_status or status)
            request.close()

    def _write(self, data: bytes) -> None:
        """What `write()` of PEP 3333 does: when it returns, the data is on its way."""
        self._out.send(data)
        self._out.wait_until_sent()

    # The loop.

    def wait(self) -> None:
        """Have the loop wait for the next request; for a connection that is fresh here."""
        self._arm(EPOLLIN)

    def arm_again(self) -> None:
        """Go on waiting for the same, in another way; the loop's thread calls."""
        if self._armed:
            self._engine.arm(self, self._armed)

    def _arm(self, events: int) -> None:
        """Give the connection back to the loop, to wait for `events`. Nothing may follow in this thread."""
        engine = self._engine
        if engine.pool is not None:
            with engine.giving_back:
                self._armed = events
                engine.arm(self, events)
        elif events != self._armed:
            self._armed = events
            engine.arm(self, events)

    # Words.

    def _describe_peer(self) -> str:
        return self._environ["REMOTE_ADDR"] or "a local process"

    def _report(self, what: str) -> None:
        request = self._request
        subject = ""
        if request is not None:
            subject = (
                f"{request.method.decode()} {request.target.decode('latin-1')} from {self._describe_peer()}: "
            )
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
