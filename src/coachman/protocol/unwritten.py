"""What a log could not write: how much, and what has to go out before anything else does."""

from __future__ import annotations

from coachman.counted import counted


class Unwritten:
    """The account of a log that is, or was, failing. The caller writes, and tells it how far that got.

    Whatever is written is whole lines. So where a write has ended inside a line, the rest of that line is
    kept, and is the first to be written when writing works again; lines of which nothing was written are
    counted.
    """

    __slots__ = ("bytes", "lines", "rest_of_line", "total")

    def __init__(self) -> None:
        self.rest_of_line = b""
        """What is missing of the line that was written last."""
        self.lines = 0
        self.bytes = 0
        self.total = 0
        """Lines that were ever counted, spoken of or not."""

    @property
    def nothing(self) -> bool:
        """Whether all that was to be written has been."""
        return not (self.lines or self.rest_of_line)

    def keep(self, data: bytes, written: int) -> None:
        """Take in that of `data`, which are whole lines, the first `written` bytes have been written."""
        end = written
        if written and data[written - 1] != ord("\n"):
            end = data.index(b"\n", written) + 1
            self.rest_of_line = data[written:end]
        self._count(data.count(b"\n", end), len(data) - end)

    def continue_line(self, written: int) -> None:
        """Take in that the first `written` bytes of `rest_of_line` have been written."""
        self.rest_of_line = self.rest_of_line[written:]

    def give_up_line(self) -> None:
        """Give up the rest of the line: the file that it was begun in is not written to any more."""
        if self.rest_of_line:
            self._count(1, len(self.rest_of_line))
            self.rest_of_line = b""

    def said(self) -> None:
        """Start counting anew: how much is missing has been said in the log."""
        self.lines = self.bytes = 0

    def _count(self, lines: int, size: int) -> None:
        self.lines += lines
        self.total += lines
        self.bytes += size

    @property
    def are(self) -> str:
        """The verb that goes with the lines that were counted."""
        return "is" if self.lines == 1 else "are"

    def __str__(self) -> str:
        return f"{counted(self.lines, 'line')} ({counted(self.bytes, 'byte')})"
