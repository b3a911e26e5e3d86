"""One HTTP connection: uvicorn's protocol, with our bounds, our order of things at the end, and our log.

uvicorn parses, builds the scope, keeps pipelined requests in order and speaks ASGI with the application. What
is overridden here is on its seams: what comes in is bounded before uvicorn sees it, calls of the application
are counted, and an idle connection waits in one of our deadlines instead of a timer of its own.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.config import Config

from coachman.protocol.http.refusal import BadRequest
from coachman.worker.asgi.context import Arrival, Context
from coachman.worker.asgi.cycle import Cycle
from coachman.worker.asgi.departures import PATIENCE
from coachman.worker.asgi.leaving import Leaving
from coachman.worker.asgi.refusal import refusal_body, refusal_response, refused
from coachman.worker.asgi.state import State
from coachman.worker.asgi.websocket_connection import WebSocketConnection
from coachman.worker.asgi.wording import frames_of, line_of, was_cancelled
from coachman.worker.complaints import complain


class HttpConnection(Leaving):
    """The server's end of one connection, which asyncio drives."""

    def __init__(
        self, context: Context, config: Config, state: State, app_state: dict[str, Any], arrival: Arrival
    ) -> None:
        super().__init__(context, config, state, app_state, arrival)
        self._state = state

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._context.opened(self)
        self._wait_in(self._context.idle)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._running is not None:  # uvicorn tells the last request that came, which may not be this one
            self._running.disconnected = True
            self._running.message_event.set()
        self._context.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._lingers or self._refusal is not None:
            return
        body_size, introduction = self._body_size, self._introduction
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
            elif self._context.draining and self.idle:
                self._leave()  # an empty line, say, was all that has kept it here
            elif not self._requests:
                self._wait_for_first(introduced=introduction is not None and self._introduction is None)
            # Else nothing of a request has come, and the time that was running goes on.
        elif self._in_head:
            if self._deadlines is not self._context.heads:
                self._wait_in(self._context.heads)
        elif self._body_size != body_size or self._deadlines is not self._context.bodies:
            self._wait_for_body()

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
        if upgrades and (self._get_upgrade() != b"websocket" or version == "1.0"):  # RFC 9110, 7.8
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
            keep_alive=fields.keep_alive and not (last or context.answers_are_last),
            on_response=self.on_response_complete,
        )
        if self._running is None:
            self._call(cycle, waited_in_kernel=True)
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
        cycle, transport = self._running, self.transport
        self._finish()
        if transport.is_closing():
            self._wait_for_reader()
            return
        if cycle is not None and not cycle.keep_alive:  # and its body is still coming
            self._wait_in(None)
            if self.flow.write_paused:
                self._close()
            else:
                self._linger()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._call(self.pipeline.pop()[0], waited_in_kernel=False)  # type: ignore[arg-type]  # what was put there is ours
        elif self._refusal is not None:
            self._answer(self._refusal)
            self._note(self._refusal)
        elif not self._receiving:
            self._rest()

    def handle_websocket_upgrade(self) -> None:
        """Give the transport to a WebSocket; nothing happens here any more."""
        self._upgraded = True
        self._context.departures.release(self, self._fd)
        self._context.closed(self)
        scope = self.scope
        # The handshake is made from this, which may have been a whole URL.
        self.url = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        self.ws_protocol_class = partial(  # type: ignore[assignment]
            WebSocketConnection, self._context, self.client, scope["client"], scope["scheme"] == "https"
        )
        super().handle_websocket_upgrade()
        websocket = self.transport.get_protocol()
        assert isinstance(websocket, WebSocketConnection)
        websocket.end_broken_handshake()

    # Serving a request.

    def _call(self, cycle: Cycle, *, waited_in_kernel: bool) -> None:
        """Call the application; whether it is the last request that was read, in the present turn."""
        self._running = cycle
        cycle.task = task = self.loop.create_task(self._serve(cycle, waited_in_kernel))
        self._context.tasks.add(task)

    async def _serve(self, cycle: Cycle, waited_in_kernel: bool) -> None:
        """Call the application: what `run_asgi` of uvicorn does, with our counting and our words."""
        context, scope = self._context, cycle.scope
        now = context.board.began(cycle, scope["method"].encode() + b" " + scope["raw_path"])
        if now >= context.departures.next_sample and waited_in_kernel:
            context.departures.look_at(self, now)
        try:
            await context.application(scope, cycle.receive, cycle.send)  # type: ignore[arg-type]
            if not cycle.response_complete and not cycle.disconnected:
                if cycle.instead[0]:
                    self._close()  # nothing of what the application has sent was let through
                else:
                    what = "completing its" if cycle.response_started else "a"
                    self._fail(cycle, f"the application returned without {what} response")
        except BaseException as error:  # the application's own code, which ends nothing but its request
            if was_cancelled(error):
                self.give_up()
            else:
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
        if cycle.response_started or cycle.instead[0]:
            self._close()
        else:
            cycle.fail()

    def _finish(self) -> None:
        """Note that the response which was due is complete, or will never be."""
        cycle, self._running = self._running, None
        assert cycle is not None
        self._took = self._context.board.ended(cycle, cycle.instead[0] or cycle.status)
        if self._took >= PATIENCE:
            self._context.departures.look_at_those_who_wait()

    # Refusing one.

    def _refuse(self, refusal: BadRequest) -> None:
        """Answer with `refusal`, once the responses that are due before have been sent."""
        self._refusal = refusal
        self._wait_in(None)
        complain(f"refused a request from {self._describe_peer()}: {refusal.status}: {refusal}")
        running = self._running
        if self._receiving and not self._in_head:  # the refused request has a cycle, which came last
            if self.cycle.response_complete:
                self._close()  # it has its answer, and will not get another one
                return
            if self.pipeline:
                self.pipeline.popleft()
            elif running is not None:
                # Its application is running, and has to hear that the rest of the body will not come.
                running.disconnected = True
                if not running.response_started:
                    running.instead = int(refusal.status[:3]), len(refusal_body(refusal.status))
                running.message_event.set()
                if running.response_started:
                    self._close()
                    return
                self._answer(refusal)
                return
        if running is None:
            self._answer(refusal)
            self._note(refusal)

    def _answer(self, refusal: BadRequest) -> None:
        self.transport.write(refusal_response(refusal.status))
        self._linger()

    def _note(self, refusal: BadRequest) -> None:
        """Count what was refused and has not reached the application."""
        self._context.board.answered(int(refusal.status[:3]))
        access_log = self._context.access_log
        if access_log is not None:
            access_log.add(refused(refusal.status, self.client[0] if self.client else ""))
            self.loop.call_soon(access_log.flush)


def _do_nothing() -> None:
    pass
