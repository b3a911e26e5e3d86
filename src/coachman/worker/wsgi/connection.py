"""One client connection: requests in, responses out, one after the other.

At every moment a connection belongs to one thread: to the loop's while it waits for the peer, to a pool
thread while an application call runs there. `pump` does all that can be done at once and gives the
connection back by arming it in the loop; nothing may touch it after that.
"""

from __future__ import annotations

import socket
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from math import inf
from select import EPOLLIN, EPOLLOUT, EPOLLRDHUP, poll
from time import monotonic
from typing import TYPE_CHECKING

from coachman.protocol.proxy_protocol import read_proxy_header
from coachman.worker.complaints import complain
from coachman.worker.wsgi.environ import Environ, build_environ, proxied_environ
from coachman.worker.wsgi.file_wrapper import FileWrapper
from coachman.worker.wsgi.outbox import ClientGone, Outbox, PendingFile
from coachman.worker.wsgi.request import BadRequest, Request, RequestParser
from coachman.worker.wsgi.response import Response, date_line
from coachman.worker.wsgi.timeouts import Phase, Wait, deadline, overdue

if TYPE_CHECKING:
    from coachman.worker.wsgi.engine import Engine

READ_SIZE = 64 * 1024
TURN_SIZE = 256 * 1024
"""Bytes of a streamed response that go out before other connections get a turn."""

LINGER_SIZE = 16 * 1024 * 1024
"""Bytes that a client which was refused may still send before it has read why."""

