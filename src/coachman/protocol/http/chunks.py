"""A body in chunks (RFC 9112, 7.1): extensions and trailers are read, bounded and ignored."""

from __future__ import annotations

import re
from enum import Enum, auto

from coachman.protocol.http.grammar import stripped_fields
from coachman.protocol.http.refusal import BadRequest, malformed

IGNORED_LIMIT = 16 * 1024
"""Bytes that the extensions of all chunks of one body may take together, and its trailers as well."""

# 15 digits are less than 2**60: no reader takes such a size for another, smaller one.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15}+)([ \t]*+;[\t\x20-\x7e\x80-\xff]*+)?+\r\n")
_BEGUN_SIZE_LINE = re.compile(rb"[0-9A-Fa-f]{0,15}+(?:\r|[ \t]*+(?:;[\t\x20-\x7e\x80-\xff]*+\r?+)?+)")


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    END_OF_DATA = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkReader:
    """Takes the framing off one body."""

    __slots__ = ("_held", "_ignored", "_part", "_remaining")

    def __init__(self) -> None:
        self._part = _Part.SIZE
        self._remaining = 0
        self._ignored = 0
        self._held = b""
        """The beginning of a line whose end has not come yet."""

    @property
    def done(self) -> bool:
        """True once the body is complete, trailers included."""
        return self._part is _Part.DONE

    def feed(self, data: bytes, start: int) -> tuple[list[memoryview], int]:
        """Read `data` from `start` on.

        Returns the body's bytes in it, and where the next message begins; that is `len(data)` unless the
        reader is `done` now. Raises `BadRequest`.
        """
        if self._held:
            data, start, offset = self._held + data[start:], 0, start - len(self._held)
            self._held = b""
        else:
            offset = 0
        view = memoryview(data)
        blocks: list[memoryview] = []
        position, end = start, len(data)
        while position < end and self._part is not _Part.DONE:
            if self._part is _Part.DATA:
                block = view[position : position + self._remaining]
                blocks.append(block)
                position += len(block)
                self._remaining -= len(block)
                if self._remaining == 0:
                    self._part = _Part.END_OF_DATA
                continue
            line_end = data.find(b"\n", position) + 1
            if line_end == 0:
                self._hold(data[position:])
                break
            self._take_line(data[position:line_end])
            position = line_end
        return blocks, (position + offset if self.done else end + offset)

    def _take_line(self, line: bytes) -> None:
        if self._part is _Part.SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise malformed("this is no size of a chunk", line.decode("latin-1"))
            size, extension = match.groups()
            if extension is not None:
                self._ignore(len(extension))
            self._remaining = int(size, 16)
            if self._remaining:
                self._part = _Part.DATA
            else:
                self._part = _Part.TRAILER
                self._ignored = 0
        elif self._part is _Part.END_OF_DATA:
            if line != b"\r\n":
                raise malformed("a chunk is longer than its size", line.decode("latin-1"))
            self._part = _Part.SIZE
        elif line == b"\r\n":
            self._part = _Part.DONE
        else:
            stripped_fields(line.decode("latin-1"))
            self._ignore(len(line))

    def _hold(self, line: bytes) -> None:
        """Keep the beginning of a line, unless it can become none."""
        if self._part is _Part.SIZE and not _BEGUN_SIZE_LINE.fullmatch(line):
            raise malformed("this is no size of a chunk", line.decode("latin-1"))
        if self._part is _Part.END_OF_DATA and line != b"\r":
            raise malformed("a chunk is longer than its size", line.decode("latin-1"))
        if self._ignored + len(line) > IGNORED_LIMIT:
            raise self._over()
        self._held = line

    def _ignore(self, size: int) -> None:
        self._ignored += size
        if self._ignored > IGNORED_LIMIT:
            raise self._over()

    def _over(self) -> BadRequest:
        if self._part is _Part.TRAILER:
            return BadRequest(
                "431 Request Header Fields Too Large", f"over {IGNORED_LIMIT} bytes of trailers"
            )
        return malformed(f"over {IGNORED_LIMIT} bytes of chunk extensions")
