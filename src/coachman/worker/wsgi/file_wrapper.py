"""`wsgi.file_wrapper`: a file as a response, which the kernel can send by itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from io import BufferedRandom, BufferedReader, FileIO
from tempfile import _TemporaryFileWrapper
from typing import Any, NamedTuple

BLOCK_SIZE = 64 * 1024


class FilePart(NamedTuple):
    """A part of a regular file. The descriptor is that of the file object, which owns it."""

    fd: int
    offset: int
    size: int


class FileWrapper:
    """Wraps a file-like object (PEP 3333, "Optional Platform-Specific File Handling").

    What is a regular file, and nothing but that, is sent by sendfile(2), from its present position on.
    Everything else is read block by block.
    """

    def __init__(self, filelike: Any, block_size: int = BLOCK_SIZE) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        while block := self.filelike.read(self.block_size):
            yield block

    def part(self) -> FilePart | None:
        """Return what is left of a regular file; None for every other object."""
        file = self.filelike
        if type(file) is _TemporaryFileWrapper:
            file = file.file
        # `fileno` alone says nothing: that of a GzipFile, for example, leads to what is still compressed.
        if type(file) in (BufferedReader, BufferedRandom):
            if type(file.raw) is not FileIO:
                return None
        elif type(file) is not FileIO:
            return None
        try:
            if isinstance(file, BufferedRandom):
                file.flush()
            fd = file.fileno()
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return None
            offset = file.tell()  # not the descriptor's own, which is ahead by what is buffered
        except (OSError, ValueError):  # closed, or on a file system of a strange kind
            return None
        return FilePart(fd, offset, max(0, status.st_size - offset))