_LINGERING = EPOLLIN | EPOLLRDHUP
"""What is waited for on a connection on which nothing is served any more; told apart by its value."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """The server's end of one connection. It owns the socket and closes it."""

    __slots__ = (
        "_armed",
        "_blocks",
        "_closing",
        "_engine",
        "_environ",
        "_forwarded",
        "_introduction",
        "_linger_left",
        "_out",
        "_parser",
        "_phase",
        "_progress",
        "_refusal",
        "_request",
        "_requests_left",
        "_response",
        "_since",
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
        trusted = engine.trusted.trusts(environ["REMOTE_ADDR"])
        self._forwarded = engine.forwarded if trusted else None
        """Reads what a proxy says of the client; None where the peer is not trusted."""
        self._introduction: bytes | None = b"" if engine.proxy_protocol else None
        """What has come of the PROXY protocol's header, while it is waited for."""
        self._parser = RequestParser(engine.head_bounds, engine.bounds.body_size)
        self._armed = EPOLLIN
        """What the loop waits for; 0 while a thread has the connection. The loop begins by itself."""
        self._out = Outbox(sock, engine.bounds.write_timeout)
        self._request: Request | None = None
        self._response: Response | None = None
        self._source: Iterable[bytes] | None = None
        """What the application returned, while its `close` is still to be called."""
        self._blocks: Iterator[bytes] | None = None
        """The iterator over `_source`, where it is served block by block."""
        self._refusal: BadRequest | None = None
        """The answer to what could not be parsed; it follows the responses that are still due."""
        self._closing = False
        self._linger_left = 0
        """Bytes that the peer may go on sending when we close, so that it gets to read the last response."""
        self._requests_left = engine.bounds.requests_per_connection or -1
        self._phase = Phase.IDLE
        """Which part of a request was incomplete when something of it last came."""
        self._since = self._progress = monotonic()
        """When the present phase began, and when the peer last sent or took something."""

    @property
    def idle(self) -> bool:
        """True while the connection waits for the first byte of a request. Only the loop's thread may ask."""
        return self._armed == EPOLLIN and self._parser.between_requests and not self._introduction

    def close_if_idle(self) -> None:
        """Close a connection on which nothing of a request has come. Only the loop's thread may call."""
        if self._armed == _LINGERING or (self.idle and not self._has_unread()):
            self.close()

    def give_up_if_overdue(self, now: float) -> float:
        """End the connection where its peer's time is up; return when it is up otherwise.

        Only the loop's thread may call. Infinity is returned while there is nothing to wait for.
        """
        engine = self._engine
        with engine.giving_back:
            armed = self._armed
        if armed == 0:
            return inf  # a thread has it in hand
        received = self._parser.body_received
        if armed == EPOLLOUT:
            phase = Phase.RESPONSE
        elif armed == _LINGERING:
            phase = Phase.LINGER
        elif received is not None:
            phase = Phase.BODY
        else:
            phase = Phase.IDLE if self.idle else Phase.HEAD
        wait = Wait(phase, self._since, max(self._since, self._progress), received or 0)
        moment = deadline(wait, engine.bounds)
        if now < moment:
            return moment
        if self._has_news(armed):
            return now  # the loop was held up, and not the peer; it comes to this connection next
        if phase is Phase.HEAD or phase is Phase.BODY:
            self._refusal = BadRequest("408 Request Timeout", overdue(phase, engine.bounds))
            self._armed = 0
            engine.proceed(self)
        else:
            if phase is Phase.RESPONSE:
                complain(f"gave up on {self._describe_peer()}: {overdue(phase, engine.bounds)}")
            self.close()
        return inf

    def _has_unread(self) -> bool:
        """Return whether the kernel has bytes for us, of which the loop then knows as well."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _has_news(self, events: int) -> bool:
        """Return whether something has happened that the loop waits for and has not got to yet."""
        ready = poll()
        ready.register(self.sock, events)
        return bool(ready.poll(0))

    def on_event(self, events: int) -> None:
        """What the loop calls when the peer has sent something or can take more."""
        if self._armed == EPOLLIN:
            self._receive()
        elif self._armed == _LINGERING:
            self._discard()
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
            if self._introduction is not None:
                data = self._take_introduction(data)
            parser.feed(data)
        except BadRequest as refusal:
            self._refusal = refusal
        except OSError as error:  # the temporary file of a large body
            where = f" in {tempfile.tempdir}" if tempfile.tempdir else ""
            reason = f"its body cannot be kept{where}: {error.strerror or error}"
            self._refusal = BadRequest("507 Insufficient Storage", reason)
        if parser.complete or parser.awaits_continue or self._refusal is not None:
            if self._engine.oneshot:
                self._armed = 0
            self._engine.proceed(self)
        else:
            self._note_progress()
            self._wait_for_more()

    def _take_introduction(self, data: bytes) -> bytes:
        """Let a proxy say who the client is, before the first request; return what follows that."""
        assert self._introduction is not None
        if self._forwarded is None:
            raise BadRequest("400 Bad Request", "it is no trusted proxy, and the PROXY protocol is expected")
        data = self._introduction + data
        header = read_proxy_header(data)
        if header is None:
            self._introduction = data
            return b""
        self._introduction = None
        self._environ = proxied_environ(self._environ, header)
        if not self._engine.trusted.trusts(self._environ["REMOTE_ADDR"]):
            self._forwarded = None
        return data[header.size :]

    def _note_progress(self) -> None:
        """Remember when a part of a request came, and when it began."""
        now = monotonic()
        phase = Phase.HEAD if self._parser.body_received is None else Phase.BODY
        if phase is not self._phase:
            self._phase, self._since = phase, now
        self._progress = now

    def _discard(self) -> None:
        """Take what a peer still sends that will not be served."""
        try:
            size = len(self.sock.recv(READ_SIZE))
        except BlockingIOError:
            self._wait_for_more()
            return
        except OSError:
            size = 0
        self._linger_left -= size
        if size == 0 or self._linger_left < 0:
            self.close()
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
                if self._linger_left and not out.gone and not self._engine.draining:
                    self._linger()
                else:
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
                self._phase, self._since = Phase.IDLE, monotonic()
                self._arm(EPOLLIN)
                return

    def _linger(self) -> None:
        """Close our direction, and the connection once the peer has closed its own.

        To close the socket while the peer still sends would have the kernel reset the connection, and the
        peer lose what it has not read yet (RFC 9112, 9.6).
        """
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._since = monotonic()
        self._arm(_LINGERING)

    @property
    def has_requests(self) -> bool:
        """True where a complete request waits to be served."""
        return bool(self._parser.complete)

    def close(self) -> None:
        """Close the connection and everything that belongs to its requests."""
        self._end_request()
        self._parser.close()
        self._out.give_up()
        self._engine.forget(self)
        self.sock.close()

    # Serving one request.

    def _serve(self, request: Request) -> None:
        engine = self._engine
        self._request = request
        keep_alive = request.fields.keep_alive
        self._requests_left -= 1
        if self._requests_left == 0:
            keep_alive, self._linger_left = False, LINGER_SIZE
        response = self._response = Response(
            method=request.method,
            version=request.fields.version,
            keep_alive=keep_alive,
            send=self._write,
        )
        try:
            environ = build_environ(self._environ, request, self._forwarded)
            result = engine.application(environ, response.start)
            if engine.draining:
                response.keep_alive = False
            if type(result) is list or type(result) is tuple:
                self._out.send(response.whole(result[0] if len(result) == 1 else b"".join(result)))
                self._finish(response)
                return
            self._source = result
            file = _as_file(result) if type(result) is FileWrapper and not response.head_sent else None
            if file is None:
                self._blocks = iter(result)
            else:
                head, file.size = response.file_head(file.size)
                self._out.send_with_file(head, file)
                self._finish(response)
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
            block = None if response.over else next(blocks, None)
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
        self._linger_left = LINGER_SIZE
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
        if events == EPOLLOUT:
            self._progress = monotonic()
        if engine.oneshot:
            with engine.giving_back:
                self._armed = events
                engine.arm(self, events)
        elif events != self._armed:
            self._armed = events
            engine.arm(self, events)

    def _wait_for_more(self) -> None:
        if self._engine.oneshot:
            self._engine.arm(self, self._armed)

    # Words.

    def _describe_peer(self) -> str:
        return self._environ["REMOTE_ADDR"] or "a local process"

    def _report(self, what: str) -> None:
        request = self._request
        subject = ""
        if request is not None:
            subject = f"{request.method} {request.target} from {self._describe_peer()}: "
        complain(subject + what)


def _as_file(wrapper: FileWrapper) -> PendingFile | None:
    """Return what the kernel can send by itself; None where the file has to be read block by block."""
    part = wrapper.part()
    try:
        return None if part is None else PendingFile(part)
    except OSError:  # out of descriptors
        return None


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
