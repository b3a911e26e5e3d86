"""What asks for a restart without a word to the supervisor: a file that is touched, code that changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coachman.config.model import ApplicationConfig
from coachman.supervisor.application.reloading import Reloading
from coachman.supervisor.application.restart_file import RestartFile
from coachman.supervisor.log.log import Log


class RestartTriggers:
    """Calls `begin` with a cause for each restart that is asked for so, until it is stopped."""

    def __init__(self, config: ApplicationConfig, begin: Callable[[str], object], log: Log) -> None:
        self._watched = _watched(config)
        self._restart_file: RestartFile | None = None
        self._reloading: Reloading | None = None
        root, file, reload = self._watched
        if file:
            self._restart_file = RestartFile(root, file, lambda: begin(f"{file} was touched"), log)
        if reload:
            self._reloading = Reloading(root, lambda changed: begin(f"{changed} changed"), log)

    def suit(self, config: ApplicationConfig) -> bool:
        """Return whether these are what the configuration asks for."""
        return self._watched == _watched(config)

    async def stop(self) -> None:
        """Watch no longer; returns once nothing of it is left."""
        if self._restart_file is not None:
            self._restart_file.close()
        if self._reloading is not None:
            await self._reloading.stop()


def _watched(config: ApplicationConfig) -> tuple[Path, str, bool]:
    return config.location.root, config.restart.file, config.restart.reload
