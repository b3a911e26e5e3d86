"""A request body, collected before the application is called."""

from __future__ import annotations

from io import BufferedReader, BytesIO, FileIO
from tempfile import TemporaryFile
from typing import IO

from coachman.unix.standard_descriptors import keep_standard_descriptors

MEMORY_LIMIT = 256 * 1024
"""Bytes of a body that are kept in memory; a longer body moves to a temporary file."""


class RequestBody:
    """Collects the bytes of one body and hands them over as a seekable file.

    The file belongs to the connection that reads the request: it closes it once the response is done.
    """

    __slots__ = ("_file", "_reader", "size")

    def __init__(self) -> None:
        self._file: BytesIO | FileIO = BytesIO()
        self._reader: IO[bytes] | None = None
        self.size = 0

    def append(self, data: bytes | memoryview) -> None:
        """Add `data`; raise OSError where the temporary file cannot take it."""
        self.size += len(data)
        memory = self._file
        if self.size > MEMORY_LIMIT and isinstance(memory, BytesIO):
            keep_standard_descriptors()  # or the file might get the number that the application prints to
            # No buffer: what comes is large, and would go past it with two more system calls each time.
            file = TemporaryFile(prefix="coachman-body-", buffering=0)  # noqa: SIM115 - closed by close()
            assert isinstance(file, FileIO)
            self._file = file
            _write(file, memory.getbuffer())
        if isinstance(self._file, FileIO):
            _write(self._file, data)
        else:
            self._file.write(data)

    def opened_at_start(self) -> IO[bytes]:
        """Return the file, positioned at the first byte: what becomes `wsgi.input`."""
        self._file.seek(0)
        self._reader = self._file if isinstance(self._file, BytesIO) else BufferedReader(self._file)
        return self._reader

    def close(self) -> None:
        """Release the memory or the temporary file."""
        if self._reader is not None:
            self._reader.close()
        self._file.close()


def _write(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`: of a write that is cut short, the next one says why."""
    while written := file.write(data):
        if written == len(data):
            return
        data = memoryview(data)[written:]
