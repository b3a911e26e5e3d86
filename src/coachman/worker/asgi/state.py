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

    def renew_date(self) -> None:
        """Have responses carry the present time; uvicorn's server does that ten times a second, unasked."""
        now = int(time.time())
        if now != self._date_of:
            self._date_of = now
            self.default_headers = [(b"date", formatdate(now, usegmt=True).encode())]
