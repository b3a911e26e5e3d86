"""Where the log is written to: a file, or a descriptor that this process was started with."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from coachman.errors import ConfigurationError
from coachman.protocol.log_format import Piece
from coachman.protocol.unwritten import Unwritten

LARGE_BLOCK = 16 * 1024
MOST_BLOCKS = 512
"""Blocks that one writev(2) takes; IOV_MAX is 1024."""


class LogFile:
    """Writes blocks of whole lines, and keeps account of what cannot be written: it never raises for that.

    It owns the descriptor of a file that it opened; standard output stays the process's own. `report` is
    told, in a sentence, when writing begins to fail, and `note` makes the line in which the log itself says,
    once it can, how much is missing. From any thread, one at a time.
    """

    def __init__(
        self, path: Path | None, report: Callable[[str], None], note: Callable[[str], bytes], *, fd: int = 1
    ) -> None:
        """Open `path`, or write to `fd` where it is None; raise `ConfigurationError` where that fails."""
        self.path = path
        self._report = report
        self._note = note
        self._fd = fd
        self._unwritten = Unwritten()
        self._failing = False
        if path is not None:
            try:
                self._fd = _open(path)
            except OSError as error:
                raise ConfigurationError(f"cannot write the log file {path}: {error.strerror}") from error

    @property
    def lost_lines(self) -> int:
        """Lines of which nothing, or not all, could ever be written."""
        return self._unwritten.total

    def write(self, blocks: Sequence[Piece]) -> None:
        """Write pieces that together are whole lines, or count them among those that could not be written."""
        if not blocks:
            return
        if not self._unwritten.nothing and not self._catch_up():
            self._unwritten.keep(b"".join(blocks), 0)
            return
        written = self._put(blocks)
        if written < sum(map(len, blocks)):
            self._unwritten.keep(b"".join(blocks), written)
            return
        self._failing = False
        if self._unwritten.lines:  # the format has no notes
            self._report(_missing(self._unwritten))
            self._unwritten.said()

    def reopen(self) -> bool:
        """Open the file by its path again, which makes it anew where it was moved away or deleted.

        Return whether that was possible. Where not, writing goes on in the file that is open.
        """
        if self.path is None:
            return False
        if not self._unwritten.nothing:
            self._catch_up()
        try:
            fd = _open(self.path)
        except OSError as error:
            self._report(
                f"cannot reopen the log file {self.path}: {error.strerror}; the old one is written on"
            )
            return False
        if not os.path.sameopenfile(fd, self._fd):
            self._unwritten.give_up_line()
        os.close(self._fd)
        self._fd = fd
        self._failing = False
        return True

    def close(self) -> None:
        """Say what is missing, if that is possible by now, and close the file."""
        if not self._unwritten.nothing:
            self._catch_up()
        self._unwritten.give_up_line()
        if self._unwritten.lines:
            self._report(_missing(self._unwritten))
        if self.path is not None:
            os.close(self._fd)

    def _catch_up(self) -> bool:
        """Finish the line that was begun and say how much is missing; return whether lines may follow."""
        unwritten = self._unwritten
        if unwritten.rest_of_line:
            unwritten.continue_line(self._put([unwritten.rest_of_line]))
            if unwritten.rest_of_line:
                return False
        if not unwritten.lines or not (note := self._note(_missing(unwritten))):
            return True
        written = self._put([note])
        if written:
            unwritten.said()
        if 0 < written < len(note):
            unwritten.keep(note, written)
        return written == len(note)

    def _put(self, blocks: Sequence[Piece]) -> int:
        """Write as much as possible; return how many bytes that was. Reports the first failure of a row."""
        written, error = write_out(self._fd, blocks)
        if error is not None and not self._failing:
            self._failing = True
            self._report(
                f"cannot write {self.path or 'the log'}: {error.strerror}; "
                "the applications go on, and what is missing will be counted"
            )
        return written


def write_out(fd: int, blocks: Sequence[Piece]) -> tuple[int, OSError | None]:
    """Write as much of the blocks as possible; return how many bytes that was, and what was in the way.

    Large blocks are not joined: the memory for that would come from the kernel, page by page, each time.
    """
    rest = deque(blocks)
    if len(rest) > MOST_BLOCKS or sum(map(len, rest)) < len(rest) * LARGE_BLOCK:
        rest = deque([b"".join(rest)])
    written = 0
    while rest:
        try:
            size = os.writev(fd, rest)
        except BlockingIOError:
            # Somebody who shares the open file description has made it non-blocking.
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
            continue
        except OSError as error:
            return written, error
        written += size
        while rest and size >= len(rest[0]):
            size -= len(rest.popleft())
        if size:
            rest[0] = memoryview(rest[0])[size:]
    return written, None


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def _missing(unwritten: Unwritten) -> str:
    return f"{unwritten} of the log could not be written and {unwritten.are} missing"
