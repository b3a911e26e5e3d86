"""Evidence that the kernel killed a process because memory ran out: SIGKILL by itself is none."""

from __future__ import annotations

import os
import time
from contextlib import suppress

PROC = "/proc"
CONTROL_GROUPS = "/sys/fs/cgroup"
KERNEL_LOG = "/dev/kmsg"
RECORD_SIZE = 8192
"""Bytes that a record of the kernel's log has at most; a smaller read would fail."""
CLOCK_DIFFERENCE_SECONDS = 1.0
"""How far the log's clock and the monotonic one may be apart."""


class MemoryKillWatch:
    """Notes how often the kernel has killed in the control group of `pid`, to compare when that has ended.

    Make it while the process lives: its control group is read from /proc. Holds no descriptor.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._file = _counter_file(pid)
        self._before = _count(self._file)
        self._since = time.monotonic()

    def evidence(self) -> str | None:
        """Return what speaks for a kill for want of memory, once SIGKILL has ended it; None: nothing."""
        after = _count(self._file)
        if self._before is not None and after is not None and after > self._before:
            return f"oom_kill in {self._file} went from {self._before} to {after}"
        if _kernel_log_names(self._pid, self._since):
            return f"the kernel's log says that it killed process {self._pid}"
        return None


def _counter_file(pid: int) -> str | None:
    """Return the file that counts the kills in the process's control group, of either version."""
    try:
        with open(f"{PROC}/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return None
    for _, controllers, path in groups:
        if controllers == "":
            candidate = f"{CONTROL_GROUPS}{path.rstrip('/')}/memory.events"
        elif "memory" in controllers.split(","):
            candidate = f"{CONTROL_GROUPS}/memory{path.rstrip('/')}/memory.oom_control"
        else:
            continue
        if os.access(candidate, os.R_OK):
            return candidate
    return None


def _count(file: str | None) -> int | None:
    if file is not None:
        with suppress(OSError), open(file, encoding="utf-8") as lines:
            for line in lines:
                name, _, value = line.partition(" ")
                if name == "oom_kill" and value.strip().isdecimal():
                    return int(value)
    return None


def _kernel_log_names(pid: int, since: float) -> bool:
    """Return whether the kernel's log, where it may be read, says that it killed `pid` after `since`."""
    if not _pids_are_the_kernels():
        return False
    # "priority,number,microseconds since boot,flags;message". An earlier process may have had this number.
    import re  # here, as it takes long to import, and to be killed is rare

    said = re.compile(rb"\d+,\d+,(\d+),[^;]*;.*Killed process %d[ ,(]" % pid)
    try:
        log = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        while True:
            try:
                record = os.read(log, RECORD_SIZE)
            except BrokenPipeError:  # the record was overwritten; the next read goes on behind it
                continue
            except OSError:  # EAGAIN: that was the last one
                return False
            if not record:
                return False
            found = said.match(record)
            if found and int(found[1]) / 1e6 >= since - CLOCK_DIFFERENCE_SECONDS:
                return True
    finally:
        os.close(log)


def _pids_are_the_kernels() -> bool:
    """Return whether our numbers of processes are those of the kernel's log: in a container they are not."""
    with suppress(OSError), open(f"{PROC}/self/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("NSpid:"):
                return len(line.split()) == 2
    return False
