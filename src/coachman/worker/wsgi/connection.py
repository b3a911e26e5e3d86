"""One client connection: requests in, responses out, one after the other.

At every moment a connection belongs to one thread: to the loop's while it waits for the peer, to a pool
thread while an application call runs there. `pump` does all that can be done at once and gives the
connection back by arming it in the loop; nothing may touch it after that.

While all threads of a pool are busy, the bytes of a request stay in the kernel until one is free, so that the
connection can go to another worker.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterable, Iterator
from math import inf
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, poll
from time import monotonic
from typing import TYPE_CHECKING

from coachman.protocol.proxy_protocol import read_proxy_header
from coachman.worker.complaints import complain
from coachman.worker.handoff import Passport
from coachman.worker.wsgi.environ import Environ, build_environ, proxied_environ
from coachman.worker.wsgi.file_wrapper import FileWrapper
from coachman.worker.wsgi.outbox import ClientGone, Outbox, pending_file
from coachman.worker.wsgi.request import BadRequest, Request, RequestParser
from coachman.worker.wsgi.response import Response
from coachman.worker.wsgi.timeouts import Phase, Wait, deadline, overdue
from coachman.worker.wsgi.wording import error_response, traceback_text

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop

READ_SIZE = 64 * 1024
BODY_READ_SIZE = 512 * 1024
"""The same in the middle of a body: each read costs two more system calls."""
LARGE_BODY = 64 * 1024
"""Bytes of a response's body from which on it is not worth a copy to have it in one piece with the head."""
TURN_SIZE = 256 * 1024
"""Bytes of a streamed response that go out before other connections get a turn."""

LINGER_SIZE = 16 * 1024 * 1024
"""Bytes that a client which was refused may still send before it has read why."""

_LINGERING = EPOLLIN | EPOLLRDHUP
"""What is waited for on a connection on which nothing is served any more; told apart by its value."""

