"""Whether a server is as it was before something went wrong with it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import httpx

from ..end_to_end.applications import HELLO, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.metrics_client import MetricsClient

PROCESSES: Final = 2
OPTIONS: Final = (
    *("--bind", "127.0.0.1:0", "--metrics", "127.0.0.1:0"),
    *("--processes", str(PROCESSES), "--drain-timeout", "1"),
)


class WatchedServer(CoachmanServe):
    """A server of `PROCESSES` workers that knows what it consists of when all is well."""

    def __init__(self, folder: Path, *options: str | Path, application: str = HELLO) -> None:
        write_application(folder, application)
        super().__init__(folder, *OPTIONS, *options)

    def settle(self) -> None:
        """Take what there is now for the measure of what is to be."""
        self.workers = self.ready_workers(PROCESSES)
        self.measure = self._count()

    def kill_worker(self, slot: int = 1) -> int:
        """Kill the first worker of a slot; return how much output there was before."""
        so_far = len(self.output())
        os.kill(self.workers[slot - 1], signal.SIGKILL)
        return so_far

    def wait_until_replaced(self, slot: int = 1, *, after: int) -> None:
        """Wait until a worker is ready in the slot, and take it for its first from now on."""
        match = self.wait_for_output(rf"worker {slot} \(pid (\d+)\) is ready", after=after, timeout=60)
        self.workers[slot - 1] = int(match[1])

    def assert_whole(self) -> None:
        """Have a worker killed and replaced as on any day; nothing is missing then, and nothing too much."""
        self.wait_for_output(r"worker \d+ \(pid \d+\) is ready", after=self.kill_worker(2))
        count = self._count()
        assert count == self.measure, f"{count} != {self.measure}\n{self.output()}"
        for _ in range(10):
            assert httpx.get(self.url, trust_env=False, timeout=30).status_code == 200
        assert self.stop() == 0, self.output()
        assert self.outcome()[0] == 0
        assert "Traceback" not in self.output(), self.output()

    def _count(self) -> Counter[str]:
        # The answer comes from the supervisor's loop: so it has taken in by now what a worker sent before
        # it said that it is ready.
        ready = MetricsClient(self).value("coachman_workers", state="ready")
        return _kinds_of_descriptors(self.pid) + Counter(ready=int(ready), processes=len(self.processes()))


def _kinds_of_descriptors(pid: int) -> Counter[str]:
    """Return how many a process has of each kind, but for TCP: clients come and go."""
    with open("/proc/net/unix", encoding="ascii", errors="replace") as file:
        unix = {f"socket:[{line.split()[6]}]" for line in file if "Inode" not in line}
    found: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:  # the client's that was answered last
            continue
        kind = "unix socket" if target in unix else target.partition(":[")[0]
        if kind != "socket":
            found[kind] += 1
    return found
