"""A connection with a worker's services on it: static files, the access log, time-outs.

It is a class of its own so that who wants none of them pays for none of them.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from select import EPOLLIN
from typing import TYPE_CHECKING

from coachman.protocol.access_log import Access, escaped
from coachman.protocol.request_ids import HEADER
from coachman.worker.complaints import complain
from coachman.worker.late_answer import LATE_ANSWER, LATE_HEAD
from coachman.worker.services import Services
from coachman.worker.wsgi.answer_outbox import AnswerOutbox
from coachman.worker.wsgi.client_socket import LINGER_SIZE
from coachman.worker.wsgi.connection import Connection
from coachman.worker.wsgi.environ import Environ
from coachman.worker.wsgi.request import BadRequest, Request
from coachman.worker.wsgi.request_ids import KEY
from coachman.worker.wsgi.response import Response
from coachman.worker.wsgi.static_answers import StaticAnswers, pending_part

if TYPE_CHECKING:
    from coachman.worker.static.files import StaticAnswer
    from coachman.worker.wsgi.serving_loop import ServingLoop


class ServicedConnection(Connection):
    """The server's end of one connection, in an engine that has services."""

    __slots__ = ("_logged", "_request_id", "_services", "_started_ns", "_static_answers", "_timed")

    _out: AnswerOutbox

    def __init__(self, engine: ServingLoop, sock: socket.socket, environ: Environ) -> None:
        super().__init__(engine, sock, environ)
        services = engine.services
        assert services is not None
        self._services: Services = services
        self._out = AnswerOutbox(sock, engine.bounds.write_timeout, self._may_send)
        self._static_answers = None if services.static is None else StaticAnswers(services.static)
        self._logged: Request | None = None
        """The request whose line is still to be written."""
        self._request_id = ""
        self._started_ns = 0
        self._timed = False
        """The watchdog has been told that a request began, and not yet that it is answered."""

    @property
    def has_requests(self) -> bool:
        """True where a request waits that is for the application: a thread is needed then."""
        answers = self._static_answers
        if answers is None:
            return super().has_requests
        return any(answers.find(request) is None for request in self._parser.complete)

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
        if self._static_answers is not None:
            self._static_answers.close()
        self._out.give_up()

    # Serving one request.

    def _serve(self, request: Request) -> None:
        services = self._services
        self._out.expect_answer()
        if services.access_log is not None:
            self._logged = request
            self._started_ns = time.monotonic_ns()
            self._take_request_id(request)
        if self._static_answers is not None:
            answer = self._static_answers.take(request)
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

    def _asks_for_file(self) -> bool:
        """Return whether what waits to be read begins with a request for a file that exists."""
        answers = self._static_answers
        return (
            answers is not None
            and self._parser.between_requests
            and self._peer.introduction is None
            and answers.any_asked_for(self.sock)
        )

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
            self._out.send_parts(head, [pending_part(part, answer.fd) for part in answer.response.parts])
        except OSError as error:  # no descriptor to be had, or a disk that fails
            complain(f"cannot send {request.target} to {self._peer.describe()}: {error}")
            self._out.give_up()
            return
        finally:
            answer.close()
        self._engine.tally.answered(answer.response.status)
        self._finish(response)

    # The access log.

    def _take_request_id(self, request: Request) -> None:
        # Only a proxy whose word is taken on the client is believed this as well.
        given = request.fields.headers.get(KEY) if self._peer.forwarded is not None else None
        self._request_id = self._services.request_ids.of_request(given)
        # What the application gets, by `with_request_ids`.
        self._peer.environ["coachman.request_id"] = self._request_id

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
                peer=self._peer.address_of(request),
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

    # Time-outs. The time that counts is what the application takes until there is something to send.

    def describe_request(self) -> str:
        """Return the request line, and who sent it."""
        request = self._request
        line = "a request" if request is None else escaped(f"{request.method} {request.target}")
        return f"{line} from {self._peer.describe()}"

    def answer_late(self) -> bool:
        """Answer 504 where nothing was sent, and end the connection; the watchdog's thread calls it.

        The thread that has the connection waits for this before it touches the socket again.
        """
        request = self._request
        head_only = request is not None and request.method == "HEAD"
        answered = self._out.send_late(504, LATE_HEAD if head_only else LATE_ANSWER)
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR if answered else socket.SHUT_RDWR)
        self._log()
        if self._services.access_log is not None:
            self._services.access_log.flush()  # the application may never come back, nor the loop
        return answered

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
