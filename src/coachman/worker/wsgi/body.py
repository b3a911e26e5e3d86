"""A request body, collected before the application is called."""

from __future__ import annotations

from io import BytesIO
from tempfile import TemporaryFile
from typing import IO

from coachman.unix.standard_descriptors import keep_standard_descriptors

MEMORY_LIMIT = 256 * 1024
"""Bytes of a body that are kept in memory; a longer body moves to a temporary file."""


class RequestBody:
    """Collects the bytes of one body and hands them over as a seekable file.

    The file belongs to the connection that reads the request: it closes it once the response is done.
    """

    __slots__ = ("_file", "size")

    def __init__(self) -> None:
        self._file: IO[bytes] = BytesIO()
        self.size = 0

    def append(self, data: bytes | memoryview) -> None:
        """Add `data`; raise OSError where the temporary file cannot take it."""
        before, self.size = self.size, self.size + len(data)
        if before <= MEMORY_LIMIT < self.size:
            memory = self._file
            assert isinstance(memory, BytesIO)
            keep_standard_descriptors()  # or the file might get the number that the application prints to
            self._file = TemporaryFile(prefix="coachman-body-")  # noqa: SIM115 - closed by close()
            self._file.write(memory.getbuffer())
        self._file.write(data)

    def opened_at_start(self) -> IO[bytes]:
        """Return the file, positioned at the first byte: what becomes `wsgi.input`."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Release the memory or the temporary file."""
        self._file.close()
