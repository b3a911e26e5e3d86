"""What an application process printed during its start, for the report of a failure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from coachman.counted import counted
from coachman.protocol.stdio import decode_text
from coachman.protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HEAD_BYTES: Final = 32 * 1024
TAIL_BYTES: Final = 128 * 1024
LINE_BYTES: Final = 8 * 1024
"""Of a longer line only the beginning is kept."""
LINE_COST: Final = 64
"""Bytes that a line takes beside its text, about: lines without text are not free either."""


class PrintedLine(Value):
    """A line and the stream it came from: "stdout", "stderr", or "" for a remark of ours."""

    stream: str
    text: str


class Printed:
    """Keeps the first and the last lines, within fixed bounds; what is between is counted and left out."""

    def __init__(self) -> None:
        self._head: list[tuple[str, bytes]] = []
        self._tail: deque[tuple[str, bytes]] = deque()
        self._head_room = HEAD_BYTES
        self._tail_size = 0
        self._omitted = 0

    def add(self, stream: str, lines: Iterable[bytes]) -> None:
        """Take in lines that arrived."""
        for line in lines:
            if len(line) > LINE_BYTES:
                line = line[:LINE_BYTES] + b"... [%d bytes more]" % (len(line) - LINE_BYTES)
            cost = len(line) + LINE_COST
            if self._head_room >= cost and not self._tail:
                self._head.append((stream, line))
                self._head_room -= cost
                continue
            self._tail.append((stream, line))
            self._tail_size += cost
            while self._tail_size > TAIL_BYTES:
                self._tail_size -= len(self._tail.popleft()[1]) + LINE_COST
                self._omitted += 1

    def lines(self) -> tuple[PrintedLine, ...]:
        """Return what was kept, with a remark where something was left out."""
        head = [PrintedLine(stream, decode_text(line)) for stream, line in self._head]
        tail = [PrintedLine(stream, decode_text(line)) for stream, line in self._tail]
        remark = (
            [PrintedLine("", f"[{counted(self._omitted, 'line')} left out here]")] if self._omitted else []
        )
        return (*head, *remark, *tail)
