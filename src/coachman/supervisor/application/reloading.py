"""--reload: a change of the code restarts the application, while somebody develops it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from coachman.errors import ConfigurationError
from coachman.supervisor.log.log import Log

SETTLING_MILLISECONDS = 200
"""How long the files have to be left alone: an editor or a checkout changes several."""


def require_watchfiles() -> None:
    """Raise `ConfigurationError` where what `--reload` needs is not installed."""
    try:
        import_module("watchfiles")
    except ImportError:
        raise ConfigurationError(
            "--reload needs the package watchfiles: install coachman[reload], or do without --reload and "
            "send SIGHUP after a change"
        ) from None


class Reloading:
    """Calls `on_change` with a changed file of Python code below `root`, until it is stopped.

    What tools keep (`__pycache__`, `.git`, `.venv`, `node_modules` and the like) is left out, and so is what
    an application writes by itself.
    """

    def __init__(self, root: Path, on_change: Callable[[str], object], log: Log) -> None:
        self._root = root
        self._on_change = on_change
        self._log = log
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Watch no longer; returns once the thread that watched has ended."""
        self._stop.set()
        await asyncio.wait([self._task])

    async def _watch(self) -> None:
        # Not at the top: it is needed for development only, and takes long to import.
        from watchfiles import PythonFilter, awatch

        # Said at the task's first pause: by then the watches are there.
        said = f"a change of the Python code below {self._root} restarts the application"
        asyncio.get_running_loop().call_soon(self._log.note, said)
        changes = awatch(
            self._root,
            watch_filter=PythonFilter(),
            debounce=SETTLING_MILLISECONDS,
            step=SETTLING_MILLISECONDS,
            stop_event=self._stop,
            raise_interrupt=False,
        )
        try:
            async for changed in changes:
                self._on_change(min(path for _, path in changed))
        except (OSError, RuntimeError) as error:  # no more watches for this user, say
            self._log.note(f"changes of the code go unnoticed from now on: {error}")
