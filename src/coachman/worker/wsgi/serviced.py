"""A connection with a worker's services on it: static files, the access log, time-outs.

It is a class of its own so that who wants none of them pays for none of them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, Final

from coachman.protocol.access_log import Access, escaped, no_request
from coachman.protocol.request_ids import named
from coachman.worker.complaints import complain
from coachman.worker.late_answer import late_answer
from coachman.worker.services import Services
from coachman.worker.wsgi.answer_outbox import AnswerOutbox
from coachman.worker.wsgi.client_socket import LINGER_SIZE
from coachman.worker.wsgi.connection import Connection
from coachman.worker.wsgi.environ import REQUEST_ID, Environ
from coachman.worker.wsgi.request import BadRequest, Request
from coachman.worker.wsgi.response import Response
from coachman.worker.wsgi.static_answers import StaticAnswers, pending_parts

if TYPE_CHECKING:
    from coachman.worker.static.files import StaticAnswer
    from coachman.worker.wsgi.serving_loop import ServingLoop

# Looked up once: Python 3.11 takes its time for what is asked of an imported class.
_serve_plainly = Connection._serve
_finish_plainly = Connection._finish


LOOKED_AHEAD: Final = 8
"""Pipelined requests that may all be for files without a thread being needed."""


class ServicedConnection(Connection):
    """The server's end of one connection, in an engine that has services."""

    __slots__ = (
        "_access_log",
        "_counted",
        "_fresh_ids",
        "_logged",
        "_services",
        "_started_ns",
        "_static_answers",
    )

    _out: AnswerOutbox

    def __init__(self, engine: ServingLoop, sock: socket.socket, environ: Environ) -> None:
        super().__init__(engine, sock, environ)
        services = engine.services
        assert services is not None
        self._services: Services = services
        self._access_log = services.access_log
        self._fresh_ids = services.request_ids.fresh
        self._out = AnswerOutbox(sock, engine.bounds.write_timeout, self, services.watchdog)
        self._static_answers = None if services.static is None else StaticAnswers(services.static)
        self._logged: Request | None = None
        """The request whose line is still to be written."""
        self._started_ns = 0
        self._counted = False
        """The request in hand took too long, and is counted; the application has not come back from it."""

    @property
    def has_requests(self) -> bool:
        """True where a request waits that is for the application: a thread is needed then."""
        answers = self._static_answers
        if answers is None:
            return super().has_requests
        waiting = self._parser.complete
        # Each that is looked at keeps its file open until its turn comes.
        return len(waiting) > LOOKED_AHEAD or any(answers.find(request) is None for request in waiting)

    def close(self) -> None:
        """Close the connection and everything that belongs to its requests."""
        super().close()
        self._log()
        if self._counted:
            self._counted = False
            self._engine.tally.leave(self)
        if self._static_answers is not None:
            self._static_answers.close()

    # Serving one request.

    def _serve(self, request: Request) -> None:
        out = self._out
        out.status = out.body_size = 0
        if self._access_log is not None:
            self._logged = request
            self._started_ns = monotonic_ns()
            given = request.fields.headers.get(REQUEST_ID)
            if given is None:
                self._request_id = next(self._fresh_ids)
            else:
                self._request_id = self._id_of_request(given)
        if self._static_answers is not None:
            answer = self._static_answers.take(request)
            if answer is not None:
                self._send_static(request, answer)
                return
        out.begin_timing()
        _serve_plainly(self, request)
        if out.timed or out.gone:
            self._end_timing()

    def _send_block(self) -> None:
        self._out.begin_timing()
        super()._send_block()
        self._end_timing()

    def _end_timing(self) -> None:
        """End the time of an application that has sent nothing; where the peer is gone, end the request."""
        out = self._out
        out.end_timing()
        if out.gone:
            self._end_request()

    def _id_of_request(self, given: str) -> str:
        # Only a proxy whose word is taken on the client is believed this as well.
        trusted = self._peer.forwarded is not None
        return self._services.request_ids.of_request(given if trusted else None)

    def _finish(self, response: Response) -> None:
        _finish_plainly(self, response)
        if self._logged is not None:
            self._log()

    # Before a request is counted its time has to be over: where that was up, the watchdog has counted it.

    def _fail(self, error: BaseException) -> None:
        if self._source is None:  # else there is still a `close` to be called
            self._out.end_timing()
        super()._fail(error)
        self._log()

    def _close_source(self, source: Iterable[bytes]) -> None:
        super()._close_source(source)
        self._out.end_timing()

    def _refuse(self, refusal: BadRequest, request: Request | None = None) -> None:
        self._out.end_timing()
        if request is None:  # what was sent is none, so nothing has begun
            self._logged = None
            self._out.status = self._out.body_size = 0
        super()._refuse(refusal, request)
        if request is not None:
            self._log()
        elif self._access_log is not None:
            out = self._out
            self._access_log.add(
                no_request(self._peer.address_of(None), out.status, out.body_size, monotonic_ns())
            )

    def _write(self, response: Response, data: bytes) -> None:
        super()._write(response, data)
        self._out.begin_timing()  # the application goes on

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
        keep_alive = request.fields.keep_alive and not self._engine.answers_are_last
        self._requests_left -= 1
        if self._requests_left == 0:
            keep_alive, self._linger_left = False, LINGER_SIZE
        # As for HEAD, because `response` is to make the head only: what follows is not in its hands.
        response = Response(
            method="HEAD",
            version=request.fields.version,
            keep_alive=keep_alive,
            send=self._write,
            request_id=self._request_id,
        )
        response.start(answer.response.status, answer.response.headers)
        head = response.end()
        try:
            self._out.send_parts(head, pending_parts(answer.response.parts, answer.fd))
        except OSError as error:  # no descriptor to be had, or a disk that fails
            complain(f"cannot send {request.target} to {self._peer.describe()}: {error}")
            self._out.give_up()
            return
        finally:
            answer.close()
        self._engine.tally.answered(answer.response.status)
        self._finish(response)

    # The access log.

    def _log(self) -> None:
        """Write the request's line, if it was not written yet."""
        request, self._logged = self._logged, None
        if request is None:
            return
        access_log, out, peer, ended = self._access_log, self._out, self._peer, monotonic_ns()
        assert access_log is not None
        fields = request.fields
        headers = fields.headers
        access_log.add(
            Access(
                peer.address_of(request) if fields.forwarded else peer.environ["REMOTE_ADDR"],
                request.method,
                request.target,
                fields.protocol,
                out.status,
                out.body_size,
                ended - self._started_ns,
                ended,
                headers.get("HTTP_REFERER", ""),
                headers.get("HTTP_USER_AGENT", ""),
                self._request_id,
            )
        )

    # Time-outs. The time that counts is what the application takes until there is something to send.

    def describe_request(self) -> str:
        """Return the request line, who sent it, and its id where it has one."""
        request = self._request
        line = "a request" if request is None else escaped(f"{request.method} {request.target}")
        return named(f"{line} from {self._peer.describe()}", self._request_id)

    def answer_late(self) -> bool:
        """Answer 504 where nothing was sent, and end the connection; the watchdog's thread calls it.

        The thread that has the connection waits for this before it touches the socket again.
        """
        request = self._request
        head_only = request is not None and request.method == "HEAD"
        answered = self._out.send_late(504, late_answer(self._request_id, head_only=head_only))
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR if answered else socket.SHUT_RDWR)
        self._log()
        started, self._started = self._started, 0
        if started:
            self._counted = True
            self._engine.tally.count_late(started, str(self._out.status or ""))
        self._engine.give_up_on(self)
        if self._services.access_log is not None:
            self._services.access_log.flush()  # the application may never come back, nor the loop
        return answered
