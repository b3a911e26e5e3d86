"""`coachman spawn` as its users run it: the installed command, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

COMMAND: Final = Path(sys.executable).with_name("coachman")


class CoachmanSpawn:
    """A running `coachman spawn`. As a context manager it ends it, and with it the application."""

    def __init__(
        self,
        *arguments: str | Path,
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        # A file: a pipe that nobody reads while the test is busy would fill and stop the application.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        self.process = subprocess.Popen(
            [COMMAND, "spawn", *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=self._stderr,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.process.terminate()  # does nothing when it has ended
            self.end_input()
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
            self._stderr.close()

    def properties(self) -> dict[str, Any]:
        """Wait for the application to be ready, and return what was printed about it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it did not become ready:\n{self.errors()}"
        properties: dict[str, Any] = json.loads(line)
        return properties

    def address(self) -> str:
        """Return the address of the one socket of the application, once it is ready."""
        (socket,) = self.properties()["sockets"]
        address: str = socket["address"]
        return address

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        self.process.send_signal(number)

    def end_input(self) -> None:
        """Close its standard input."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def status(self) -> int:
        """Wait until it ends by itself; return its exit status."""
        return self.process.wait(30)

    def end(self) -> int:
        """Ask it to end by the end of its input; return its exit status."""
        self.end_input()
        return self.status()

    def rest(self) -> bytes:
        """Return what it printed besides what was read, once it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def errors(self) -> str:
        """Return all that it has printed to stderr so far: the log, and what it says itself."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode(errors="backslashreplace")
