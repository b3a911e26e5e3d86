"""Temporary files for bodies, each used for one after the other.

To make a file, to find room for what is written, and to give all that back took most of the time of an
upload. A file that was used before has its pages.

What an application has got of a file has to end with its request. So a file is not used again where the
application has asked for its descriptor, which it may have passed to somebody who goes on reading, or has
forked meanwhile.
"""

from __future__ import annotations

import os
from collections import deque
from io import BufferedReader, FileIO
from tempfile import TemporaryFile
from typing import Final

from coachman.unix.standard_descriptors import keep_standard_descriptors

KEPT_FILES: Final = 8
KEPT_SIZE: Final = 2 * 1024 * 1024
"""Bytes of a file up to which it is kept, with its room on the disk."""

_forks = 0


def _note_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(before=_note_fork)


class _Reading(FileIO):
    """A file while an application reads it."""

    asked = False
    """Whether the application knows its descriptor."""

    def fileno(self) -> int:
        """Return the descriptor, which stays open as long as the request lasts."""
        self.asked = True
        return super().fileno()


class ScratchFile:
    """A temporary file without a name. What is written goes behind what was written since `rewind`."""

    __slots__ = ("_file", "_fit", "_forks", "_length", "_reading", "size")

    def __init__(self) -> None:
        """Raises OSError where there is no descriptor or no folder for it."""
        keep_standard_descriptors()  # or the file might get the number that the application prints to
        # No buffer: what comes is large, and would go past it with two more system calls each time.
        file = TemporaryFile(prefix="coachman-body-", buffering=0)  # noqa: SIM115 - closed by close()
        assert isinstance(file, FileIO)
        self._file = file
        self._reading: _Reading | None = None
        self._fit = True
        """Whether it could be written to."""
        self._forks = _forks
        """How many there had been when this use began."""
        self._length = 0
        """Bytes that are in the file, those of earlier uses included."""
        self.size = 0
        """Bytes that were written in this use."""

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`. Raises OSError: of a write that is cut short, the next one says why."""
        try:
            while written := self._file.write(data):
                self.size += written
                if written == len(data):
                    return
                data = memoryview(data)[written:]
        except OSError:
            self._fit = False
            raise

    def open(self) -> BufferedReader:
        """Return what was written, to be read from its beginning; it ends with this use of the file."""
        if self._length > self.size:
            self._file.truncate(self.size)
        self._length = self.size
        self._file.seek(0)
        self._reading = _Reading(self._file.fileno(), "rb", closefd=False)
        return BufferedReader(self._reading)

    def rewind(self) -> bool:
        """End this use; return whether the file is fit for another, else it is the caller's to close."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()
        self._length = max(self._length, self.size)
        shared = self._forks != _forks or (reading is not None and reading.asked)
        if shared or not self._fit or self._length > KEPT_SIZE:
            return False
        self._file.seek(0)
        self.size = 0
        return True

    def begin(self) -> None:
        """Begin another use."""
        self._forks = _forks

    def close(self) -> None:
        """Give up the file."""
        self._file.close()


class ScratchFiles:
    """Files that are not in use, `KEPT_FILES` at most. May be used by several threads at the same time."""

    def __init__(self) -> None:
        self._files: deque[ScratchFile] = deque()

    def take(self) -> ScratchFile:
        """Return a file, which is the caller's until it is given back. Raises OSError as a new one does."""
        try:
            file = self._files.pop()  # the one whose pages are the likeliest to be in a cache
        except IndexError:
            return ScratchFile()
        file.begin()
        return file

    def give_back(self, file: ScratchFile) -> None:
        """Keep `file` for another use, or close it."""
        if file.rewind() and len(self._files) < KEPT_FILES:
            self._files.append(file)
        else:
            file.close()

    def close(self) -> None:
        """Close those that are not in use."""
        while self._files:
            self._files.pop().close()
