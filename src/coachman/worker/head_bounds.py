"""How much of a request's head is taken, by a worker's bounds."""

from __future__ import annotations

from sys import maxsize

from coachman.config.model import Bounds
from coachman.protocol.http.head import HeadBounds


def head_bounds(bounds: Bounds) -> HeadBounds:
    """Return those of `bounds` that are about heads, in which 0 is no bound."""
    return HeadBounds(
        bounds.request_line or maxsize, bounds.header_size or maxsize, bounds.header_count or maxsize
    )
