"""The log: every line that any process prints, whole and attributed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from coachman.config.model import LogFormat, LogLevel
from coachman.counted import counted
from coachman.protocol.log_format import FORMATS, Attribution, Piece, Source, TextFormat, encode_note
from coachman.protocol.unwritten import Unwritten
from coachman.supervisor.log.gate import Gate
from coachman.supervisor.log.log_file import LogFile, write_out
from coachman.supervisor.log.log_writer import LogWriter, Put
from coachman.supervisor.log.recent import Recent

CLOSING_SECONDS = 3.0
"""How long a reader of the log may take for what is left of it when the supervisor ends."""

PIECE = 32 * 1024
"""Bytes of a block that `Recent` keeps or gives up together."""


@dataclass(frozen=True, slots=True)
class _Lines:
    attribution: Attribution
    block: bytes
    time_ns: int


@dataclass(frozen=True, slots=True)
class _Note:
    text: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class _Reopen:
    """From here on, the file that has the path now."""


@dataclass(slots=True)
class _Count:
    lines: int = 0


_Item: TypeAlias = _Lines | _Note | _Reopen


class Log:
    """Writes lines to a file or to standard output, in a thread of its own; nothing here ever waits for that.

    What waits to be written is held as it came and is bounded: `gate` is shut while there is much of it, and
    whoever reads what applications print has to heed it. Belongs to the event loop's thread.
    """

    def __init__(
        self,
        file: Path | None,
        log_format: LogFormat = LogFormat.TEXT,
        level: LogLevel = LogLevel.INFO,
        *,
        fd: int = 1,
    ) -> None:
        """Write to `file`, or to the descriptor `fd`, which stays the caller's, where that is None.

        Raises `ConfigurationError` where the file cannot be opened.
        """
        self.gate = Gate()
        self._debugging = level is LogLevel.DEBUG
        self._format = FORMATS[log_format.value](os.getpid())
        self._file = LogFile(file, self._complain, self._format_note, fd=fd)
        self._writer = LogWriter[_Item]("log", self._write_items, self.gate.open)
        self._errors = LogWriter[bytes]("standard error", _write_errors)
        self._refused = Unwritten()
        self.recent = Recent[_Item]()
        """What was written last, before it is formatted; `text` does that."""
        self._counted = _Count()
        self._about = ""
        """What notes begin with."""

    def about(self, name: str) -> Log:
        """Return the same log for notes about `name`, with which they begin; `close` is not for it."""
        log = copy(self)
        log._about = f"{name}: "
        return log

    @property
    def lines(self) -> int:
        """Lines of applications and of the supervisor that have been written, or could not be."""
        return self._counted.lines + self._refused.total

    @property
    def waiting(self) -> int:
        """Bytes that have not been written yet."""
        return self._writer.waiting

    @property
    def lost_lines(self) -> int:
        """Lines that could not be written, as far as that is known by now."""
        return self._refused.total + self._file.lost_lines

    def write(self, source: Source, stream: str, block: bytes) -> None:
        """Write whole lines that `source` printed to `stream`, each with its newline."""
        attribution, now = source.attributions[stream], time.time_ns()
        self._queue(_Lines(attribution, block, now), block)
        for piece in _pieces(block):
            self.recent.add(source.application, _Lines(attribution, piece, now), piece)

    def note(self, text: str) -> None:
        """Write what the supervisor itself has to say: to standard error where the format has no notes."""
        text = self._about + text
        note, block = _Note(text, time.time_ns()), encode_note(text) + b"\n"
        self.recent.add(None, note, block)
        if self._format.has_notes:
            self._queue(note, block)
        else:
            self._complain(text)

    def debug(self, text: str) -> None:
        """Note `text` for those who look for a fault, at the level `LogLevel.DEBUG`."""
        if self._debugging:
            self.note(text)

    def announce(self, text: str) -> None:
        """Note `text`, and show it where the person looks when the log goes to a file."""
        self.note(text)
        if self._file.path is not None and self._format.has_notes:
            self._complain(text)

    def reopen(self) -> None:
        """Go on in the file that has the log's path now, after what was written before is in the old one."""
        self._writer.put(_Reopen(), 0)

    def text(self, items: Iterable[_Item]) -> str:
        """Return recent items as the log has them; notes in any format."""
        notes = self._format if self._format.has_notes else TextFormat(os.getpid())
        blocks: list[Piece] = []
        for item in items:
            match item:
                case _Lines(attribution, block, time_ns):
                    blocks += self._format.lines(attribution, block, time_ns).pieces
                case _Note(text, time_ns):
                    blocks.append(notes.note(text, time_ns))
        return b"".join(blocks).decode(errors="backslashreplace")

    def close(self) -> None:
        """Write what is left, for `CLOSING_SECONDS` at most, and close the file."""
        self._say_what_was_refused()
        if self._writer.close(CLOSING_SECONDS):
            self._file.close()
        else:
            self._complain(
                f"{counted(self.waiting, 'byte')} of the log could not be written within {CLOSING_SECONDS:g} "
                "seconds and are lost"
            )
        self._errors.close(CLOSING_SECONDS)

    def _queue(self, item: _Item, block: bytes) -> None:
        if not self._say_what_was_refused():
            self._refused.keep(block, 0)
            return
        match self._writer.put(item, len(block)):
            case Put.TAKEN_PAUSE:
                self.gate.shut()
            case Put.REFUSED:
                self._refused.keep(block, 0)

    def _say_what_was_refused(self) -> bool:
        """Return whether there is nothing, or no longer anything, that was refused and not spoken of."""
        if self._refused.lines:
            text = f"{self._refused} {self._refused.are} missing here: the log is written too slowly"
            if self._writer.put(_Note(text, time.time_ns()), len(text)) is Put.REFUSED:
                return False
            self._refused.said()
        return True

    # In the thread that writes the log.

    def _write_items(self, items: list[_Item]) -> None:
        blocks: list[Piece] = []
        for item in items:
            match item:
                case _Lines(attribution, block, time_ns):
                    formatted = self._format.lines(attribution, block, time_ns)
                    blocks += formatted.pieces
                    self._counted.lines += formatted.lines
                case _Note(text, time_ns) if self._format.has_notes:
                    blocks.append(self._format.note(text, time_ns))
                    self._counted.lines += text.count("\n") + 1
                case _Note(text):
                    self._complain(text)
                case _Reopen():
                    self._file.write(blocks)
                    blocks = []
                    if self._file.reopen():
                        blocks.append(self._format_note("the log file was reopened"))
                        self._complain(f"the log file {self._file.path} was reopened")
        self._file.write(blocks)

    def _format_note(self, text: str) -> bytes:
        return self._format.note(text, time.time_ns())

    # In either thread.

    def _complain(self, text: str) -> None:
        """Say `text` on standard error, which may have a slow reader as well."""
        data = encode_note(f"coachman: {text}\n")
        self._errors.put(data, len(data))


def _pieces(block: bytes) -> Iterator[bytes]:
    """Divide a block into such as are kept: as a whole, a large one would be more than all that is."""
    begin = 0
    while len(block) - begin > PIECE:
        end = block.rfind(b"\n", begin, begin + PIECE) + 1
        if not end:  # a line that is longer
            end = block.find(b"\n", begin + PIECE) + 1 or len(block)
        yield block[begin:end]
        begin = end
    if begin < len(block):
        yield block[begin:]


def _write_errors(items: list[bytes]) -> None:
    write_out(2, items)
