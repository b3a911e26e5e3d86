"""A connection with a worker's services on it: static files, the access log, time-outs.

It is a class of its own so that who wants none of them pays for none of them.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from select import EPOLLIN
from typing import TYPE_CHECKING, Final

from coachman.protocol.access_log import Access, escaped
from coachman.protocol.http.target import split_target
from coachman.protocol.request_ids import HEADER
from coachman.protocol.static.ranges import Span
from coachman.protocol.static.response import deciding_fields
from coachman.worker.complaints import complain
from coachman.worker.late_answer import LATE_ANSWER, LATE_HEAD
from coachman.worker.services import Services
from coachman.worker.static.files import StaticAnswer
from coachman.worker.wsgi.answer_outbox import AnswerOutbox
from coachman.worker.wsgi.connection import LINGER_SIZE, Connection
from coachman.worker.wsgi.environ import Environ
from coachman.worker.wsgi.file_wrapper import FilePart
from coachman.worker.wsgi.outbox import PendingFile
from coachman.worker.wsgi.request import BadRequest, Request
from coachman.worker.wsgi.request_ids import KEY
from coachman.worker.wsgi.response import Response

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop

INLINE_SIZE: Final = 64 * 1024
"""Bytes of a file that are read at once: less work than to have the kernel send them."""

PEEK_SIZE: Final = 8192
"""Bytes of a request that are looked at before it is read."""


class ServicedConnection(Connection):
    """The server's end of one connection, in an engine that has services."""

    __slots__ = ("_answers", "_logged", "_request_id", "_services", "_started_ns", "_timed")

    _out: AnswerOutbox

    def __init__(self, engine: ServingLoop, sock: socket.socket, environ: Environ) -> None:
        super().__init__(engine, sock, environ)
        services = engine.services
        assert services is not None
        self._services: Services = services
        self._out = AnswerOutbox(sock, engine.bounds.write_timeout, self._may_send)
        self._answers: dict[Request, StaticAnswer | None] = {}
        """Those of requests that wait; None: it is for the application."""
        self._logged: Request | None = None
        """The request whose line is still to be written."""
        self._request_id = ""
        self._started_ns = 0
        self._timed = False
        """The watchdog has been told that a request began, and not yet that it is answered."""

    @property
    def has_requests(self) -> bool:
        """True where a request waits that is for the application: a thread is needed then."""
        return any(self._static_answer(request) is None for request in self._parser.complete)

    def on_event(self, events: int) -> None:
        """What the loop calls when the peer has sent something or can take more."""
        pool = self._engine.pool
        if (
            self._armed == EPOLLIN
            and pool is not None
            and not pool.has_free_thread()
            and self._asks_for_file()
        ):
            # It would wait for a thread, unread, and needs none.
            self.take_in_hand(self._engine.turn_began / 1e9)
            if self._receive():
                self._engine.proceed(self)
        else:
            super().on_event(events)

    def pump(self) -> None:
        """Do all that can be done at once."""
        super().pump()
        # Only what is the same for all connections may be looked at from here on.
        access_log = self._services.access_log
        if access_log is not None and self._engine.pool is not None:
            access_log.flush()  # in a thread of the pool, for which the loop's turn does not end

    def close(self) -> None:
        """Close the connection and everything that belongs to its requests."""
        super().close()
        self._log()
        for answer in self._answers.values():
            if answer is not None:
                answer.close()
        self._answers.clear()
        self._out.give_up()

    # Serving one request.

    def _serve(self, request: Request) -> None:
        services = self._services
        self._out.expect_answer()
        if services.access_log is not None:
            self._logged = request
            self._started_ns = time.monotonic_ns()
            self._take_request_id(request)
        if services.static is not None:
            answer = self._static_answer(request)
            del self._answers[request]
            if answer is not None:
                self._send_static(request, answer)
                return
        self._begin_timing()
        super()._serve(request)
        self._end_timing()

    def _send_block(self) -> None:
        self._begin_timing()
        super()._send_block()
        self._end_timing()

    def _finish(self, response: Response) -> None:
        super()._finish(response)
        self._log()

    def _fail(self, error: BaseException) -> None:
        super()._fail(error)
        self._log()

    def _refuse(self, refusal: BadRequest) -> None:
        request, self._logged = self._logged, None
        if request is None:  # what was sent is none, so nothing has begun
            self._out.expect_answer()
            self._started_ns = time.monotonic_ns()
        super()._refuse(refusal)
        if self._services.access_log is not None:
            self._write_line(request)

    def _write(self, data: bytes) -> None:
        super()._write(data)
        self._begin_timing()  # the application goes on

    # Static files.

    def _static_answer(self, request: Request) -> StaticAnswer | None:
        try:
            return self._answers[request]
        except KeyError:
            pass
        static = self._services.static
        answer = None
        if static is not None:
            target = request.target
            if not target.startswith("/"):
                path, query, _ = split_target(target)
                target = f"{path}?{query}"
            if target.startswith(static.starts):
                fields = deciding_fields(request.fields.headers)
                answer = static.answer(request.method, target.encode("latin-1"), fields)
        self._answers[request] = answer
        return answer

    def _asks_for_file(self) -> bool:
        """Return whether what waits to be read begins with a request for a file that exists."""
        static = self._services.static
        if static is None or not self._parser.between_requests or self._introduction is not None:
            return False
        try:
            line = self.sock.recv(PEEK_SIZE, socket.MSG_PEEK)
        except OSError:
            return False
        target = line.partition(b" ")[2].partition(b" ")[0]
        if not target.startswith(static.starts_in_bytes):
            return False
        answer = static.answer("HEAD", target, {})
        if answer is None:
            return False
        answer.close()
        return True

    def _send_static(self, request: Request, answer: StaticAnswer) -> None:
        self._request = request
        keep_alive = request.fields.keep_alive and not self._engine.closing
        self._requests_left -= 1
        if self._requests_left == 0:
            keep_alive, self._linger_left = False, LINGER_SIZE
        # As for HEAD, because `response` is to make the head only: what follows is not in its hands.
        response = Response(
            method="HEAD", version=request.fields.version, keep_alive=keep_alive, send=self._out.send
        )
        response.start(answer.response.status, answer.response.headers + self._own_headers())
        head = response.end()
        try:
            self._out.send_parts(head, [_pending(part, answer.fd) for part in answer.response.parts])
        except OSError as error:  # no descriptor to be had, or a disk that fails
            complain(f"cannot send {request.target} to {self._describe_peer()}: {error}")
            self._out.give_up()
            return
        finally:
            answer.close()
        self._engine.tally.answered(answer.response.status)
        self._finish(response)

    # The access log.

    def _take_request_id(self, request: Request) -> None:
        # Only a proxy whose word is taken on the client is believed this as well.
        given = request.fields.headers.get(KEY) if self._forwarded is not None else None
        self._request_id = self._services.request_ids.of_request(given)
        # What the application gets, by `with_request_ids`.
        self._environ["coachman.request_id"] = self._request_id

    def _own_headers(self) -> list[tuple[str, str]]:
        return [(HEADER, self._request_id)] if self._request_id else []

    def _end_request(self, status: str = "") -> None:
        super()._end_request(status)
        if self._out.gone:
            self._log()

    def _log(self) -> None:
        """Write the request's line, if it was not written yet."""
        request, self._logged = self._logged, None
        if request is not None:
            self._write_line(request)

    def _write_line(self, request: Request | None) -> None:
        access_log = self._services.access_log
        assert access_log is not None
        method = target = protocol = request_id = ""
        headers: Mapping[str, str] = {}
        if request is not None:
            method, target, request_id = request.method, request.target, self._request_id
            protocol, headers = f"HTTP/{request.fields.version}", request.fields.headers
        access_log.add(
            Access(
                peer=self._client_of(request),
                method=method,
                target=target,
                protocol=protocol,
                status=self._out.status,
                size=self._out.body_size,
                duration_ns=time.monotonic_ns() - self._started_ns,
                referer=headers.get("HTTP_REFERER", ""),
                user_agent=headers.get("HTTP_USER_AGENT", ""),
                request_id=request_id,
            )
        )

    def _client_of(self, request: Request | None) -> str:
        """Return the client's address, as the application gets it."""
        address: str = self._environ["REMOTE_ADDR"]
        if request is not None and request.fields.forwarded and self._forwarded is not None:
            with suppress(BadRequest):
                origin = self._forwarded.read(request.fields.headers)
                address = address if origin.address is None else origin.address
        return address

    # Time-outs. The time that counts is what the application takes until there is something to send.

    def describe_request(self) -> str:
        """Return the request line, and who sent it."""
        request = self._request
        line = "a request" if request is None else escaped(f"{request.method} {request.target}")
        return f"{line} from {self._describe_peer()}"

    def answer_late(self) -> bool:
        """Answer 504 where nothing was sent, and end the connection; the watchdog's thread calls it.

        The thread that has the connection waits for this before it touches the socket again.
        """
        out, request = self._out, self._request
        if out.status or out.pending:
            answered = False  # it would be taken for a part of what was sent before
        else:
            out.status = 504
            head_only = request is not None and request.method == "HEAD"
            answered = self._send_past_outbox(LATE_HEAD if head_only else LATE_ANSWER)
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR if answered else socket.SHUT_RDWR)
        self._log()
        if self._services.access_log is not None:
            self._services.access_log.flush()  # the application may never come back, nor the loop
        return answered

    def _send_past_outbox(self, data: bytes) -> bool:
        try:
            return self.sock.send(data) == len(data)
        except OSError:
            return False

    def _begin_timing(self) -> None:
        watchdog = self._services.watchdog
        if watchdog is not None:
            self._timed = True
            watchdog.began(self)

    def _may_send(self) -> bool:
        """End the time that the application has; return False where it was up, and this is too late."""
        watchdog = self._services.watchdog
        if not self._timed or watchdog is None:
            return True
        self._timed = False
        if watchdog.ended(self):
            return True
        watchdog.settle()
        return False

    def _end_timing(self) -> None:
        if not self._may_send():
            self._out.give_up()
        if self._out.gone:
            self._end_request()


def _pending(part: bytes | Span, fd: int) -> bytes | PendingFile:
    if isinstance(part, bytes):
        return part
    if part.size <= INLINE_SIZE:
        block = os.pread(fd, part.size, part.start)
        if len(block) < part.size:
            raise OSError(errno.EIO, "the file became shorter")
        return block
    return PendingFile(FilePart(fd, part.start, part.size))
