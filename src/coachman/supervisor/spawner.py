"""Starting an application process directly: fork and exec of a fresh interpreter."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from coachman.unix.processes import ChildProcess


@dataclass(frozen=True, slots=True)
class SpawnedProcess:
    """A process that runs, and the supervisor's ends of all that leads to it.

    Whoever receives it owns the child and the four descriptors.
    """

    child: ChildProcess
    stdin: int
    stdout: int
    stderr: int
    control: socket.socket
    control_fd: int
    """The number under which the process finds its own end of `control`."""


def spawn_directly(folder: Path) -> SpawnedProcess:
    """Start a worker process with the working directory `folder`; raise OSError where that is not possible.

    The process leads a group and a session of its own: a Ctrl-C in the supervisor's terminal does not reach
    it, and whatever it starts can be ended together with it.
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
        control, childs_control = socket.socketpair()
        on_error.callback(control.close)
        childs_ends.callback(childs_control.close)
        control_fd = childs_control.fileno()
        process = subprocess.Popen(
            # -P: the application's folder must not shadow what the wrapper itself imports.
            [sys.executable, "-P", "-m", "coachman.worker"],
            stdin=childs_stdin,
            stdout=childs_stdout,
            stderr=childs_stderr,
            cwd=folder,
            start_new_session=True,
            pass_fds=(control_fd,),
        )
        # From here on ChildProcess reaps it: Popen must neither wait for it nor complain that nobody did.
        process.returncode = 0
        on_error.pop_all()
        return SpawnedProcess(ChildProcess(process.pid), stdin, stdout, stderr, control, control_fd)
