"""How long a connection waits for its peer: to send, and to take what is sent."""

from __future__ import annotations

import asyncio
from select import POLLIN, POLLOUT, poll
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl

from coachman.policy.body_pace import body_deadline, too_slow
from coachman.protocol.http.refusal import BadRequest
from coachman.worker.asgi.context import Arrival, Context, Waiting
from coachman.worker.asgi.deadlines import Deadlines
from coachman.worker.asgi.incoming import Incoming
from coachman.worker.asgi.state import State
from coachman.worker.complaints import complain


class Patience(Incoming):
    """The waiting part of a connection; how a request is refused is its subclass's to say."""

    def __init__(
        self, context: Context, config: Config, state: State, app_state: dict[str, Any], arrival: Arrival
    ) -> None:
        super().__init__(context, config, state, app_state, arrival)
        self._deadlines: Deadlines[Waiting] | None = None
        """Those in which the connection waits for its peer to send something."""
        self._unsent = 0
        """Bytes that the peer had not taken when they were last looked at."""
        self._body_since = self._body_progress = 0.0
        """Since when the peer can send its body, and when it has last done so; by the loop's clock."""
        self._body_before = 0
        """Bytes of it that had come before."""
        self._body_held = False
        """It waited at that moment to be asked for (Expect: 100-continue)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: Flow = Flow(transport, self.loop)

    def _refuse(self, refusal: BadRequest) -> None:
        """Answer with `refusal`, once the responses that are due before have been sent."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.transport.is_closing():
            self._wait_for_reader()  # for what is left, of which nothing will be told
        else:
            self._context.readers.forget(self)

    def give_up(self) -> None:
        """Close at once; the application hears of it."""
        self.transport.abort()

    def on_late_head(self) -> None:
        """Close; with an answer where something of a request has come."""
        if self._has_news(POLLIN):
            self._context.heads.watch_until(self, self.loop.time())
        elif self._receiving:
            self._refuse(BadRequest("408 Request Timeout", "its head did not come in time"))
        else:
            self.transport.close()

    def on_late_body(self) -> None:
        """Refuse the request, unless its body comes fast enough, or the application does not read it."""
        timeout = self._context.bounds.body_timeout
        if self.flow.read_paused or self.flow.resumed_at > self._body_since or self._body_held:
            # What it could not send meanwhile is not held against it: its time begins anew.
            self._begin_pace(self._body_size)
            self._context.bodies.watch(self)
            return
        moment = body_deadline(
            since=self._body_since,
            progress=self._body_progress,
            received=self._body_size - self._body_before,
            timeout=timeout,
        )
        now = self.loop.time()
        if now < moment or self._has_news(POLLIN):
            self._context.bodies.watch_until(self, max(now, moment))
        else:
            self._refuse(BadRequest("408 Request Timeout", too_slow(timeout)))

    def on_late_request(self) -> None:
        """Close."""
        if self._has_news(POLLIN):
            self._context.idle.watch_until(self, self.loop.time())
        else:
            self._close()

    def on_late_reader(self) -> None:
        """Close, unless the peer has taken something meanwhile."""
        if self.transport.get_write_buffer_size() < self._unsent:
            self._wait_for_reader()
        elif self._has_news(POLLOUT):
            self._context.readers.watch_until(self, self.loop.time())
        else:
            complain(f"{self._describe_peer()} takes nothing of its response: the connection is closed")
            self.transport.abort()

    def _has_news(self, events: int) -> bool:
        """Return whether the peer has done something that the loop, which was held up, comes to next."""
        if self.flow.read_paused and events == POLLIN:
            return False  # it does not come to it before the application reads
        ready = poll()
        ready.register(self.transport.get_extra_info("socket").fileno(), events)
        return bool(ready.poll(0))

    def _wait_in(self, deadlines: Deadlines[Waiting] | None) -> None:
        """Let the time begin that the peer has until it sends something, None: it has nothing to send."""
        if self._deadlines is not None:
            self._deadlines.forget(self)
        self._deadlines = deadlines
        if deadlines is not None:
            deadlines.watch(self)

    def _wait_for_first(self, *, introduced: bool) -> None:
        """Wait for the first request, of which nothing has come.

        `introduced`: a proxy has just said who the client is, who may take its time. What else has come is to
        become a request: a part of what the proxy says, or an empty line.
        """
        deadlines = self._context.idle if introduced else self._context.heads
        if self._deadlines is not deadlines:
            self._wait_in(deadlines)

    def _wait_for_body(self) -> None:
        """Note that a part of a body has come, or is to come."""
        if self._deadlines is self._context.bodies:
            self._body_progress = self.loop.time()
        else:
            self._wait_in(self._context.bodies)
            self._begin_pace(0)  # what came together with the head counts

    def _begin_pace(self, before: int) -> None:
        """Count from now on how fast the body comes; so many bytes of it came before."""
        self._body_since = self._body_progress = self.loop.time()
        self._body_before = before
        self._body_held = self.cycle.waiting_for_100_continue

    def _close(self) -> None:
        """Close once the peer has taken what is still to be sent, or takes nothing of it for too long."""
        self.transport.close()
        self._wait_for_reader()

    def _wait_for_reader(self) -> None:
        """Let the time begin that the peer has until it takes something of what is still to be sent."""
        self._unsent = self.transport.get_write_buffer_size()
        self._context.readers.forget(self)
        if self._unsent:
            self._context.readers.watch(self)


class Flow(FlowControl):
    """uvicorn's, which has the connection read or not; it knows since when it is."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self.resumed_at = 0.0
        """By the loop's clock."""

    def resume_reading(self) -> None:
        """Read on."""
        if self.read_paused:
            super().resume_reading()
            self.resumed_at = self._loop.time()
