"""Waiting for a descriptor, for whatever time somebody has configured."""

from __future__ import annotations

import select

TYPE_CHECKING = False  # `coachman check` uses this, and typing takes long to import
if TYPE_CHECKING:
    from coachman.unix.descriptors import Descriptor

LONGEST_WAIT = 86_400.0
"""Seconds. poll(2) takes milliseconds as a C int, which are 24 days at most."""


def wait_for(descriptor: Descriptor, event: int, timeout: float | None) -> None:
    """Wait for an event of poll(2), for `timeout` seconds and a day at most: look then again."""
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll(None if timeout is None else min(timeout, LONGEST_WAIT) * 1000)
