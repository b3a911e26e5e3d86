"""How long to wait before a worker that keeps dying is started again."""

from __future__ import annotations

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
HEALTHY_AFTER = 10.0
"""Seconds of service after which a death says nothing about the next start."""


def failures_after_death(failures: int, *, served_for: float) -> int:
    """Return how many failures in a row there are once a worker died that had served so many seconds."""
    return 0 if served_for >= HEALTHY_AFTER else failures + 1


def restart_delay(failures: int) -> float:
    """Return the seconds to wait after `failures` failures in a row: none after the first, then doubling."""
    if failures <= 1:
        return 0.0
    # The exponent is bounded first: a float cannot hold the power of a large count.
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 2, 20)))
