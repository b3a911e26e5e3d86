"""`coachman serve` as its users run it: the installed command, in a process of its own."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

COMMAND: Final = Path(sys.executable).with_name("coachman")
MARK: Final = "SERVE_UNDER_TEST"
"""Without the prefix COACHMAN_: what has that does not reach application processes."""


class CoachmanServe:
    """A running `coachman serve`, with everything that it prints.

    It runs in a session of its own, so a Ctrl-C for pytest does not reach it. As a context manager it ends
    every process that descends from it, also those that its own death has orphaned: all of them inherit a
    variable of the environment by which they are found.
    """

    def __init__(
        self,
        *arguments: str | Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        redirections: str = "",
        launcher: Sequence[str] = (),
    ) -> None:
        """Run it with `arguments` in `folder` (None: the current one), with additions to the environment.

        `redirections` are a shell's, such as "2>&-"; `launcher` is what executes it.
        """
        self._mark = f"{MARK}={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *launcher, COMMAND, "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(environment or {}), name: value},
            start_new_session=True,
        )
        self._text = ""
        self._ended = False
        self._news = threading.Condition()
        # A thread, because a pipe that nobody reads while the test is busy would fill and stop the server.
        self._reader = threading.Thread(target=self._read, name=f"output of {self.pid}")
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            while left := self.processes():  # again, in case one was forking at that moment
                kill(left)
            # Every process is gone, so the pipe is at its end and so is the thread.
            self._reader.join(10)

    @property
    def pid(self) -> int:
        """The supervisor's pid."""
        return self._process.pid

    @property
    def url(self) -> str:
        """The address that it listens at, without a slash at the end; for one application only."""
        return self.wait_for_output(r"listening at (http://\S+)").group(1).rstrip("/")

    def url_of(self, application: str) -> str:
        """Return as `url` does the address of one of several applications, which start in any order."""
        listening = rf"\b{application}: listening at (http://\S+)"
        return self.wait_for_output(listening).group(1).rstrip("/")

    def output(self) -> str:
        """Return all that was printed so far, on stdout and stderr."""
        with self._news:
            return self._text

    def wait_for_output(self, pattern: str, timeout: float = 30, after: int = 0) -> re.Match[str]:
        """Return the first match in the output, or fail: at its end, or after `timeout` seconds.

        Leaves out the first `after` characters: the length of `output()` at an earlier moment.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or re.search(pattern, self._text[after:]), timeout)
            match = re.search(pattern, self._text[after:])
            if match is None:
                why = "its output has ended" if self._ended else f"{timeout} seconds have passed"
                raise AssertionError(f"no {pattern!r} from coachman serve, and {why}:\n{self._text}")
            return match

    def worker_pids(self) -> set[int]:
        """Return the pids of the workers: the application's processes but the preloaders."""
        preloaders = re.findall(r"the preloader \(pid (\d+)\) is ready", self.output())
        return self.application_pids() - {int(pid) for pid in preloaders}

    def application_pids(self) -> set[int]:
        """Return the pids of the supervisor's children that have to do with the application."""
        return children(self.pid) - self.undertakers()

    def undertakers(self) -> set[int]:
        """Return the pid of the supervisor's undertaker, if it has one at the moment."""
        # Not by its command line: that is there a moment after the process is.
        return {pid for pid in children(self.pid) if standard_output_of(pid) == os.devnull}

    def processes(self) -> set[int]:
        """Return the pids of the supervisor and of all that descends from it, wherever it is in the tree."""
        marked = {pid for pid in all_pids() if self._mark in environment_of(pid)}
        # A process has no environment yet in the moment in which it becomes another program.
        return marked.union(*(living_descendants(pid) for pid in marked))

    def wait(self, timeout: float = 30) -> int:
        """Return the exit status of the supervisor once it ends (negative: the signal that ended it)."""
        return self._process.wait(timeout)

    def outcome(self, timeout: float = 30) -> tuple[int, str]:
        """Return the exit status and all of the output, once it has ended. Fails where a process is left."""
        status = self.wait(timeout)
        with self._news:
            assert self._news.wait_for(lambda: self._ended, timeout), "something holds its output open"
        assert not (left := self.processes()), f"left behind: {left}\n{self._text}"
        return status, self._text

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the supervisor, as kill -9 does, and reap it."""
        self._process.kill()
        self._process.wait()

    def ready_workers(self, count: int) -> list[int]:
        """Return the pids of the first `count` workers that became ready, in the order of their slots."""
        pids = [
            self.wait_for_output(rf"worker {slot} \(pid (\d+)\) is ready") for slot in range(1, count + 1)
        ]
        return [int(pid[1]) for pid in pids]

    def stop(self, timeout: float = 30) -> int:
        """Send SIGTERM, after `timeout` seconds SIGKILL, and return the exit status."""
        self._process.terminate()  # does nothing when it has ended
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                with self._news:
                    self._text += line.decode(errors="backslashreplace")
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def all_pids() -> Iterable[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def children(pid: int) -> set[int]:
    """Return the children of every thread of a process; of one that has ended, none."""
    found: set[int] = set()
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found.update(int(child) for child in (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def living_descendants(pid: int) -> set[int]:
    """Return the processes below this one in the tree, without the ended ones that nobody has reaped."""
    below = children(pid)
    return {child for child in below if lives(child)}.union(*(living_descendants(child) for child in below))


def lives(pid: int) -> bool:
    """Tell whether a process has not ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environment_of(pid: int) -> list[str]:
    """Return a process's environment; of one that has ended (a zombie too) or is another user's, nothing."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def standard_output_of(pid: int) -> str:
    """Return what a process has for its standard output; of one that has ended, or has none, nothing."""
    try:
        return os.readlink(f"/proc/{pid}/fd/1")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def kill(pids: Iterable[int], timeout: float = 10) -> None:
    """Send SIGKILL to processes that need not be children, and wait until they have ended."""
    deadline = time.monotonic() + timeout
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], max(0, deadline - time.monotonic()))
        except ProcessLookupError:  # it ended by itself in between
            pass
        finally:
            os.close(pidfd)
