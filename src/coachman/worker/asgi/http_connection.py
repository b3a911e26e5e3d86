"""One HTTP connection: uvicorn's protocol, with our bounds, our order of things at the end, and our log.

uvicorn parses, builds the scope, keeps pipelined requests in order and speaks ASGI with the application. What
is overridden here is on its seams: what comes in is bounded before uvicorn sees it, calls of the application
are counted, and an idle connection waits in one of our deadlines instead of a timer of its own.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

from uvicorn.config import Config

from coachman.protocol.http.refusal import BadRequest
from coachman.worker.asgi.context import Arrival, Context, Introduction
from coachman.worker.asgi.cycle import Cycle
from coachman.worker.asgi.patience import Patience
from coachman.worker.asgi.refusal import refusal_response
from coachman.worker.asgi.state import State
from coachman.worker.asgi.websocket_connection import WebSocketConnection
from coachman.worker.asgi.wording import frames_of, line_of
from coachman.worker.complaints import complain


class HttpConnection(Patience):
    """The server's end of one connection, which asyncio drives."""

    def __init__(
        self, context: Context, config: Config, state: State, app_state: dict[str, Any], arrival: Arrival
    ) -> None:
        super().__init__(context, config, state, app_state, arrival)
        self._state = state
        self._running: Cycle | None = None
        """The request whose response is due."""
        self._refusal: BadRequest | None = None
        """The answer to what will not be served; it follows the responses that are still due."""
        self._lingers = False
        """It has been given, and what still comes is thrown away for a moment."""

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
        body_size = self._body_size
        try:
            self._receive(data)
        except BadRequest as refusal:
            self._refuse(refusal)
            return
        if self._upgraded:
            return
        if not self._receiving:
            if self._running is not None:
                self._wait_in(None)
            # Else nothing of a request has come, and the time that was running goes on.
        elif self._in_head:
            if self._deadlines is not self._context.heads:
                self._wait_in(self._context.heads)
        elif self._body_size != body_size or self._deadlines is not self._context.bodies:
            self._wait_in(self._context.bodies)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._context.draining and self.idle:
            self._leave()

    # What the parser calls.

    def on_headers_complete(self) -> None:
        """Begin the request: what uvicorn does, with our bounds before, and with a cycle of ours."""
        parser, context = self.parser, self._context
        method, version = parser.get_method().decode("ascii"), parser.get_http_version()
        fields = self._checked_fields(method, version)
        upgrades = parser.should_upgrade()
        if upgrades and self._get_upgrade() != b"websocket":
            self._declined, self._in_head = True, False
            return
        self._complete_scope(method, version, fields)
        if upgrades:
            if self._running is not None or self.pipeline:
                raise BadRequest("400 Bad Request", "a WebSocket behind a request that is not answered yet")
            return
        self._in_head = False
        self._head_size = self._body_size = 0
        self._requests += 1
        last = self._requests == context.bounds.requests_per_connection
        self.cycle = cycle = Cycle(
            self.scope,
            self.transport,
            self.flow,
            date=self._state.date_line(),
            expect_100_continue=fields.expects_continue,
            keep_alive=fields.keep_alive and not (last or (context.draining and context.hand_over is None)),
            on_response=self.on_response_complete,
        )
        if self._running is None:
            self._call(cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_message_complete(self) -> None:
        if self._declined or self.parser.should_upgrade():
            return
        self._receiving = False
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
        elif self._running is None and not self.pipeline:
            self._rest()  # the response did not wait for the end of its request

    # What a cycle calls at its end.

    def on_response_complete(self) -> None:
        self._finish()
        transport = self.transport
        if transport.is_closing():
            self._wait_for_reader()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._call(self.pipeline.pop()[0])  # type: ignore[arg-type]  # what was put there is ours
        elif self._refusal is not None:
            self._answer(self._refusal)
        elif not self._receiving:
            self._rest()

    def handle_websocket_upgrade(self) -> None:
        """Give the transport to a WebSocket; nothing happens here any more."""
        self._upgraded = True
        self._context.closed(self)
        scope = self.scope
        self.ws_protocol_class = partial(  # type: ignore[assignment]
            WebSocketConnection, self._context, scope["client"], scope["scheme"] == "https"
        )
        super().handle_websocket_upgrade()

    # Serving a request.

    def _call(self, cycle: Cycle) -> None:
        self._running = cycle
        cycle.task = task = self.loop.create_task(self._serve(cycle))
        self._context.tasks.add(task)

    async def _serve(self, cycle: Cycle) -> None:
        """Call the application: what `run_asgi` of uvicorn does, with our counting and our words."""
        context, scope = self._context, cycle.scope
        context.board.began(cycle, scope["method"].encode() + b" " + scope["raw_path"])
        try:
            await context.application(scope, cycle.receive, cycle.send)  # type: ignore[arg-type]
            if not cycle.response_complete and not cycle.disconnected:
                what = "completing its" if cycle.response_started else "a"
                self._fail(cycle, f"the application returned without {what} response")
        except asyncio.CancelledError:
            self.give_up()
        except BaseException as error:  # the application's own code, which ends nothing but its request
            self._fail(cycle, f"the application failed\n{frames_of(error)}")
        finally:
            if self._running is cycle:
                self._finish()
            cycle.on_response = _do_nothing  # or connection and cycle would keep each other alive
            assert cycle.task is not None
            context.returned(cycle.task)

    def _fail(self, cycle: Cycle, what: str) -> None:
        """Report; answer 500 where nothing was sent, else let the response break off."""
        complain(f"{line_of(cycle.scope)} from {self._describe_peer()}: {what}")
        if cycle.disconnected or cycle.response_complete:
            return
        if cycle.response_started:
            self.transport.close()
        else:
            cycle.answer(500, b"500 Internal Server Error\n")

    def _finish(self) -> None:
        """Note that the response which was due is complete, or will never be."""
        cycle, self._running = self._running, None
        assert cycle is not None
        self._context.board.ended(cycle, cycle.status)

    # Refusing one.

    def _refuse(self, refusal: BadRequest) -> None:
        """Answer with `refusal`, once the responses that are due before have been sent."""
        self._refusal = refusal
        self._wait_in(None)
        complain(f"refused a request from {self._describe_peer()}: {refusal.status}: {refusal}")
        running = self._running
        if self._receiving and not self._in_head:  # the refused request has a cycle, which came last
            if self.cycle.response_complete:
                self.transport.close()  # it has its answer, and will not get another one
                return
            if self.pipeline:
                self.pipeline.popleft()
            elif running is not None:
                # Its application is running, and has to hear that the rest of the body will not come.
                running.disconnected = True
                running.message_event.set()
                if running.response_started:
                    self.transport.close()
                    return
                running = None
        if running is None:
            self._answer(refusal)

    def _answer(self, refusal: BadRequest) -> None:
        self.transport.write(refusal_response(refusal.status))
        # To close with something unread would have the kernel reset the connection, and the answer might
        # never be read: what still comes is thrown away for a moment.
        self.transport.write_eof()
        self._lingers = True
        if self._context.draining:
            self.transport.close()
        else:
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
        elif self._lingers:
            self.transport.close()
        elif self._context.hand_over is None and self._running is not None:
            self._running.keep_alive = False

    def say_farewell(self) -> None:
        """Close, where the queue still has no room; a request in hand has some time left."""
        if self.idle:
            self.transport.close()

    def _rest(self) -> None:
        """Wait for the next request, or go where the worker is about to end."""
        if self._context.draining:
            self._leave()
            return
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()
        self._wait_in(self._context.idle)

    def _departure(self) -> Arrival:
        """Return what the next worker has to know."""
        if not self._context.proxy_protocol or self._introduction is not None:
            return Arrival(self._requests)
        return Arrival(self._requests, Introduction(self.client, self.server, self.scheme or "http"))

    def _leave(self) -> None:
        """Move the connection to another worker, or end it."""
        transport = self.transport
        if transport.is_closing():
            return  # it has left already, and must not come into the queue a second time
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # then the end of it is told, in resume_writing
            return
        # A socket object of our own: those that loops give out are made to be looked at only. It borrows the
        # descriptor, because there may be none left for a duplicate.
        sock = socket.socket(fileno=transport.get_extra_info("socket").fileno())
        try:
            hand_over = self._context.hand_over
            if hand_over is None:
                if not _has_unread(sock):
                    transport.close()
            elif hand_over(sock, self._departure()):
                # The queue holds the connection open: nothing that is closed here ends it.
                transport.abort()
            # Else there is no room in the queue, and we are told when there is.
        finally:
            sock.detach()


def _has_unread(sock: socket.socket) -> bool:
    """Return whether the kernel has bytes of the peer, of which the loop will tell."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def _do_nothing() -> None:
    pass
