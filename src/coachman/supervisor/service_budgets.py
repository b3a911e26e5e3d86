"""How long a service manager is to wait for a server: what its configuration allows, and a margin."""

from __future__ import annotations

from collections.abc import Sequence

from coachman.config.model import ApplicationConfig

MARGIN_SECONDS = 10.0
"""What the manager grants beyond the times that we know of, for reaping, the log and a loaded machine."""


def start_budget(applications: Sequence[ApplicationConfig]) -> float:
    """Return the seconds that a start may take: that of the preloader, then that of the first worker."""
    return 2 * max(each.start_timeout for each in applications) + MARGIN_SECONDS


def stop_budget(applications: Sequence[ApplicationConfig]) -> float:
    """Return the seconds that a stop may take."""
    return max(each.worker.drain_timeout for each in applications) + MARGIN_SECONDS
