"""How long a connection waits for its peer: to send, and to take what is sent."""

from __future__ import annotations

from typing import Any

from uvicorn.config import Config

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

    def _refuse(self, refusal: BadRequest) -> None:
        """Answer with `refusal`, once the responses that are due before have been sent."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._context.readers.forget(self)

    def give_up(self) -> None:
        """Close at once; the application hears of it."""
        self.transport.abort()

    def on_late_head(self) -> None:
        """Close; with an answer where something of a request has come."""
        if self._receiving:
            self._refuse(BadRequest("408 Request Timeout", "its head did not come in time"))
        else:
            self.transport.close()

    def on_late_body(self) -> None:
        """Refuse the request, unless it is the application that does not read."""
        if self.flow.read_paused:
            self._context.bodies.watch(self)
        else:
            self._refuse(BadRequest("408 Request Timeout", "its body made no progress"))

    def on_late_request(self) -> None:
        """Close."""
        self.transport.close()

    def on_late_reader(self) -> None:
        """Close, unless the peer has taken something meanwhile."""
        if self.transport.get_write_buffer_size() < self._unsent:
            self._wait_for_reader()
        else:
            complain(f"{self._describe_peer()} takes nothing of its response: the connection is closed")
            self.transport.abort()

    def _wait_in(self, deadlines: Deadlines[Waiting] | None) -> None:
        """Let the time begin that the peer has until it sends something, None: it has nothing to send."""
        if self._deadlines is not None:
            self._deadlines.forget(self)
        self._deadlines = deadlines
        if deadlines is not None:
            deadlines.watch(self)

    def _wait_for_reader(self) -> None:
        """Let the time begin that the peer has until it takes something of what is still to be sent."""
        self._unsent = self.transport.get_write_buffer_size()
        self._context.readers.forget(self)
        if self._unsent:
            self._context.readers.watch(self)
