"""The log: every line that any process prints, whole and attributed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coachman.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Source:
    """The process that printed a line."""

    pid: int


class Log:
    """Writes lines to a file or, without one, to `fd`: standard output, if nothing else is said.

    It owns the descriptor of a file; `fd` stays the process's own.
    """

    def __init__(self, file: Path | None, *, fd: int = 1) -> None:
        self.file = file
        if file is None:
            self._fd = fd
            return
        try:
            self._fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigurationError(f"cannot write the log file {file}: {error.strerror}") from error

    def write(self, source: Source, stream: str, lines: Iterable[bytes]) -> None:
        """Write lines that the process `source` printed to `stream`, which is "stdout" or "stderr"."""
        self._write(f"App {source.pid} {stream}: ", lines)

    def note(self, text: str) -> None:
        """Write what the supervisor itself has to say."""
        self._write(f"Supervisor {os.getpid()}: ", text.encode("utf-8", "surrogateescape").split(b"\n"))

    def close(self) -> None:
        """Close the log file."""
        if self.file is not None:
            os.close(self._fd)

    def _write(self, prefix_text: str, lines: Iterable[bytes]) -> None:
        prefix = prefix_text.encode()
        data = b"".join([part for line in lines for part in (prefix, line, b"\n")])
        while data:
            try:
                written = os.write(self._fd, data)
            except OSError:
                return  # a log that cannot be written must not stop what it is about
            data = data[written:]
