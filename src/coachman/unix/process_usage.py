"""What a process takes of the machine, as /proc tells (proc_pid_smaps(5), proc_pid_stat(5))."""

from __future__ import annotations

import os
from contextlib import suppress

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def proportional_memory(pid: int) -> int | None:
    """Return the bytes of memory that `pid` takes, shared pages by its share of them; None: not known.

    That is so where the process has ended, belongs to another user, or the kernel keeps no such account.
    """
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return None


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time that `pid` has taken, in user and kernel mode; None: it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may contain anything.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / _TICKS_PER_SECOND


def is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped `pid`; False where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return False