_IDLE = Phase.IDLE
"""Looked up once: members of an enumeration are not cheap to get at."""

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
        "_started",
        "fd",
        "registered",
        "served",
        "sock",
        "waits_since",
    )

    def __init__(self, engine: ServingLoop, sock: socket.socket, environ: Environ) -> None:
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
        self._armed = 0
        """What the loop waits for; 0 while somebody has the connection in hand."""
        self.registered = False
        """Whether the loop's epoll knows of it."""
        self.served = 0
        """Requests that were answered on this connection, by whichever worker."""
        self.waits_since = 0.0
        """When it came to wait for a thread, in monotonic seconds."""
        self._started = 0
        """When the request in hand went into the application, in monotonic nanoseconds; 0: it did not."""
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

    @property
    def lingers(self) -> bool:
        """True while the connection only waits for the peer to close it. Only the loop's thread may ask."""
        return self._armed == _LINGERING

    @property
    def has_requests(self) -> bool:
        """True where a complete request waits to be served."""
        return bool(self._parser.complete)

    @property
    def needs_application(self) -> bool:
        """True where a complete request waits to be served, or a response to be made."""
        return self.has_requests or self._blocks is not None

    @property
    def passport(self) -> Passport:
        """What another worker has to know to go on with the connection between two requests."""
        environ = self._environ
        return Passport(
            server=(environ["SERVER_NAME"], environ["SERVER_PORT"]),
            peer=(environ["REMOTE_ADDR"], environ["REMOTE_PORT"]),
            scheme=environ["wsgi.url_scheme"],
            introduced=self._introduction is None,
            served=self.served,
        )

    def continue_from(self, passport: Passport) -> None:
        """Go on where another worker has left off."""
        self.served = passport.served
        if passport.introduced:
            self._introduction = None
        if passport.scheme != self._environ["wsgi.url_scheme"]:
            self._environ = self._environ | {"wsgi.url_scheme": passport.scheme}
        if self._requests_left > 0:
            self._requests_left = max(1, self._requests_left - passport.served)

    def close_if_idle(self) -> None:
        """Close a connection on which nothing of a request has come. Only the loop's thread may call."""
        if self.lingers or (self.idle and not self.has_unread()):
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

    def has_unread(self) -> bool:
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
        engine = self._engine
        if self._armed == EPOLLIN:
            if engine.pool is None:
                if self._receive():
                    self.pump()
            else:
                self.take_in_hand(engine.turn_began / 1e9)
                # What can be served at once is read here, so that threads are left alone with peers that
                # leave and with beginnings of requests. What was read is bound to this worker.
                if (
                    engine.reads_ahead
                    or engine.pool.has_free_thread()
                    or not self._parser.between_requests
                    or events & _PEER_IS_DONE
                ):
                    if self._receive():
                        engine.proceed(self)
                else:
                    engine.pool.add(self)
        elif self._armed == _LINGERING:
            self._discard()
        else:
            self._armed = 0
            engine.proceed(self)

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
            data = self.sock.recv(READ_SIZE if self._parser.body_received is None else BODY_READ_SIZE)
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
            return True
        self._note_progress()
        self._arm(EPOLLIN)
        return False

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
            self._arm(_LINGERING)
            return
        except OSError:
            size = 0
        self._linger_left -= size
        if size == 0 or self._linger_left < 0:
            self.close()
        else:
            self._arm(_LINGERING)

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
            else:
                self._phase, self._since = _IDLE, monotonic()
                self._arm(EPOLLIN)
                if self._engine.draining:
                    self._engine.release()
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

    def close(self) -> None:
        """Close the connection and everything that belongs to its requests."""
        self._end_request()
        self._parser.close()
        self._out.give_up()
        self._engine.forget(self)
        self.sock.close()

    def leave(self) -> None:
        """Let go of the connection without ending it: somebody else has it now."""
        self.close()  # which is not shutdown(2)

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
        line = f"{request.method} {request.target}".encode("latin-1", "replace")
        self._started = engine.tally.begin(self, line)
        try:
            environ = build_environ(self._environ, request, self._forwarded)
            result = engine.application(environ, response.start)
            if engine.closing:
                response.keep_alive = False
            if type(result) is list or type(result) is tuple:
                body = result[0] if len(result) == 1 else b"".join(result)
                if type(body) is bytes and len(body) > LARGE_BODY and not response.head_sent:
                    self._out.send_both(*response.head_and_body(body))
                else:
                    self._out.send(response.whole(body))
                self._finish(response)
                return
            self._source = result
            file = pending_file(result) if type(result) is FileWrapper and not response.head_sent else None
            if file is None:
                engine.tally.hold(self, self._started, line)
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
            self._report(f"the application failed\n{traceback_text(error, __file__)}")
        self._closing = True
        self._end_request("500 Internal Server Error")
        if response.head_sent:
            return  # the peer sees a response that breaks off, which it must not take for a whole one
        self._out.send(error_response("500 Internal Server Error", head_only=request.method == "HEAD"))

    def _refuse(self, refusal: BadRequest) -> None:
        self._refusal = None
        self._closing = True
        self._linger_left = LINGER_SIZE
        self._engine.tally.answered(refusal.status)
        complain(f"refused a request from {self._describe_peer()}: {refusal.status}: {refusal}")
        self._out.send(error_response(refusal.status))

    def _end_request(self, status: str = "") -> None:
        """Close what the application returned and the request's body, on every path exactly once.

        `status`: of what answers the request where the application did not get so far.
        """
        if self._source is not None:
            source, self._source, self._blocks = self._source, None, None
            self._close_source(source)
        request, self._request = self._request, None
        response, self._response = self._response, None
        if request is not None:
            self.served += 1
            if self._started:
                sent = response.sent_status if response is not None else ""
                self._engine.tally.end(self, self._started, sent or status)
                self._started = 0
            request.close()

    def _close_source(self, source: Iterable[bytes]) -> None:
        close = getattr(source, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:  # the application's own code, as in _serve
                self._report(f"the application failed in close()\n{traceback_text(error, __file__)}")

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
        if events == EPOLLOUT:
            self._progress = monotonic()
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
            subject = f"{request.method} {request.target} from {self._describe_peer()}: "
        complain(subject + what)
