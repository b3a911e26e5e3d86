"""A byte stream cut into whole lines."""

from __future__ import annotations

LINE_LIMIT = 1024 * 1024
"""Bytes of one line that are kept together; a longer one is cut and the cut is marked."""

CUT = b" [cut here by coachman: the line is longer than 1 MiB]"


class LineSplitter:
    """Cuts what is read from a pipe into lines, without their newline.

    A line is handed out whole, however the reads were split; only one longer than `LINE_LIMIT` comes in
    pieces, each but the last ending in `CUT`. No byte is lost.
    """

    __slots__ = ("partial",)

    def __init__(self, partial: bytes = b"") -> None:
        self.partial = partial
        """The beginning of a line whose newline has not come yet."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, in order."""
        lines = (self.partial + data).split(b"\n") if self.partial else data.split(b"\n")
        self.partial = lines.pop()
        if len(self.partial) > LINE_LIMIT or any(len(line) > LINE_LIMIT for line in lines):
            return self._cut_long(lines)
        return lines

    def flush(self) -> list[bytes]:
        """Return the unfinished last line, if there is one: the stream has ended."""
        rest, self.partial = self.partial, b""
        return [rest] if rest else []

    def _cut_long(self, lines: list[bytes]) -> list[bytes]:
        pieces: list[bytes] = []
        for line in lines:
            while len(line) > LINE_LIMIT:
                pieces.append(line[:LINE_LIMIT] + CUT)
                line = line[LINE_LIMIT:]
            pieces.append(line)
        while len(self.partial) > LINE_LIMIT:
            pieces.append(self.partial[:LINE_LIMIT] + CUT)
            self.partial = self.partial[LINE_LIMIT:]
        return pieces
