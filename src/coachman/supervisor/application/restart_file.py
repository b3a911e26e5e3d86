"""tmp/restart.txt: whoever touches it restarts the application, as users of Passenger know it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from coachman.supervisor.log.log import Log
from coachman.unix.watched_file import WatchedFile


class RestartFile:
    """Calls `on_touch` whenever the file at `path`, relative to `root`, is touched, until it is closed.

    The kernel tells; nothing is looked at while nothing happens.
    """

    def __init__(self, root: Path, path: str, on_touch: Callable[[], object], log: Log) -> None:
        self._on_touch = on_touch
        self._file: WatchedFile | None = None
        file = Path(root, path)
        if root not in file.parents:
            root = file.parent
        if root.is_symlink():
            root = root.parent  # where it is turned to another folder
        try:
            self._file = WatchedFile(root, file)
        except OSError as error:
            log.note(f"{file} cannot be watched: {error}; SIGHUP restarts all the same")
        else:
            asyncio.get_running_loop().add_reader(self._file, self._on_readable)

    def close(self) -> None:
        """Watch no longer. Again: nothing happens."""
        file, self._file = self._file, None
        if file is not None:
            asyncio.get_running_loop().remove_reader(file)
            file.close()

    def _on_readable(self) -> None:
        if self._file is not None and self._file.touched():
            self._on_touch()
