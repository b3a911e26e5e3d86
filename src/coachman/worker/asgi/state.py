"""uvicorn's state, shared by all connections, with a date that is renewed when it is needed."""

from __future__ import annotations

import time
from email.utils import formatdate

from uvicorn.server import ServerState

from coachman.worker.asgi.context import Context


class State(ServerState):
    """What uvicorn's protocols share."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.tasks = context.tasks
        self._date_of = 0
        self._date_line = b""

    def date_line(self) -> bytes:
        """Return the header with the present time, as a whole line.

        Responses of WebSockets get it as well: uvicorn's server renews what those have ten times a second.
        """
        now = int(time.time())
        if now != self._date_of:
            self._date_of = now
            date = formatdate(now, usegmt=True).encode()
            self._date_line = b"date: " + date + b"\r\n"
            self.default_headers = [(b"date", date)]
        return self._date_line
