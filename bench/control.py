"""A coachman under test, asked by its control socket, as `coachman status` and `coachman scale` do."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from load import BIN, Server, running, temporary_folder

from coachman.protocol.status import SupervisorStatus, WorkerStatus

TIMEOUT = 30.0


@dataclass(frozen=True)
class Coachman:
    """A running server with one application."""

    url: str
    runtime_folder: str

    def workers(self) -> list[WorkerStatus]:
        """Return the workers that take requests."""
        status = msgspec.json.decode(self._ask("status", "--json"), type=SupervisorStatus)
        return [worker for worker in status.applications[0].workers if worker.state == "ready"]

    def scale(self, change: str) -> None:
        self._ask("scale", change)

    def wait_for(self, condition: Callable[[list[WorkerStatus]], bool]) -> list[WorkerStatus]:
        """Return the workers once `condition` holds for them."""
        deadline = time.monotonic() + TIMEOUT
        while not condition(workers := self.workers()):
            if time.monotonic() > deadline:
                raise SystemExit(f"the workers are not as they should be: {workers}")
            time.sleep(0.1)
        return workers

    def _ask(self, command: str, *arguments: str) -> bytes:
        options = ("--runtime-folder", self.runtime_folder)
        # It speaks of trouble by its exit status, and a worker that is on its way is some.
        done = subprocess.run(
            [BIN / "coachman", command, *options, *arguments], stdout=subprocess.PIPE, check=False
        )
        return done.stdout


@contextmanager
def running_coachman(server: Server) -> Iterator[Coachman]:
    """Run `server`, which is one of coachman's, with a runtime folder of its own."""
    with temporary_folder() as folder, running(server, {"COACHMAN_RUNTIME_FOLDER": folder}) as url:
        yield Coachman(url, folder)


def private_memory(pid: int) -> int:
    """Return the bytes that a process shares with nobody."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private"))
