"""The configuration while the server runs: read anew for every restart."""

from __future__ import annotations

from collections.abc import Callable

from coachman.config.changes import counterparts, left_for_the_next_start, successor
from coachman.config.model import ApplicationConfig, SupervisorConfig


class LiveConfiguration:
    """Says what is configured by now, and once of each thing that it has to wait for the next start."""

    def __init__(
        self, started: SupervisorConfig, read: Callable[[], SupervisorConfig], note: Callable[[str], None]
    ) -> None:
        """`started` is what the server was started with; `read` raises `ConfigurationError`."""
        self._started = started
        self._read = read
        self._note = note
        self._said: list[str] = []

    def of(self, now: ApplicationConfig) -> ApplicationConfig:
        """Return what is configured for the application for which `now` holds.

        Raises `ConfigurationError` where the configuration is wrong, for whichever application.
        """
        read = self._read()
        waiting = left_for_the_next_start(self._started, read)
        news = [text for text in waiting if text not in self._said]
        self._said = waiting
        if news:
            self._note(f"the configuration has {', '.join(news)}: that takes a new start of the server")
        found = counterparts(self._started, read).get(now.title)
        return now if found is None else successor(now, found)
