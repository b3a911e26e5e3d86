"""What is said where the system has no further process, descriptor or memory to give: what to raise."""

from __future__ import annotations

import errno
from typing import Final

_WAYS_OUT: Final = {
    errno.EAGAIN: (
        "no further process or thread is allowed: raise the limit of the service (TasksMax=), of the "
        "container (pids) or of the user (ulimit -u)"
    ),
    errno.EMFILE: "raise the limit of open files (LimitNOFILE=, ulimit -n)",
    errno.ENFILE: "the whole system has too many open files (sysctl fs.file-max)",
    errno.ENOMEM: "the system has no memory to give, or forbids to promise it (vm.overcommit_memory)",
}


def obstacle(error: OSError) -> str:
    """Return why a process could not be made, with the way out where it is a limit that was reached."""
    way_out = _WAYS_OUT.get(error.errno or 0)
    return f"{error.strerror}; {way_out}" if way_out else str(error)
