"""The preloader: an AbstractServer that has the application loaded and forks workers on request."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Literal

from coachman import hooks
from coachman.policy.exhaustion import obstacle
from coachman.protocol import control
from coachman.server.abstract_server import AbstractServer
from coachman.unix.standard_descriptors import keep_standard_descriptors
from coachman.worker.complaints import complain
from coachman.worker.leftovers import Leftover
from coachman.worker.load_failure import traceback_of
from coachman.worker.streams import flush_streams

REPORT_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """What a forked worker is given by the preloader; everything else it negotiates by itself.

    It owns the descriptors.
    """

    slot: str
    generation: str
    stdin: int
    stdout: int
    stderr: int
    control: int


class Preloader(AbstractServer):
    """Forks workers until the supervisor is gone.

    `start_synchronously` returns in two kinds of process: in the preloader at its end, and in each worker
    that was forked, which then finds its `place` set.
    """

    def __init__(self, leftovers: Iterable[Leftover], on_ready: Callable[[], None]) -> None:
        self.place: Place | None = None
        self._leftovers = list(leftovers)
        self._on_ready = on_ready
        self.define_message_handler(control.SPAWN, "spawn")
        self.define_signal_handler(signal.SIGINT, signal.SIG_IGN)  # as in a worker

    def initialize_server(self) -> None:
        """Tell what is alive, then that workers can be forked."""
        for leftover in self._leftovers:
            self.send_to_client(control.ALIVE, leftover.kind, leftover.what)
        # What is loaded is here to stay: the collector must not touch, and so copy, the pages that the
        # workers share.
        gc.collect()
        gc.freeze()
        self._on_ready()

    def spawn(self, slot: str, generation: str) -> None:
        """Fork a worker onto the four descriptors that follow the message; send the supervisor its pidfd."""
        with ExitStack() as received:
            fds = []
            for _ in range(4):
                fd = self.client.recv_io(negotiate=False)
                if fd is None:
                    return  # the end of the stream, which the main loop sees as well
                received.callback(os.close, fd)
                fds.append(fd)
            try:
                hooks.run_before_fork()
                keep_standard_descriptors()
                flush_streams()  # or both processes would write what is buffered
            except Exception as error:  # the application's hook
                complain(traceback_of(error))
                self.send_to_client(control.FAILED, f"{type(error).__name__}: {error}")
                return
            try:
                forked = _fork_twice()
            except OSError as error:  # no process or no descriptor to be had
                self.send_to_client(control.FAILED, obstacle(error))
                return
            if forked == "worker":
                received.pop_all()
                self.place = Place(slot, generation, *fds)
                self.quit_main()
                return
        pid, pidfd = forked
        try:
            self.send_to_client(control.SPAWNED, pid)
            self.client.send_io(pidfd, negotiate=False)
        finally:
            os.close(pidfd)


def _fork_twice() -> tuple[int, int] | Literal["worker"]:
    """Fork a process whose parent is not this one but, once this returns, the nearest subreaper.

    Returns its pid and pidfd, which the caller owns, in this process, and "worker" in the new one, which
    leads a process group. Raises OSError where there is no process to be had.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        between = os.fork()
        if between == 0:
            # In the process between: nothing of what the preloader would do on its way out may happen here.
            pid = 0
            try:
                os.setsid()
                pid = os.fork()
                if pid:
                    # Before the supervisor can know it: it signals the worker by its group.
                    os.setpgid(pid, pid)
                    socket.send_fds(theirs, [str(pid).encode()], [os.pidfd_open(pid)])
            except BaseException as error:
                if pid:
                    os.kill(pid, signal.SIGKILL)  # nobody would ever hear of it
                said = obstacle(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
                with suppress(OSError):
                    theirs.send(said.encode())
                os._exit(1)
            if pid:
                os._exit(0)
            return "worker"
        theirs.close()
        report, fds, _, _ = socket.recv_fds(ours, REPORT_SIZE, 1)
        os.waitpid(between, 0)  # when it is gone, the worker has its new parent
    if not fds:
        # A pid without its descriptor: this process had none left for it.
        lost = OSError(errno.EMFILE, os.strerror(errno.EMFILE)) if report.isdigit() else None
        raise lost or OSError(report.decode(errors="replace") or "it ended without a word")
    return int(report), fds[0]
