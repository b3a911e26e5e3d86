"""Real processes on the stdio channel, started the way `coachman spawn` does it, inside this process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from coachman.protocol.log_format import Source
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.failures.failure import StartFailed, StartFailure
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.spawner import spawn
from coachman.supervisor.process.wrapped_process import WrappedProcess
from coachman.unix.processes import Ending

PREAMBLE = """
import os, signal, socket, sys

def say(*lines):
    os.write(1, "".join(f"!> {line}\\n" for line in lines).encode())

def read_request():
    request = {}
    assert sys.stdin.readline() == "You have control 1.0\\n"
    while (line := sys.stdin.readline().rstrip("\\n")):
        key, _, value = line.partition(": ")
        request[key] = value
    return request

def control():
    say("I have control 1.0")
    return read_request()

def until_quit():
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a start: one of `ready` and `failure` is there."""

    ready: Ready | None
    failure: StartFailure | None
    ending: Ending
    log: str
    pid: int

    @property
    def message(self) -> str:
        assert self.failure is not None, self.log
        return str(self.failure)

    @property
    def last_lines(self) -> list[str]:
        """What the failure quotes of what was printed."""
        assert self.failure is not None, self.log
        return [line.text for line in self.failure.printed]


class WatchedLog(Log):
    """A log that calls back with every line, such as `stderr: text`."""

    def __init__(self, file: Path, on_line: Callable[[str], None]) -> None:
        super().__init__(file)
        self._on_line = on_line

    def write(self, source: Source, stream: str, block: bytes) -> None:
        super().write(source, stream, block)
        for line in block.splitlines():
            self._on_line(f"{stream}: {line.decode(errors='backslashreplace')}")


Whilst = Callable[[WrappedProcess, Ready], Awaitable[Any]]


def start(
    folder: Path,
    script: str,
    *,
    request: Mapping[str, str] | None = None,
    timeout: float = 30,
    pass_fds: Sequence[int] = (),
    on_line: Callable[[str], None] = lambda line: None,
    whilst: Whilst | None = None,
    budget_from: str = "",
) -> Outcome:
    """Start `script`, a wrapper in Python, behind `PREAMBLE`; call `whilst` once it is ready; end it.

    Without `whilst` its stdin is closed at once, and it has to end by itself. The time begins with the line
    `budget_from` where there is one: however slow the machine is, the process has come that far.
    """
    command = [sys.executable, "-I", "-S", "-c", PREAMBLE + dedent(script)]
    begun = asyncio.Event()

    def observe(line: str) -> None:
        on_line(line)
        if line == budget_from:
            begun.set()

    async def run() -> Outcome:
        log = WatchedLog(folder / "log", observe)
        process = WrappedProcess(
            spawn(command, folder, pass_fds=pass_fds), request or {}, log, uid=os.geteuid()
        )
        ready = failure = None
        try:
            if budget_from:
                await begun.wait()
            ready = await process.start(timeout)
            if whilst is not None:
                await whilst(process, ready)
            else:
                process.close_stdin()
                await process.exited()
        except StartFailed as error:
            failure = error.failure
        finally:
            process.kill()
            ending = await process.ended()
            log.close()
        return Outcome(ready, failure, ending, (folder / "log").read_text(errors="replace"), process.pid)

    return asyncio.run(run())


def has_readers_or_writers(pipe_end: int) -> bool:
    """Return whether any process still has the other end of a pipe, of which this is the read end."""
    os.set_blocking(pipe_end, False)
    try:
        return os.read(pipe_end, 1) != b""
    except BlockingIOError:
        return True
