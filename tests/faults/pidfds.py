"""Waiting for processes that need not be children."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self


class Pidfds:
    """Descriptors of processes, opened while they live: they name these and no later ones.

    One that ends after somebody saw it, and before it could be opened here, has ended.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = set(pids)
        self._pidfds: dict[int, int] = {}
        for pid in self._pids:
            with suppress(ProcessLookupError):
                self._pidfds[pid] = os.pidfd_open(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pidfd in self._pidfds.values():
            os.close(pidfd)

    def wait(self, *pids: int, timeout: float = 30) -> None:
        """Return once these have ended; fail where one still runs when `timeout` seconds have passed."""
        deadline = time.monotonic() + timeout
        assert self._pids.issuperset(pids)
        for pid in self._pidfds.keys() & set(pids):
            ended, _, _ = select.select([self._pidfds[pid]], [], [], max(0.0, deadline - time.monotonic()))
            assert ended, f"process {pid} still runs after {timeout} seconds"

    def living_after(self, timeout: float) -> set[int]:
        """Return the pids of those that have not ended when `timeout` seconds have passed, at the latest."""
        living, deadline = dict(self._pidfds), time.monotonic() + timeout
        while living and (remaining := deadline - time.monotonic()) > 0:
            ended, _, _ = select.select(list(living.values()), [], [], remaining)
            living = {pid: pidfd for pid, pidfd in living.items() if pidfd not in ended}
        return set(living)
