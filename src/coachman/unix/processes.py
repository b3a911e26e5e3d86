"""Child processes: how one ended, and one that can be waited for and signalled without confusing its PID."""

from __future__ import annotations

import os
import select
import signal
import time
from _thread import allocate_lock
from contextlib import suppress

from coachman.protocol.value import Value
from coachman.unix.signals import signal_name
from coachman.unix.waiting import wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Ending(Value):
    """How a process ended: with an exit status or by a signal; neither if somebody else reaped it."""

    status: int | None
    signal: signal.Signals | int | None = None
    core_dumped: bool = False

    @classmethod
    def from_waitid(cls, result: os.waitid_result) -> Self:
        """Read the siginfo of waitid(2) with WEXITED."""
        if result.si_code == os.CLD_EXITED:
            return cls(result.si_status)
        return cls(None, _signal(result.si_status), result.si_code == os.CLD_DUMPED)

    @property
    def clean(self) -> bool:
        """Whether the process ended by itself with exit status 0."""
        return self.status == 0

    def __str__(self) -> str:
        """Say "exit status 1", "SIGKILL" or "SIGSEGV (core dumped)"."""
        if self.status is not None:
            return f"exit status {self.status}"
        if self.signal is None:
            return "an unknown status (reaped by another part of the program)"
        return signal_name(self.signal) + (" (core dumped)" if self.core_dumped else "")


UNKNOWN_ENDING = Ending(None)


def _signal(number: int) -> signal.Signals | int:
    try:
        return signal.Signals(number)
    except ValueError:  # a real-time signal
        return number


class ChildProcess:
    """A child of this process, owned: this object reaps it, exactly once.

    Everything goes through a pidfd (Linux 5.3) where there is one: it names this process and no later one
    with the same number, it is readable once the process has ended, and waiting needs no SIGCHLD handler.
    Elsewhere a thread watches instead. Any thread may use it.
    """

    def __init__(self, pid: int, pidfd: int | None = None) -> None:
        """Own the child `pid`; takes over `pidfd` if one is given.

        A process that is not our child by birth but was adopted (`PR_SET_CHILD_SUBREAPER`) is a child as
        well.
        """
        self.pid = pid
        self._ending: Ending | None = None
        self._lock = allocate_lock()
        if pidfd is None and hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
            # Before 5.3 or under a filter of system calls: ENOSYS or EPERM. ESRCH: it has ended and was
            # reaped by the kernel because SIGCHLD is ignored here. In each case waitid still has an answer.
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:
                pass
        self._pidfd = pidfd
        self._watch: _Watch | None = None

    @property
    def ending(self) -> Ending | None:
        """How it ended; None as long as nobody has waited for it successfully."""
        return self._ending

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended. It stays this object's."""
        if self._pidfd is not None:
            return self._pidfd
        if self._watch is None:
            self._watch = _Watch(self.pid)
        return self._watch.descriptor

    def wait(self, timeout: float | None = None) -> Ending | None:
        """Wait until it has ended, at most `timeout` seconds, and reap it. None if it still runs then."""
        if self._reap():
            return self._ending
        if timeout == 0:
            return None
        if timeout is None and self._pidfd is None:
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self._reap()
            return self._ending
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            wait_for(self, select.POLLIN, remaining)
            if self._reap():
                return self._ending
            if remaining == 0.0:
                return None

    def send_signal(self, number: int) -> bool:
        """Send a signal. Return False if the process has ended already, whether or not it was reaped."""
        # The lock keeps another thread from reaping between the look and the kill, after which the number is
        # free.
        with self._lock:
            # A zombie takes signals silently: only waitid tells that it has ended.
            if self._ending is not None or self._has_ended():
                return False
            try:
                if self._pidfd is not None:
                    signal.pidfd_send_signal(self._pidfd, number)
                else:
                    os.kill(self.pid, number)
            except ProcessLookupError:
                return False
            return True

    def close(self) -> None:
        """Give up the descriptor. A process that was not waited for stays unreaped: wait first."""
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            os.close(pidfd)
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close(ended=self._ending is not None)

    def _reap(self) -> bool:
        """Reap the process if it has ended; say whether it has. Never blocks: the lock is for moments."""
        with self._lock:
            if self._ending is None:
                try:
                    result = self._waitid(os.WEXITED | os.WNOHANG)
                except ChildProcessError:
                    self._ending = UNKNOWN_ENDING
                else:
                    if result is not None:
                        self._ending = Ending.from_waitid(result)
            return self._ending is not None

    def _waitid(self, options: int) -> os.waitid_result | None:
        if self._pidfd is not None:
            return os.waitid(os.P_PIDFD, self._pidfd, options)
        return os.waitid(os.P_PID, self.pid, options)

    def _has_ended(self) -> bool:
        try:
            return self._waitid(os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def __repr__(self) -> str:
        return f"<ChildProcess {self.pid}: {self._ending or 'not reaped'}>"


def end_group(child: ChildProcess) -> None:
    """Kill a process that leads its group, or is about to, or what it has left behind there, and reap it."""
    # The group as long as its leader is not reaped; the process itself where it does not lead one yet.
    if child.ending is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.send_signal(signal.SIGKILL)
        child.wait()


class _Watch:
    """The stand-in for a pidfd: a thread that waits without reaping, a pipe that ends when the child does."""

    def __init__(self, pid: int) -> None:
        self.descriptor, self._write_end = os.pipe()
        import threading  # here, as most systems have pidfds, and it takes long to import

        self._thread = threading.Thread(target=self._run, args=(pid,), name=f"watch-{pid}", daemon=True)
        self._thread.start()

    def _run(self, pid: int) -> None:
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(self._write_end)

    def close(self, *, ended: bool) -> None:
        os.close(self.descriptor)
        if ended:  # otherwise the thread ends when the child does; nothing interrupts waitid
            self._thread.join()
