"""Being the parent of processes that one has not started (prctl(2), PR_SET_CHILD_SUBREAPER)."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def become_subreaper() -> None:
    """Have descendants whose parent ends become children of this process. Raises OSError where refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def children() -> set[int]:
    """Return the pids of this process's children, started or adopted, those included that nobody has reaped.

    Needs a /proc with CONFIG_PROC_CHILDREN; without it, nothing is found.
    """
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return found
