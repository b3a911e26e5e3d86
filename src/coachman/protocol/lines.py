"""A byte stream cut into whole lines."""

from __future__ import annotations

from collections.abc import Iterator

LINE_LIMIT = 1024 * 1024
"""Bytes of one line that are kept together; a longer one is cut and the cut is marked."""

CUT = b" [cut here by coachman: the line is longer than 1 MiB]"

TAIL_LIMIT = 16 * 1024
"""Bytes of the last lines that a failure may quote."""


class LineBlocks:
    """Cuts what is read from a pipe into blocks of whole lines, each line with its newline.

    No line is handled by itself, so the cost hardly depends on how many there are. A line comes out whole,
    however the reads were split; only one longer than `LINE_LIMIT` comes in pieces, each but the last ending
    in `CUT`. No byte is lost.
    """

    __slots__ = ("_partial",)

    def __init__(self, partial: bytes = b"") -> None:
        self._partial = bytearray(partial)

    @property
    def partial(self) -> bytes:
        """The beginning of a line whose newline has not come yet."""
        return bytes(self._partial)

    @partial.setter
    def partial(self, partial: bytes) -> None:
        self._partial = bytearray(partial)

    def feed(self, data: bytes) -> bytes:
        """Return the lines that `data` completes, or b"" where it completes none."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._partial += data  # grows in place: a long line that comes in small pieces is not copied
            return self._cut_partial() if len(self._partial) > LINE_LIMIT else b""
        block = b"".join((self._partial, memoryview(data)[:end])) if self._partial else data[:end]
        self._partial = bytearray(data[end:])
        if len(block) > LINE_LIMIT:
            block = b"".join(_cut_long(block))
        return block + self._cut_partial() if len(self._partial) > LINE_LIMIT else block

    def flush(self) -> bytes:
        """Return the unfinished last line, now with a newline, if there is one: the stream has ended."""
        rest, self._partial = bytes(self._partial), bytearray()
        return rest + b"\n" if rest else b""

    def _cut_partial(self) -> bytes:
        pieces = list(_cut_long(bytes(self._partial) + b"\n"))
        self._partial = bytearray(pieces.pop()[:-1])
        return b"".join(pieces)


class LineSplitter:
    """Cuts what is read from a pipe into lines, without their newline, as `LineBlocks` does into blocks."""

    __slots__ = ("_blocks",)

    def __init__(self, partial: bytes = b"") -> None:
        self._blocks = LineBlocks(partial)

    @property
    def partial(self) -> bytes:
        """The beginning of a line whose newline has not come yet."""
        return self._blocks.partial

    @partial.setter
    def partial(self, partial: bytes) -> None:
        self._blocks.partial = partial

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, in order."""
        return _lines_of(self._blocks.feed(data))

    def flush(self) -> list[bytes]:
        """Return the unfinished last line, if there is one: the stream has ended."""
        return _lines_of(self._blocks.flush())


class LastLines:
    """Remembers the end of what was printed, in blocks of whole lines: `TAIL_LIMIT` bytes of it at most."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def add(self, block: bytes) -> None:
        """Take in whole lines, each with its newline."""
        if len(block) < TAIL_LIMIT:
            block = self._tail + block
        self._tail = block[-TAIL_LIMIT:]

    def last(self, count: int) -> list[bytes]:
        """Return the last `count` lines without newline, the oldest first; of an overlong one, its end."""
        return _lines_of(self._tail)[-count:]


def count_lines(block: bytes) -> int:
    """Return how many newlines there are in `block`."""
    # Not bytes.count, which before Python 3.13 looks at one byte after the other: this takes a third of it.
    return len(block) - len(block.replace(b"\n", b""))


def _lines_of(block: bytes) -> list[bytes]:
    return block[:-1].split(b"\n") if block else []


def _cut_long(block: bytes) -> Iterator[bytes]:
    """Yield the lines of `block`, those over the limit in pieces."""
    start = 0
    while start < len(block):
        end = block.index(b"\n", start) + 1
        while end - 1 - start > LINE_LIMIT:
            yield block[start : start + LINE_LIMIT] + CUT + b"\n"
            start += LINE_LIMIT
        yield block[start:end]
        start = end
