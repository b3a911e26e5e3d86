"""Requests that are answered on a client's socket: the application is called, and its answer sent."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from coachman.worker.complaints import complain
from coachman.worker.wsgi.client_socket import LINGER_SIZE, ClientSocket
from coachman.worker.wsgi.environ import REQUEST_ID, Environ, build_environ
from coachman.worker.wsgi.file_wrapper import FileWrapper
from coachman.worker.wsgi.header_kinds import ApplicationFault
from coachman.worker.wsgi.outbox import ClientGone, Outbox, pending_file
from coachman.worker.wsgi.peer import Peer
from coachman.worker.wsgi.request import BadRequest, Request
from coachman.worker.wsgi.response import Response
from coachman.worker.wsgi.wording import error_response, traceback_text

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop

LARGE_BODY = 64 * 1024
"""Bytes of a response's body from which on it is not worth a copy to have it in one piece with the head."""

_END: Final[Any] = object()
"""In place of a block where there is no further one; None is what an application may have returned."""


class Responder(ClientSocket):
    """A client's socket, and the request on it that is in hand."""

    __slots__ = (
        "_blocks",
        "_closing",
        "_out",
        "_peer",
        "_request",
        "_request_id",
        "_requests_left",
        "_response",
        "_source",
        "_started",
        "served",
    )

    def __init__(self, engine: ServingLoop, sock: socket.socket, environ: Environ) -> None:
        """`environ`: what the environments of all its requests have in common."""
        super().__init__(engine, sock)
        self._peer = Peer(engine, environ)
        self._out = Outbox(sock, engine.bounds.write_timeout)
        self.served = 0
        """Requests that were answered on this connection, by whichever worker."""
        self._requests_left = engine.bounds.requests_per_connection or -1
        self._started = 0
        """When the request in hand went into the application, in monotonic nanoseconds; 0: it did not."""
        self._request: Request | None = None
        self._request_id = ""
        """By which it is found in logs; "": it has none."""
        self._response: Response | None = None
        self._source: Iterable[bytes] | None = None
        """What the application returned, while its `close` is still to be called."""
        self._blocks: Iterator[bytes] | None = None
        """The iterator over `_source`, where it is served block by block."""
        self._closing = False
        """Nothing is served on this connection any more."""

    def close(self) -> None:
        """Close the connection, and what belongs to the request in hand."""
        self._end_request()
        self._out.give_up()
        super().close()

    def _serve(self, request: Request) -> None:
        engine = self._engine
        self._request = request
        keep_alive = request.fields.keep_alive
        self._requests_left -= 1
        if self._requests_left == 0:
            keep_alive, self._linger_left = False, LINGER_SIZE
        response = self._response = Response(
            request.method, request.fields.version, keep_alive, self._write, self._request_id
        )
        self._started = engine.tally.begin(self, request.line)
        peer = self._peer
        try:
            environ = build_environ(peer.environ, request, peer.forwarded)
            if self._request_id:
                environ[REQUEST_ID] = self._request_id
            result = engine.application(environ, response.start)
            if engine.answers_are_last:
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
                engine.tally.hold(self, self._started, request.line)
                self._blocks = iter(result)
            else:
                try:
                    head, file.size = response.file_head(file.size)
                except BaseException:  # the head is no better than what the application has given
                    file.close()
                    raise
                self._out.send_with_file(head, file)
                self._finish(response)
        except BadRequest as refusal:
            self._refuse(refusal, request)
        except BaseException as error:  # the application's own code, which ends nothing but its request
            self._fail(error)

    def _send_block(self) -> None:
        response, blocks = self._response, self._blocks
        assert response is not None
        assert blocks is not None
        try:
            block = _END if response.over else next(blocks, _END)
            if block is _END:
                self._blocks = None
                self._out.send(response.end())
                self._finish(response)
            elif block or not isinstance(block, bytes):
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
        head_only = request.method == "HEAD"
        self._out.send(
            error_response("500 Internal Server Error", head_only=head_only, request_id=self._request_id)
        )

    def _refuse(self, refusal: BadRequest, request: Request | None = None) -> None:
        """Answer what cannot be served, and end the connection.

        `request`: what it has been, if it was one.
        """
        self._closing = True
        self._linger_left = LINGER_SIZE
        if request is None:
            self._engine.tally.answered(refusal.status)
        else:
            self._end_request(refusal.status)
        complain(f"refused a request from {self._peer.describe()}: {refusal.status}: {refusal}")
        head_only = request is not None and request.method == "HEAD"
        request_id = "" if request is None else self._request_id
        self._out.send(error_response(refusal.status, head_only=head_only, request_id=request_id))

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
            if request.body is not None:
                request.close()

    def _close_source(self, source: Iterable[bytes]) -> None:
        try:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        except BaseException as error:  # the application's own code, as in _serve
            self._report(f"the application failed in close()\n{traceback_text(error, __file__)}")

    def _write(self, response: Response, data: bytes) -> None:
        """What `write()` of PEP 3333 does: when it returns, the data is on its way."""
        if response is not self._response:  # another one is, or may be, on its way
            raise ApplicationFault("write() was called after the end of its response")
        self._out.send(data)
        self._out.wait_until_sent()

    def _report(self, what: str) -> None:
        request = self._request
        subject = ""
        if request is not None:
            subject = f"{request.method} {request.target} from {self._peer.describe()}: "
        complain(subject + what)
