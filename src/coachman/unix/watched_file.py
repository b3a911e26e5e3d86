"""A file that may come, go, be touched and be replaced, together with the folders that it is in."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from coachman.unix.inotify import Change, Inotify

_ON_THE_WAY = (
    Change.CREATE
    | Change.DELETE
    | Change.MOVED_FROM
    | Change.MOVED_TO
    | Change.DELETE_SELF
    | Change.MOVE_SELF
)
_IN_ITS_FOLDER = _ON_THE_WAY | Change.ATTRIBUTES | Change.CLOSE_WRITE

Signature: TypeAlias = tuple[int, int, int]


class WatchedFile:
    """Tells of touches of `file`, a path below `root`. Nothing on the way there needs to exist, but `root`.

    Raises OSError where nothing can be watched at all.
    """

    def __init__(self, root: Path, file: Path) -> None:
        self._file = file
        self._inotify = Inotify()
        # From the root down: each folder tells of the next one.
        *way, last = root, *(folder for folder in reversed(file.parents) if root in folder.parents)
        self._way = [*((folder, _ON_THE_WAY) for folder in way), (last, _IN_ITS_FOLDER)]
        self._name = os.fsencode(file.name)
        self._watches: set[int] = set()
        try:
            self._look_for_folders()
        except BaseException:
            self._inotify.close()
            raise
        self._signature = self._look()

    def fileno(self) -> int:
        """Return a descriptor that is readable when `touched` may have something to tell."""
        return self._inotify.fd

    def touched(self) -> bool:
        """Return whether the file was touched, written or put in place since this was last asked."""
        events = self._inotify.read()
        if any(event.name != self._name for event in events):
            # Again upon every change: a folder that was replaced is another one under the same name.
            with suppress(OSError):
                self._look_for_folders()
        elif all(event.change & Change.CREATE for event in events):
            return False  # whoever makes it has still to close it
        before, self._signature = self._signature, self._look()
        return self._signature is not None and self._signature != before

    def close(self) -> None:
        """Give the descriptor back."""
        self._inotify.close()

    def _look_for_folders(self) -> None:
        watches = set()
        for number, (folder, changes) in enumerate(self._way):
            try:
                watches.add(self._inotify.watch(str(folder), changes))
            except (FileNotFoundError, NotADirectoryError):
                if number == 0:
                    raise
                break  # the folder above will tell when it comes
        for watch in self._watches - watches:
            self._inotify.unwatch(watch)
        self._watches = watches

    def _look(self) -> Signature | None:
        try:
            found = os.stat(self._file)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns
