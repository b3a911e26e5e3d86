"""A request body, collected before the application is called."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import IO

from coachman.worker.wsgi.scratch_files import ScratchFile, ScratchFiles

MEMORY_LIMIT = 256 * 1024
"""Bytes of a body that are kept in memory; a longer body moves to a temporary file."""


class RequestBody:
    """Collects the bytes of one body and hands them over as a seekable file.

    The file belongs to the connection that reads the request: it closes it once the response is done.
    """

    __slots__ = ("_file", "_files", "_memory", "_reader", "size")

    def __init__(self, files: ScratchFiles) -> None:
        """`files` stay the caller's."""
        self._files = files
        self._memory = BytesIO()
        self._file: ScratchFile | None = None
        self._reader: IO[bytes] | None = None
        self.size = 0

    def append(self, data: bytes | memoryview) -> None:
        """Add `data`; raise OSError where the temporary file cannot take it."""
        self.size += len(data)
        if self.size <= MEMORY_LIMIT:
            self._memory.write(data)
            return
        try:
            if self._file is None:
                self._file = self._files.take()
                self._file.write(self._memory.getbuffer())
                self._memory = BytesIO()
            self._file.write(data)
        except OSError:
            self._files.close()  # what is kept for later is of more use to others now
            raise

    def opened_at_start(self) -> IO[bytes]:
        """Return the file, positioned at the first byte: what becomes `wsgi.input`."""
        if self._file is None:
            self._memory.seek(0)
            self._reader = self._memory
        else:
            self._reader = self._file.open()
        return self._reader

    def close(self) -> None:
        """Release the memory or the temporary file, and end what the application reads."""
        for reader in (self._reader, self._memory):
            # The application may have kept a view of the memory, or have taken the reader apart.
            with suppress(BufferError, ValueError):
                if reader is not None:
                    reader.close()
        file, self._file = self._file, None
        if file is not None:
            self._files.give_back(file)
