"""Starting a process on the stdio channel: fork and exec of a program with three pipes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from coachman.protocol.journey import Journey, Step
from coachman.unix.descriptors import require_free
from coachman.unix.identity import Identity
from coachman.unix.processes import ChildProcess

SPARE_DESCRIPTORS = 32
"""Descriptors that have to be free before a process is started.

A start takes 14 at most, and three others may be under way that have still to receive some. What is left is
for everything else: to look at /proc, to reopen the log, to answer those who ask what is wrong.
"""


@dataclass(frozen=True, slots=True)
class SpawnedProcess:
    """A process that runs, and the supervisor's ends of its pipes.

    Whoever receives it owns the child and the descriptors.
    """

    child: ChildProcess
    stdin: int
    stdout: int
    stderr: int
    journey: Journey
    """Its start so far."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a process is to run as."""

    identity: Identity | None = None
    """None: who we are."""
    umask: int | None = None
    """None: ours."""


OUR_OWN = Account()


@dataclass(frozen=True, slots=True)
class ControlledSpawn:
    """A process, and the supervisor's end of its control channel, which goes with it."""

    process: SpawnedProcess
    control: socket.socket
    control_fd: int | None
    """The number under which the process finds its own end of `control`; None where it knows by itself."""


class Pipes:
    """The three pipes of a process that is about to be, and both ends of each; `owner` may open them by name.

    As a context manager it closes the child's ends when it is left, and ours too unless `keep` was called.
    """

    def __init__(self, owner: Identity | None) -> None:
        self._owner = owner
        self.ours: tuple[int, ...] = ()
        """Our ends of stdin, stdout and stderr, in this order."""
        self.childs: tuple[int, ...] = ()
        self.journey = Journey.begin(time.monotonic())
        self._ours = ExitStack()
        self._childs = ExitStack()

    def __enter__(self) -> Self:
        # Before there is anything to lose: a descriptor that finds no place here breaks the channel.
        require_free(SPARE_DESCRIPTORS)
        try:
            for child_writes in (False, True, True):
                read_end, write_end = os.pipe()
                ours, childs = (read_end, write_end) if child_writes else (write_end, read_end)
                self._ours.callback(os.close, ours)
                self._childs.callback(os.close, childs)
                self.ours += (ours,)
                self.childs += (childs,)
                if self._owner is not None:
                    # Or the process could not open /dev/stdout and /dev/stderr, as some loggers do.
                    os.fchown(childs, self._owner.uid, self._owner.gid)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._childs.close()
        self._ours.close()

    def enter(self, step: Step) -> None:
        """Note that the process is made now, by `step`."""
        self.journey = self.journey.enter(step, time.monotonic())

    def keep(self, child: ChildProcess) -> SpawnedProcess:
        """Hand our ends over to the caller, with the process at the other ends."""
        self._ours.pop_all()
        stdin, stdout, stderr = self.ours
        return SpawnedProcess(child, stdin, stdout, stderr, self.journey)


def spawn(
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    account: Account = OUR_OWN,
    pass_fds: Sequence[int] = (),
) -> SpawnedProcess:
    """Execute `command` with the working directory `folder`; raise OSError where that is not possible.

    The process leads a group and a session of its own: a Ctrl-C in the supervisor's terminal does not reach
    it, and whatever it starts can be ended together with it. It inherits `pass_fds`, which stay the caller's.
    """
    identity = account.identity
    with Pipes(identity) as pipes:
        stdin, stdout, stderr = pipes.childs
        pipes.enter(Step.EXEC)
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=folder,
            env=environment,
            user=None if identity is None else identity.uid,
            group=None if identity is None else identity.gid,
            extra_groups=None if identity is None else identity.groups,
            umask=-1 if account.umask is None else account.umask,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        # From here on ChildProcess reaps it: Popen must neither wait for it nor complain that nobody did.
        process.returncode = 0
        return pipes.keep(ChildProcess(process.pid))


def spawn_interpreter(
    folder: Path, *, environment: Mapping[str, str] | None = None, account: Account = OUR_OWN
) -> ControlledSpawn:
    """Start `coachman.worker` in a fresh interpreter; raise OSError where that is not possible."""
    control, childs_control = socket.socketpair()
    with childs_control:
        try:
            control_fd = childs_control.fileno()
            # -P: the application's folder must not shadow what the wrapper itself imports.
            command = [sys.executable, "-P", "-m", "coachman.worker"]
            process = spawn(command, folder, environment=environment, account=account, pass_fds=[control_fd])
            return ControlledSpawn(process, control, control_fd)
        except BaseException:
            control.close()
            raise
