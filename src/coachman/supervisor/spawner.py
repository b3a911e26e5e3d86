"""Starting a process on the stdio channel: fork and exec of a program with three pipes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from coachman.unix.processes import ChildProcess


@dataclass(frozen=True, slots=True)
class SpawnedProcess:
    """A process that runs, and the supervisor's ends of its pipes.

    Whoever receives it owns the child and the descriptors.
    """

    child: ChildProcess
    stdin: int
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class SpawnedWorker:
    """A worker process, and the supervisor's end of its control channel, which goes with it."""

    process: SpawnedProcess
    control: socket.socket
    control_fd: int
    """The number under which the process finds its own end of `control`."""


def spawn(
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> SpawnedProcess:
    """Execute `command` with the working directory `folder`; raise OSError where that is not possible.

    The process leads a group and a session of its own: a Ctrl-C in the supervisor's terminal does not reach
    it, and whatever it starts can be ended together with it. It inherits `pass_fds`, which stay the caller's.
    """
    with ExitStack() as on_error, ExitStack() as childs_ends:

        def pipe(*, child_writes: bool) -> tuple[int, int]:
            """Return our end and the child's."""
            ends = os.pipe()
            ours, childs = ends if child_writes else ends[::-1]
            on_error.callback(os.close, ours)
            childs_ends.callback(os.close, childs)
            return ours, childs

        stdin, childs_stdin = pipe(child_writes=False)
        stdout, childs_stdout = pipe(child_writes=True)
        stderr, childs_stderr = pipe(child_writes=True)
        process = subprocess.Popen(
            command,
            stdin=childs_stdin,
            stdout=childs_stdout,
            stderr=childs_stderr,
            cwd=folder,
            env=environment,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        # From here on ChildProcess reaps it: Popen must neither wait for it nor complain that nobody did.
        process.returncode = 0
        on_error.pop_all()
        return SpawnedProcess(ChildProcess(process.pid), stdin, stdout, stderr)


def spawn_worker(folder: Path) -> SpawnedWorker:
    """Start a worker in a fresh interpreter; raise OSError where that is not possible."""
    control, childs_control = socket.socketpair()
    try:
        # -P: the application's folder must not shadow what the wrapper itself imports.
        command = [sys.executable, "-P", "-m", "coachman.worker"]
        process = spawn(command, folder, pass_fds=[childs_control.fileno()])
        return SpawnedWorker(process, control, childs_control.fileno())
    except BaseException:
        control.close()
        raise
    finally:
        childs_control.close()
