"""Request ids: by which one request is found again in all logs that it has left a trace in."""

from __future__ import annotations

import re
from itertools import count
from typing import Final

HEADER: Final = "X-Request-Id"

# What proxies and tracing libraries send. Nothing that a log, a shell or a database would understand.
_SOUND: Final = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")


def named(request_line: str, request_id: str) -> str:
    """Return what a request is called for people, with its id where it has one."""
    return f"{request_line} (request id {request_id})" if request_id else request_line


class RequestIds:
    """Gives each request of a process an id. May be used by several threads at the same time."""

    def __init__(self, prefix: str) -> None:
        """`prefix` is what no other process has: enough random digits."""
        self.fresh: Final = map(f"{prefix}-%x".__mod__, count(1))
        """Ids that were never used before, without an end."""

    def of_request(self, given: str | None) -> str:
        """Return the id that a trusted peer has `given` the request, or one that was never used before."""
        if given is not None and _SOUND.fullmatch(given) is not None:
            return given
        return next(self.fresh)
