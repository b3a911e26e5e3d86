"""The commands that control a supervisor, as their users run them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .coachman_serve import COMMAND

TIMEOUT = 60


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


def coachman(
    *arguments: str | Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Done:
    """Run a command and return what came of it."""
    done = subprocess.run(
        [COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        timeout=TIMEOUT,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


class Running:
    """A command that goes on until it is ended: at the end of the block with SIGKILL, if not before."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0
        )
        self._text = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self.process:
            self.process.kill()

    def read_until(self, what: str | None) -> str:
        """Return all of its output up to now, once `what` is in it; None: up to its end."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + TIMEOUT
        while what is None or what.encode() not in self._text:
            readable, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            assert readable, f"no {what!r} within {TIMEOUT} seconds: {self._text!r}"
            data = self.process.stdout.read(65536)
            if not data:
                assert what is None, f"no {what!r} up to the end: {self._text!r}"
                break
            self._text += data
        return self._text.decode()
