"""The memory of many processes, without holding up the supervisor for it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from coachman.unix.process_usage import proportional_memory

BUDGET_SECONDS = 0.04
"""How long reading may take in one go: the kernel walks through all pages of a process for it."""
FRESH_SECONDS = 2.0
"""How long a reading is taken to be right."""


class MemoryGauge:
    """Reads the proportional set size of processes, so many at a time as there is time for.

    Where that is not enough for all, those come first of which the last reading is the oldest; for the
    others, that one counts. One is read in any case: time passes without us on a busy machine.
    """

    def __init__(self) -> None:
        self._readings: dict[int, tuple[float, int | None]] = {}
        """When it was read and what it was, by pid."""

    def read(self, pids: Sequence[int]) -> dict[int, int | None]:
        """Return the bytes that each of these takes, None where it is not known (yet); forget all others."""
        known = {pid: self._readings[pid] for pid in pids if pid in self._readings}
        began = now = time.monotonic()
        for pid in sorted(pids, key=lambda pid: known[pid][0] if pid in known else 0.0):
            if now - began > BUDGET_SECONDS or (pid in known and now - known[pid][0] < FRESH_SECONDS):
                break
            known[pid] = now, proportional_memory(pid)
            now = time.monotonic()
        self._readings = known
        return {pid: known[pid][1] if pid in known else None for pid in pids}
