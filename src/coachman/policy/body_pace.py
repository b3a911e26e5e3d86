"""How slowly the body of a request may come."""

from __future__ import annotations

from math import inf
from typing import Final

from coachman.counted import counted

BODY_RATE: Final = 1024
"""Bytes a second that a body has to come with on average, once its time-out has passed."""


def body_deadline(*, since: float, progress: float, received: int, timeout: float) -> float:
    """Return when the peer's time is up, in seconds of the clock that its arguments are of.

    `since` is when it could begin to send the body, `progress` when it has last sent something of it; of
    what came in between, there are so many bytes `received`. A `timeout` of 0 is none: infinity.
    """
    if not timeout:
        return inf
    # Without the rate, a byte now and then would be progress for ever.
    return min(progress, since + received / BODY_RATE) + timeout


def too_slow(timeout: float) -> str:
    """Say for the log what a peer whose time is up did not do."""
    return f"nothing of the body in {counted(timeout, 'second')}, or less than {BODY_RATE} bytes a second"
